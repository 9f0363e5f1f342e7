// Something the engine is asked for again and again while the page is looked at.

import { Problem } from './api';
import { quietly } from './background';
import { updates } from './updates.svelte';

export class Poll<T> {
  value = $state.raw<T | undefined>(undefined);
  problem = $state.raw<Problem | undefined>(undefined);
  /** When the engine answered last. */
  answeredAt = $state<number | undefined>(undefined);
  #ask: () => Promise<T>;

  constructor(ask: () => Promise<T>) {
    this.#ask = ask;
  }

  /** Asks because somebody wants it. */
  now(): Promise<void> {
    return this.#take(this.#ask);
  }

  async #take(ask: () => Promise<T>): Promise<void> {
    try {
      this.value = await ask();
      this.problem = undefined;
      this.answeredAt = Date.now();
    } catch (error) {
      this.problem = error instanceof Problem ? error : new Problem(0, 'fault', String(error));
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
