// Light, dark, or as the system has it.
const STORED = 'medway.theme';

class Theme {
  chosen = $state(localStorage.getItem(STORED) ?? 'auto');

  constructor() {
    this.#show();
  }

  choose(theme: string): void {
    this.chosen = theme;
    localStorage.setItem(STORED, theme);
    this.#show();
  }

  #show(): void {
    if (this.chosen === 'auto') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = this.chosen;
  }
}

export const theme = new Theme();
