// HL7 v2 as text for people: control characters shown, differences found. The engine reads messages; this only shows them.

/** Text with control characters as visible signs and each segment on a line of its own. Each font has these signs; pictures
 * of control characters are boxes in many. */
export function visible(text: string): string {
  return text
    .replace(/\r\n|\r|\n/g, '\r')
    .split('\r')
    .join('¶\n')
    .replace(/[\u0000-\u0009\u000b-\u001f]/g, (sign) => `‹${sign.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}›`);
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

export interface Piece {
  text: string;
  changed: boolean;
}

/** One side of a changed line in fields: those that the other side has otherwise are marked. */
export function pieces(one: string | undefined, other: string | undefined): Piece[] {
  if (one === undefined) return [];
  if (other === undefined || one === other) return [{ text: one, changed: false }];
  const sign = /^(MSH|FHS|BHS)(.)/.exec(one)?.[2] ?? '|';
  const [mine, theirs] = [one.split(sign), other.split(sign)];
  if (mine.length < 2) return [{ text: one, changed: true }];
  return mine.map((text, index) => ({ text: index === 0 ? text : sign + text, changed: text !== (theirs[index] ?? '') }));
}

/** Bytes as text: UTF-8, else GB18030, which Chinese hospitals send. */
export function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('gb18030').decode(bytes);
  }
}

/** Whether the text can be changed here and sent as UTF-8. */
export function isUtf8(bytes: Uint8Array): boolean {
  return new TextEncoder().encode(decoded(bytes)).length === bytes.length;
}

const PATH = /^([A-Z0-9]{3})(?:\[(\d+)\])?-(\d+)(?:\[(\d+)\])?(?:\.(\d+))?(?:\.(\d+))?$/;

/** The message with another value at a path such as `PID-5.1`; the delimiters are those of its MSH (v2.5.1 §2.5.4). */
export function changed(message: string, path: string, value: string): string {
  const found = PATH.exec(path);
  const [field, component, repeat, escape, sub] = [message[3], message[4], message[5], message[6], message[7]];
  if (!found || !message.startsWith('MSH') || !field || !component || !repeat || !escape) return message;
  const [, name, index, number, repetition, part, below] = found;
  const names: [string | undefined, string][] = [[escape, 'E'], [field, 'F'], [component, 'S'], [repeat, 'R'], [sub, 'T']];
  let text = value;
  for (const [sign, letter] of names) if (sign) text = text.split(sign).join(`${escape}${letter}${escape}`.replace(escape, '\u0001').replace(escape, '\u0001'));
  text = text.replaceAll('\u0001', escape).replace(/[\r\n]+/g, ' ');
  const at = (list: string[], place: number, change: (old: string) => string) => {
    while (list.length <= place) list.push('');
    list[place] = change(list[place] ?? '');
    return list;
  };
  const inside = (old: string, sign: string | undefined, place: string | undefined, change: (old: string) => string) =>
    place === undefined || !sign ? change(old) : at(old.split(sign), Number(place) - 1, change).join(sign);
  let seen = 0;
  return message
    .split('\r')
    .map((segment) => {
      if (!segment.startsWith(`${name}${field}`) || (seen += 1) !== Number(index ?? 1)) return segment;
      const place = Number(number) - (name === 'MSH' ? 1 : 0);
      return at(segment.split(field), place, (old) => inside(old, repeat, repetition ?? (part ? '1' : undefined), (one) => inside(one, component, part, (piece) => inside(piece, sub, below, () => text)))).join(field);
    })
    .join('\r');
}
