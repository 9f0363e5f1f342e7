// Texts in Chinese and English. A key that one language lacks does not compile.

import { en } from '../i18n/en';
import { zh } from '../i18n/zh';

export type TextKey = keyof typeof en;
export type Language = 'en' | 'zh';

const texts: Record<Language, Record<TextKey, string>> = { en, zh };
const STORED = 'medway.language';

function first(): Language {
  const stored = localStorage.getItem(STORED);
  if (stored === 'en' || stored === 'zh') return stored;
  return navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en';
}

class Texts {
  #language = $state<Language>(first());

  constructor() {
    document.documentElement.lang = this.tag;
  }

  get language(): Language {
    return this.#language;
  }

  get tag(): string {
    return this.#language === 'zh' ? 'zh-CN' : 'en';
  }

  choose(language: Language): void {
    this.#language = language;
    localStorage.setItem(STORED, language);
    document.documentElement.lang = this.tag;
  }

  /** What stands between a name and what it names. */
  get colon(): string {
    return this.#language === 'zh' ? '：' : ': ';
  }

  /** The text of a key, with `{name}` replaced. */
  t = (key: TextKey, values: Record<string, string | number> = {}): string =>
    texts[this.#language][key].replace(/\{(\w+)\}/g, (whole, name: string) => {
      const value = values[name];
      return value === undefined ? whole : typeof value === 'number' ? this.number(value) : value;
    });

  /** A text before what it names: `Cause: ` or `原因：`. */
  named = (key: TextKey): string => `${this.t(key)}${this.colon}`;

  /** Several names as one text. */
  list = (names: string[]): string => names.join(this.#language === 'zh' ? '、' : ', ');

  /** A key of the hospital by a name that people know; the name itself when the channel's author chose another. */
  key = (name: string): string => this.word('key', name);

  /** Who did something, without the sign of what they are. */
  actor = (by: string): string => {
    const [, kind, name = ''] = /^(user|token):(.*)$/s.exec(by) ?? [];
    if (kind === 'token') return this.t('actor.token', { name });
    return kind === 'user' ? name : this.word('actor', by);
  };

  /** The text of a word the engine uses; the word itself when it is new here. */
  word = (prefix: string, word: string): string => {
    const key = `${prefix}.${word}`;
    return key in texts[this.#language] ? this.t(key as TextKey) : word;
  };

  number(value: number): string {
    return new Intl.NumberFormat(this.tag).format(value);
  }

  /** A size in its largest unit. */
  bytes(value: number): string {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    const step = value > 0 ? Math.min(Math.floor(Math.log2(value) / 10), units.length - 1) : 0;
    return `${new Intl.NumberFormat(this.tag, { maximumFractionDigits: 1 }).format(value / 1024 ** step)} ${units[step]}`;
  }

  /** Local time; the whole moment with its zone is for the tooltip. */
  time(moment: string): string {
    const at = new Date(moment);
    const today = new Date().toDateString() === at.toDateString();
    const style: Intl.DateTimeFormatOptions = today
      ? { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }
      : { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
    return new Intl.DateTimeFormat(this.tag, style).format(at);
  }

  moment(moment: string): string {
    return new Intl.DateTimeFormat(this.tag, { dateStyle: 'full', timeStyle: 'long' }).format(new Date(moment));
  }

  /** A span of time in its largest unit. */
  span(seconds: number): string {
    const steps: [number, Intl.NumberFormatOptions['unit']][] = [
      [86_400, 'day'],
      [3_600, 'hour'],
      [60, 'minute'],
      [1, 'second'],
    ];
    const [size, unit] = steps.find(([size]) => seconds >= size) ?? [1, 'second'];
    return new Intl.NumberFormat(this.tag, { style: 'unit', unit, unitDisplay: 'long', maximumFractionDigits: 0 }).format(
      Math.floor(seconds / size),
    );
  }
}

export const texts_ = new Texts();
export const t = texts_.t;
