// HL7 v2 as text for people: control characters shown, differences found. The engine reads messages; this only shows them.

/** Text with control characters as visible signs and each segment on a line of its own. */
export function visible(text: string): string {
  return text
    .replace(/\r\n|\r|\n/g, '\r')
    .split('\r')
    .join('␍\n')
    .replace(/[\u0000-\u0009\u000b-\u001f]/g, (sign) => String.fromCharCode(0x2400 + sign.charCodeAt(0)));
}

/** Bytes as rows of sixteen. */
export function hex(bytes: Uint8Array): string {
  const rows: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const numbers = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const signs = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('');
    rows.push(`${at.toString(16).padStart(8, '0')}  ${numbers.padEnd(47)}  ${signs}`);
  }
  return rows.join('\n');
}

export interface Line {
  left: string | undefined;
  right: string | undefined;
}

/** Lines side by side; the longest common run of lines stays together. */
export function compare(left: string[], right: string[]): Line[] {
  const size = right.length + 1;
  const table = new Uint32Array((left.length + 1) * size);
  const cell = (i: number, j: number) => table[i * size + j] ?? 0;
  for (let i = left.length - 1; i >= 0; i -= 1)
    for (let j = right.length - 1; j >= 0; j -= 1)
      table[i * size + j] = left[i] === right[j] ? cell(i + 1, j + 1) + 1 : Math.max(cell(i + 1, j), cell(i, j + 1));
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < left.length || j < right.length) {
    const same = i < left.length && j < right.length && left[i] === right[j];
    const alike = i < left.length && j < right.length && left[i]?.slice(0, 3) === right[j]?.slice(0, 3) && cell(i + 1, j + 1) === Math.max(cell(i + 1, j), cell(i, j + 1));
    if (same || alike) lines.push({ left: left[i++], right: right[j++] });
    else if (j >= right.length || (i < left.length && cell(i + 1, j) >= cell(i, j + 1))) lines.push({ left: left[i++], right: undefined });
    else lines.push({ left: undefined, right: right[j++] });
  }
  return lines;
}
