// The few forms of Markdown that the engine's own documents have, as data: it is drawn as text nodes, so nothing in it runs.

export type Block =
  | { kind: 'heading'; level: number; text: string }
  | { kind: 'text'; text: string }
  | { kind: 'list'; items: string[] }
  | { kind: 'table'; head: string[]; rows: string[][] };

/** The cells of a row; `\|` is a bar that divides nothing. */
const cells = (line: string) =>
  line
    .trim()
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll('\\|', '|'));

/** The blocks of a document, in order. */
export function blocks(text: string): Block[] {
  const found: Block[] = [];
  for (const line of text.split('\n')) {
    const last = found.at(-1);
    const [, marks = '', title = ''] = /^(#{1,6}) (.*)$/.exec(line) ?? [];
    if (marks) found.push({ kind: 'heading', level: marks.length, text: title });
    else if (line.startsWith('- ')) {
      if (last?.kind === 'list') last.items.push(line.slice(2));
      else found.push({ kind: 'list', items: [line.slice(2)] });
    } else if (line.startsWith('|')) {
      if (last?.kind !== 'table') found.push({ kind: 'table', head: cells(line), rows: [] });
      else if (!/^[|\s:-]+$/.test(line)) last.rows.push(cells(line));
    } else if (line.trim()) found.push({ kind: 'text', text: line });
  }
  return found;
}

/** A text in its parts: what stands between backticks is code. */
export const spans = (text: string): { text: string; code: boolean }[] =>
  text.split('`').map((part, index) => ({ text: part, code: index % 2 === 1 })).filter((part) => part.text !== '');
