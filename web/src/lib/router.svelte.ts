// Every state of the page is in the URL. No patient data is: searches by value stay in memory.

import { toContent } from './focus';

const read = () => ({ path: location.pathname, query: new URLSearchParams(location.search) });

class Router {
  #at = $state.raw(read());

  constructor() {
    addEventListener('popstate', () => (this.#at = read()));
  }

  get path(): string {
    return this.#at.path;
  }

  get query(): URLSearchParams {
    return this.#at.query;
  }

  /** Goes to a page of ours. */
  go(to: string, replace = false): void {
    if (to === location.pathname + location.search) return;
    history[replace ? 'replaceState' : 'pushState'](null, '', to);
    this.#at = read();
    if (!replace) scrollTo(0, 0);
  }

  /** Changes one parameter of the query; an empty value removes it. */
  set(name: string, value: string): void {
    const query = new URLSearchParams(location.search);
    if (value) query.set(name, value);
    else query.delete(name);
    const text = query.toString();
    this.go(location.pathname + (text ? `?${text}` : ''), true);
  }

  /** The parameters of a pattern such as `/messages/:id`; nothing when the path is another. */
  match(pattern: string): Record<string, string> | undefined {
    const wanted = pattern.split('/');
    const given = this.path.split('/');
    if (wanted.length !== given.length) return undefined;
    const found: Record<string, string> = {};
    for (const [index, piece] of wanted.entries()) {
      const value = given[index] ?? '';
      if (piece.startsWith(':')) found[piece.slice(1)] = decodeURIComponent(value);
      else if (piece !== value) return undefined;
    }
    return found;
  }
}

export const router = new Router();

/** Lets ordinary links move inside the page. */
export function link(event: MouseEvent): void {
  const anchor = (event.target as Element | null)?.closest('a');
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!anchor || !plain || anchor.target || anchor.origin !== location.origin || anchor.hasAttribute('download')) return;
  if (anchor.pathname.startsWith('/api/') || anchor.pathname.startsWith('/docs')) return;
  event.preventDefault();
  const target = anchor.pathname === location.pathname && anchor.hash ? document.getElementById(anchor.hash.slice(1)) : null;
  if (target) {
    target.focus();
    target.scrollIntoView();
    return;
  }
  const stays = anchor.pathname === location.pathname;
  router.go(anchor.pathname + anchor.search);
  // Another page takes the focus along by itself.
  if (stays) toContent();
}
