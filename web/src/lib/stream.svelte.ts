// What the engine tells by itself, as server-sent events.

const AGAIN_MS = 5000;

export class Stream {
  link = $state<'connecting' | 'connected' | 'lost'>('connecting');

  /** Listens until told to stop. A refusal ends an EventSource for good, so it is opened anew after a while. */
  open(address: string, heard: Record<string, (value: never) => void>): () => void {
    let source: EventSource;
    let again: ReturnType<typeof setTimeout> | undefined;
    const begin = () => {
      source = new EventSource(address);
      source.onopen = () => (this.link = 'connected');
      source.onerror = () => {
        this.link = 'lost';
        if (source.readyState === EventSource.CLOSED) again = setTimeout(begin, AGAIN_MS);
      };
      for (const [name, take] of Object.entries(heard)) source.addEventListener(name, (event) => take(JSON.parse((event as MessageEvent<string>).data) as never));
    };
    this.link = 'connecting';
    begin();
    return () => {
      clearTimeout(again);
      source.close();
    };
  }
}
