// Who looks at the page.

import { searched } from './searched.svelte';
import { api, Problem, remember, type Session, whenSignedOut } from './api';

type State = { is: 'asking' } | { is: 'out'; expired: boolean } | { is: 'unreachable' } | { is: 'in'; session: Session };

class Who {
  state = $state.raw<State>({ is: 'asking' });

  constructor() {
    whenSignedOut(() => this.expire());
  }

  async ask(): Promise<void> {
    try {
      this.enter(await api.session());
    } catch (error) {
      const answered = error instanceof Problem && error.status > 0;
      this.state = answered ? { is: 'out', expired: false } : { is: 'unreachable' };
    }
  }

  enter(session: Session): void {
    remember(session);
    this.state = { is: 'in', session };
  }

  /** The session is over. What was searched for is patient data, and the next person is another. */
  expire(): void {
    searched.forget();
    this.state = { is: 'out', expired: true };
  }

  async leave(): Promise<void> {
    searched.forget();
    await api.signOut().catch(() => undefined);
    this.state = { is: 'out', expired: false };
  }

  /** Takes note of rights that have changed, e.g. by emergency access. */
  async refresh(): Promise<void> {
    this.enter(await api.session());
  }

  get session(): Session | undefined {
    return this.state.is === 'in' ? this.state.session : undefined;
  }

  /** Whether the person may do that; the engine checks it again. */
  may(permission: string): boolean {
    return this.state.is === 'in' && this.state.session.permissions.includes(permission);
  }
}

export const who = new Who();
