// What the engine says, in the language of the page: causes, answer codes, refusals, and sentences of its own.
// A test holds `engine.json` and `findings.json` against the engine's source.

import engine from '../i18n/engine.json';
import found from '../i18n/findings.json';
import { texts_ } from './i18n.svelte';

const chinese = () => texts_.language === 'zh';
const pairs = { cause: engine.causes, code: engine.codes } as Record<'cause' | 'code', Record<string, string[]>>;

/** Refusals whose own words say more than their code does. */
const PARTICULAR = new Set(['bad_request', 'bad_payload', 'not_possible', 'not_rendered', 'not_reloaded', 'not_taken', 'fault', 'unavailable']);

/** Why a delivery left the straight path, or how an attempt ended; the word itself when it is new here. */
export const cause = (word: string): string => pairs.cause[word]?.[chinese() ? 1 : 0] ?? code(word);

/** What an answer code says, with the code: `AE` and `404` are the receiver's own and say enough. */
export function code(word: string): string {
  const said = pairs.code[word]?.[chinese() ? 1 : 0];
  return said ?? word;
}

/** Why, with the receiver's code. */
export function caused(word: string, answer: string | null | undefined): string {
  if (!answer) return cause(word);
  return chinese() ? `${cause(word)}（${code(answer)}）` : `${cause(word)} (${code(answer)})`;
}

const named = engine.findings as Record<string, string>;

/** What was found, by its code. */
export function finding(word: string): string {
  const said = chinese() ? named[word] : undefined;
  return said ? `${word} ${said}` : cause(word);
}

/** The parts of a report of findings (`yaml/report.rs`) that are in words, each line by line. */
const REPORT: [RegExp, (parts: string[]) => string][] = [
  [/^(error|warning)\[(E\d{4})\]: (.*)$/, ([, severity = '', found = '', text = '']) => `${texts_.word('severity', severity)}[${found}]：${words(text)}`],
  [/^( *= )hint: (.*?)( {3}fix: medway check --fix)?$/, ([, before = '', hint = '', fix = '']) => `${before}提示：${words(hint)}${fix && '   可自动修复：medway check --fix'}`],
  [/^( *= )fix: medway check --fix$/, ([, before = '']) => `${before}可自动修复：medway check --fix`],
  [/^( *= )more: (medway explain E\d{4})$/, ([, before = '', command = '']) => `${before}详情：${command}`],
  [/^( *\| +\^+ )(.+)$/, ([, before = '', label = '']) => `${before}${words(label)}`],
  [/^(?:(\d+) errors?)?(?:, )?(?:(\d+) warnings?)?$/, ([, errors, warnings]) => [errors && `${errors} 个错误`, warnings && `${warnings} 个警告`].filter(Boolean).join('，')],
];

/** Findings as one text, as a refused file has them. */
export function findings(text: string): string {
  if (!chinese()) return text;
  const told = (line: string) => {
    for (const [pattern, say] of REPORT) {
      const parts = pattern.exec(line);
      if (parts && line) return say(parts);
    }
    return line;
  };
  return text.split('\n').map(told).join('\n');
}

const SPECIAL = /[.*+?^${}()|[\]\\]/g;
/** Sentences with places for values; the longest first, so that the most particular one fits. */
const sentences = [...engine.sentences, ...found]
  .map(([said = '', meant = '']) => ({
    pattern: new RegExp(`^${said.split('{}').map((part) => part.replace(SPECIAL, '\\$&')).join('(.*)')}$`, 's'),
    meant,
    size: said.length,
  }))
  .sort((a, b) => b.size - a.size);

const OUTCOME = /^(accepted|failed|rejected|uncertain) \((.*)\)$/s;

/** A sentence of the engine: why nothing flows, why it is not ready, what broke the audit trail's chain. */
export function words(text: string): string {
  const outcome = OUTCOME.exec(text);
  if (outcome) return `${cause(outcome[1] ?? '')}${chinese() ? '（' : ' ('}${code(outcome[2] ?? '')}${chinese() ? '）' : ')'}`;
  if (!chinese()) return spoken(text.replace(/^(paused by )((?:user|token):[^ ]+)(?=: )/, (_, before: string, by: string) => before + texts_.actor(by)));
  for (const { pattern, meant } of sentences) {
    const values = pattern.exec(text);
    if (!values) continue;
    let at = 0;
    return meant.replace(/\{(\d?)\}/g, (_, place: string) => words(values[place ? Number(place) + 1 : (at += 1)] ?? ''));
  }
  // A FHIR endpoint says the status before its reason.
  const [, status, reason] = /^(\d{3}) (.+)$/s.exec(text) ?? [];
  if (status && reason) return `${status} ${words(reason)}`;
  return spoken(text);
}

/** What is no sentence: a code, or who did it. */
const spoken = (text: string) => (/^(user|token):[^ ]+$/.test(text) ? texts_.actor(text) : code(text));

/** A refusal of the API. */
export function refusal(name: string, detail: string): string {
  const said = (engine.problems as Record<string, string>)[name];
  if (!chinese() || !said) return detail;
  if (!PARTICULAR.has(name) || !detail) return said;
  return name === 'not_reloaded' ? `${said}\n${findings(detail)}` : `${said}（${words(detail)}）`;
}
