// What the engine says, in the language of the page: causes, answer codes, refusals, and sentences of its own.
// A test holds `engine.json` against the engine's source.

import engine from '../i18n/engine.json';
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

/** What was found, by its code: in Chinese what the code means, before the engine's own words. */
export function finding(word: string): string {
  const said = chinese() ? named[word] : undefined;
  return said ? `${word} ${said}` : cause(word);
}

/** Findings as one text, as a refused file has them: in Chinese with what their codes mean before it. */
export function findings(text: string): string {
  const codes = chinese() ? [...new Set(text.match(/\bE\d{4}\b/g) ?? [])].filter((one) => one in named) : [];
  return [...codes.map((one) => `${one} ${named[one]}`), text].join('\n');
}

const SPECIAL = /[.*+?^${}()|[\]\\]/g;
/** Sentences with places for values; the longest first, so that the most particular one fits. */
const sentences = engine.sentences
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
  if (!chinese()) return code(text);
  for (const { pattern, meant } of sentences) {
    const found = pattern.exec(text);
    if (!found) continue;
    let at = 0;
    return meant.replace(/\{\}/g, () => words(found[(at += 1)] ?? ''));
  }
  return code(text);
}

/** A refusal of the API. */
export function refusal(name: string, detail: string): string {
  const said = (engine.problems as Record<string, string>)[name];
  if (!chinese() || !said) return detail;
  return PARTICULAR.has(name) && detail ? `${said}（${detail}）` : said;
}
