// The focus of somebody without a mouse: taken along to what is new, and never lost with what goes away.

const FOCUSABLE = 'a[href], button:not(:disabled), input:not(:disabled), select:not(:disabled), textarea:not(:disabled), summary, [tabindex="0"]';

/** An element that has the focus as soon as it is there. */
export function focused(one: HTMLElement): void {
  one.focus();
}

/** On to the page's content. */
export function toContent(): void {
  document.getElementById('content')?.focus({ preventScroll: true });
}

/** When a refresh takes the focused thing away, its neighbour gets the focus: the button that has come in its place,
 * the next row, or the page. Otherwise it would be at the start of the document. Answers how to stop. */
export function keepFocus(): () => void {
  let way: Element[] = [];
  const note = (event: FocusEvent) => {
    way = [];
    for (let at = event.target as Element | null; at; at = at.parentElement) way.push(at);
  };
  const mend = () => {
    const [last] = way;
    if (!last || last.isConnected || document.activeElement !== document.body) return;
    const near = way.find((one) => one.isConnected);
    const next = near && near.id !== 'content' && near.closest('#content') ? near.querySelector<HTMLElement>(FOCUSABLE) : null;
    way = [];
    if (next) next.focus({ preventScroll: true });
    else toContent();
  };
  const watch = new MutationObserver(mend);
  watch.observe(document.body, { childList: true, subtree: true });
  document.addEventListener('focusin', note);
  return () => {
    watch.disconnect();
    document.removeEventListener('focusin', note);
  };
}
