// Single-key shortcuts. They can be turned off (WCAG 2.2 §2.1.4) and never fire while somebody types.
import { router } from './router.svelte';

const STORED = 'medway.shortcuts';

class Shortcuts {
  on = $state(localStorage.getItem(STORED) !== 'off');

  toggle(): void {
    this.on = !this.on;
    localStorage.setItem(STORED, this.on ? 'on' : 'off');
  }
}

export const shortcuts = new Shortcuts();

/** Moves the focus among the links of a list's rows. */
function move(step: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>('[data-row]')];
  const at = rows.findIndex((row) => row === document.activeElement);
  rows[Math.min(Math.max(at + step, 0), rows.length - 1)]?.focus();
}

export function onKey(event: KeyboardEvent, help: () => void): void {
  const from = event.target as HTMLElement;
  const typing = from.closest('input, textarea, select, [contenteditable], [role=dialog], [role=tree]');
  if (!shortcuts.on || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const acts: Record<string, () => void> = {
    '/': () => {
      const box = document.querySelector<HTMLElement>('[data-search]');
      if (box) box.focus();
      else router.go('/messages');
    },
    j: () => move(1),
    k: () => move(-1),
    r: () => document.querySelector<HTMLElement>('[data-resend]')?.click(),
    '?': help,
  };
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}
