// Something the engine is asked for again and again while the page is looked at.

import { Problem } from './api';
import { quietly } from './background';
import { t } from './i18n.svelte';
import { updates } from './updates.svelte';

/** Longest wait for an answer: a line that was cut says nothing by itself. */
const PATIENCE_MS = 10_000;

export class Poll<T> {
  value = $state.raw<T | undefined>(undefined);
  problem = $state.raw<Problem | undefined>(undefined);
  /** When the engine answered last. */
  answeredAt = $state<number | undefined>(undefined);
  #ask: () => Promise<T>;
  #patience: number;

  constructor(ask: () => Promise<T>, patience = PATIENCE_MS) {
    this.#ask = ask;
    this.#patience = patience;
  }

  /** Asks because somebody wants it. */
  now(): Promise<void> {
    return this.#take(this.#ask);
  }

  async #take(ask: () => Promise<T>): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, refuse) => {
      timer = setTimeout(() => refuse(new Problem(0, 'unreachable', t('app.noAnswer'))), this.#patience);
    });
    try {
      this.value = await Promise.race([ask(), late]);
      this.problem = undefined;
      this.answeredAt = Date.now();
    } catch (error) {
      this.problem = error instanceof Problem ? error : new Problem(0, 'fault', String(error));
    } finally {
      clearTimeout(timer);
    }
  }

  /** Asks now and every so often; answers how to stop. */
  every(milliseconds: number): () => void {
    void this.now();
    const timer = setInterval(() => {
      if (!updates.paused && document.visibilityState === 'visible') void this.#take(() => quietly(this.#ask));
    }, milliseconds);
    return () => clearInterval(timer);
  }
}
