// What the page asks by itself, without anybody having asked it to. The engine is told, so that a screen that
// is left alone ends its session when its time is over.

let asking = 0;

/** Whether what is asked now is asked by the page itself. */
export const byItself = (): boolean => asking > 0;

/** Asks by itself. What `ask` calls before its first `await` counts, and nothing after it. */
export function quietly<T>(ask: () => Promise<T>): Promise<T> {
  asking += 1;
  try {
    return ask();
  } finally {
    asking -= 1;
  }
}
