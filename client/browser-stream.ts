/**
 * A stream over the browser's own EventSource, which cannot send headers: the URL carries a ticket. EventSource reconnects by
 * itself after most interruptions, with the ticket that it started with; once that has expired the server answers 401 and
 * EventSource gives up. Then this opens a new one, with the newest of the tickets that the stream has sent and the id of the
 * last event. Imports nothing, so that a page can use the file as it is.
 */

/** What this needs of EventSource; the browser's own fits. */
export interface EventSourceLike {
  readonly readyState: number;
  /** An event without data (`open`, `error`) has neither field. */
  addEventListener(
    name: string,
    listener: (event: { readonly data?: string; readonly lastEventId?: string }) => void,
  ): void;
  close(): void;
}

export interface BrowserStreamOptions {
  /** From `POST /auth/stream-ticket`. */
  readonly ticket: string;
  /** Gets a ticket when all that are known may have expired, as after a long sleep. */
  readonly renewTicket?: () => Promise<string>;
  /** Id of the last event of an earlier stream, to go on after it. */
  readonly lastEventId?: string;
  /** Called once when the stream has ended and will not reconnect, with the server's reason or `gave_up`. */
  readonly onEnd?: (reason: string) => void;
  /** Instead of the browser's own. */
  readonly EventSource?: new (url: string) => EventSourceLike;
}

/** Without any sign of life for so long (ms) a connection is taken for dead; the server gives one every 15 s. */
const silenceMs = 40_000;
const pollIntervalMs = 5_000;
const firstPauseMs = 500;
const maxPauseMs = 15_000;
/** Refusals in a row after which the stream is given up. */
const maxRefusals = 12;
/** Refusals in a row after which the newest ticket is doubted. */
const trustedRefusals = 1;
const closed = 2;

/** Events that carry ids or are of use here; others are listened to when somebody asks for them. */
const ownEvents = ['hello', 'heartbeat', 'price', 'portfolio', 'ticket', 'end', 'drain', 'limit', 'reset'];
const jobEvents = ['job.progress', 'job.coin', 'job.completed', 'job.failed', 'job.cancelled'];

/**
 * Opens a stream.
 * @throws {Error} when EventSource is not available.
 */
export function openEventSource(url: string, options: BrowserStreamOptions) {
  const stream = new ReopeningSource(url, options);
  return {
    /** Calls `fn` with the data (parsed JSON) and the id of each event of this name. */
    onEvent: (name: string, fn: Listener): void => stream.on(name, fn),
    close: (): void => stream.close(),
  };
}

type Listener = (data: unknown, id: string) => void;

class ReopeningSource {
  readonly #url: string;
  readonly #options: BrowserStreamOptions;
  readonly #listeners = new Map<string, Listener[]>();
  #source: EventSourceLike | undefined;
  #ticket: string;
  #lastEventId: string;
  #heardAt = 0;
  #refusals = 0;
  #pausing: ReturnType<typeof setTimeout> | undefined;
  #polling: ReturnType<typeof setInterval> | undefined;
  #isClosed = false;

  constructor(url: string, options: BrowserStreamOptions) {
    this.#url = url;
    this.#options = options;
    this.#ticket = options.ticket;
    this.#lastEventId = options.lastEventId ?? '';
    for (const name of [...ownEvents, ...jobEvents]) this.#listeners.set(name, []);
    this.#open();
    this.#polling = setInterval(() => this.#poll(), pollIntervalMs);
  }

  on(name: string, fn: Listener): void {
    const known = this.#listeners.get(name);
    if (known !== undefined) known.push(fn);
    else {
      this.#listeners.set(name, [fn]);
      if (this.#source !== undefined) this.#listen(this.#source, name);
    }
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#polling);
    clearTimeout(this.#pausing);
    this.#source?.close();
    this.#source = undefined;
  }

  #open(): void {
    const Source = this.#options.EventSource ?? browserEventSource();
    const parameters = new URLSearchParams({ ticket: this.#ticket });
    if (this.#lastEventId !== '') parameters.set('lastEventId', this.#lastEventId);
    const source = new Source(`${this.#url}${this.#url.includes('?') ? '&' : '?'}${parameters.toString()}`);
    this.#source = source;
    this.#heardAt = Date.now();
    source.addEventListener('open', () => (this.#heardAt = Date.now()));
    source.addEventListener('error', () => {
      if (this.#source === source && source.readyState === closed) this.#reopen();
    });
    for (const name of this.#listeners.keys()) this.#listen(source, name);
  }

  #listen(source: EventSourceLike, name: string): void {
    source.addEventListener(name, ({ data, lastEventId = '' }) => {
      if (this.#source === source && data !== undefined) this.#take(name, data, lastEventId);
    });
  }

  #take(name: string, text: string, id: string): void {
    this.#heardAt = Date.now();
    this.#refusals = 0;
    if (id !== '') this.#lastEventId = id;
    const data: unknown = JSON.parse(text);
    if (name === 'ticket') this.#ticket = textOf(data, 'ticket') ?? this.#ticket;
    for (const fn of this.#listeners.get(name) ?? []) fn(data, id);
    // It would come back by itself, and be refused.
    if (name === 'end' && fieldOf(data, 'reconnect') === false) this.#end(textOf(data, 'reason') ?? 'ended');
  }

  #poll(): void {
    const source = this.#source;
    if (source === undefined || Date.now() - this.#heardAt < silenceMs) return;
    // No refusal: the server may be away, and then this goes on as EventSource would.
    source.close();
    this.#open();
  }

  /** Takes the place of a source that has given up, after a pause that grows. */
  #reopen(): void {
    this.#source = undefined;
    this.#refusals += 1;
    if (this.#refusals > maxRefusals) {
      this.#end('gave_up');
      return;
    }
    const pauseMs = Math.min(maxPauseMs, firstPauseMs * 2 ** (this.#refusals - 1));
    this.#pausing = setTimeout(() => void this.#openAgain(), pauseMs * (0.75 + Math.random() / 4));
  }

  async #openAgain(): Promise<void> {
    const { renewTicket } = this.#options;
    if (renewTicket !== undefined && this.#refusals > trustedRefusals) {
      // Without a new one the old one is tried again: the server may have been away, and not the ticket too old.
      this.#ticket = await renewTicket().catch(() => this.#ticket);
    }
    if (!this.#isClosed) this.#open();
  }

  #end(reason: string): void {
    if (this.#isClosed) return;
    this.close();
    this.#options.onEnd?.(reason);
  }
}

function browserEventSource(): new (url: string) => EventSourceLike {
  const found = (globalThis as { EventSource?: new (url: string) => EventSourceLike }).EventSource;
  if (found === undefined) throw new Error('EventSource is not available here; pass one');
  return found;
}

function fieldOf(data: unknown, name: string): unknown {
  return typeof data === 'object' && data !== null ? (data as Record<string, unknown>)[name] : undefined;
}

function textOf(data: unknown, name: string): string | undefined {
  const value = fieldOf(data, name);
  return typeof value === 'string' ? value : undefined;
}
