/**
 * Prices and jobs over one logical WebSocket that reconnects as needed: each new connection gets the subscriptions of the
 * previous one, and jobs continue after the last event that was seen. Works with the global WebSocket of browsers and Node 22,
 * and with the package `ws` on Node 20.
 *
 *   idle      no connection and none needed: until the first request, or after the server closed an unused one
 *   opening   connecting, or waiting to reconnect
 *   open      greeted by the server; requests are sent
 *   closed    final
 */
import { PricepoolError, type FieldProblem } from './pricepool-error.ts';

const defaultTimeoutMs = 15_000;
const defaultMaxFailures = 12;
/** The server sends something every 15 s. */
const silenceMs = 40_000;
const firstPauseMs = 500;
const maxPauseMs = 15_000;
const idleCode = 4000;
/** There is nothing to come back for: all was sent, the credential was revoked, or the server does not like how we talk. */
const finalCodes = new Set([1000, 1002, 1003, 1007, 1008, 1009, 4001, 4008, 4400]);

/**
 * Creates a socket; it connects with the first request. `url` is that of the API: `http://…`, `https://…`, `ws://…` or
 * `wss://…`.
 */
export function openLiveSocket(url: string, options: LiveSocketOptions): LiveSocket {
  return new ReopeningSocket(
    `${url.replace(/^http/, 'ws').replace(/\/+$/, '')}/api/v1/crypto/stream/ws`,
    options,
  );
}

interface SocketMessage extends SocketResponse {
  readonly type?: string;
  readonly event_id?: string;
  readonly data?: unknown;
}

class ReopeningSocket implements LiveSocket {
  readonly #url: string;
  readonly #options: LiveSocketOptions;
  readonly #subscriptions = new LiveSubscriptions();
  readonly #pending = new PendingResponses();
  readonly #waiting = new Set<() => void>();
  readonly #listeners = new Map<string, ((data: unknown, id: string | undefined) => void)[]>();
  #state: 'idle' | 'opening' | 'open' | 'closed' = 'idle';
  #socket: WebSocketLike | undefined;
  #ticket: string | undefined;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, options: LiveSocketOptions) {
    this.#url = url;
    this.#options = options;
  }

  async subscribe(subscription: Subscription): Promise<Watched> {
    const answer = await this.#request('subscribe', subscription);
    return { coins: answer.coins ?? 0, jobs: answer.jobs ?? 0 };
  }

  async unsubscribe(subscription: Omit<Subscription, 'interval'>): Promise<Watched> {
    // Also when the answer is lost: the next connection is not subscribed to it.
    this.#subscriptions.remove(subscription);
    const answer = await this.#request('unsubscribe', subscription);
    return { coins: answer.coins ?? 0, jobs: answer.jobs ?? 0 };
  }

  async ping(): Promise<void> {
    await this.#request('ping', {});
  }

  onEvent(type: string, fn: (data: unknown, id: string | undefined) => void): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), fn]);
  }

  close(): void {
    this.#end('closed');
  }

  async #request(action: string, fields: SubscribeFields): Promise<SocketResponse> {
    const until = Date.now() + (this.#options.timeoutMs ?? defaultTimeoutMs);
    await this.#opened(until);
    return await this.#send(action, fields, until);
  }

  /** Waits for an open connection, and makes one where there is none. */
  async #opened(until: number): Promise<void> {
    if (this.#state === 'idle') void this.#connect();
    if (this.#state === 'opening') {
      if (this.#waiting.size >= maxPending) throw lost('too many requests are waiting');
      await new Promise<void>((resolve) => {
        const go = (): void => {
          clearTimeout(timer);
          this.#waiting.delete(go);
          resolve();
        };
        const timer = setTimeout(go, until - Date.now());
        this.#waiting.add(go);
      });
    }
    if (this.#state !== 'open')
      throw lost(this.#state === 'closed' ? 'the socket is closed' : 'no connection');
  }

  async #send(action: string, fields: SubscribeFields, until: number): Promise<SocketResponse> {
    return await this.#pending.ask(until, {
      send: (id) => this.#socket?.send(JSON.stringify({ action, id, ...fields })),
      // Before anything else of the connection is read: events of the job may follow in the same turn.
      onResponse: () => {
        if (action === 'subscribe') this.#subscriptions.add(fields);
      },
    });
  }

  async #connect(): Promise<void> {
    this.#state = 'opening';
    try {
      const credential = await this.#credential();
      if (!this.#isClosed()) this.#open(credential);
    } catch (error) {
      if (error instanceof PricepoolError && error.status === 401) this.#end('unauthenticated');
      else this.#comeBack();
    }
  }

  /** A ticket that the server has sent is tried once. */
  async #credential(): Promise<SocketCredential> {
    const ticket = this.#ticket;
    this.#ticket = undefined;
    return ticket === undefined ? await this.#options.credential() : { ticket };
  }

  #open(credential: SocketCredential): void {
    const Socket = (this.#options.WebSocket ?? globalSocket()) as new (
      url: string,
      protocols: string[],
    ) => WebSocketLike;
    const query = 'ticket' in credential ? `?ticket=${encodeURIComponent(credential.ticket)}` : '';
    const protocols = 'token' in credential ? ['pricepool', `bearer.${credential.token}`] : ['pricepool'];
    const socket = new Socket(`${this.#url}${query}`, protocols);
    this.#socket = socket;
    this.#listenForSilence(socket);
    socket.addEventListener('message', ({ data }) => {
      if (this.#socket !== socket) return;
      this.#listenForSilence(socket);
      this.#take(JSON.parse(String(data)) as SocketMessage);
    });
    // The close that follows says the same.
    socket.addEventListener('error', () => undefined);
    socket.addEventListener('close', ({ code = 1006, reason = '' }) => {
      if (this.#socket === socket) this.#lose(code, reason);
    });
  }

  #take(message: SocketMessage): void {
    if (message.type !== undefined) this.#takeEvent(message.type, message);
    else if (message.id !== undefined) {
      this.#pending.settle(message.id, message);
    } else if (message.action === 'problem' && message.job !== undefined) {
      const subscription = { jobs: [message.job] };
      this.#subscriptions.remove(subscription);
      this.#options.onLost?.(subscription, refusal(message));
    }
  }

  #takeEvent(type: string, { event_id: id, data }: SocketMessage): void {
    // Each job greets too.
    if (type === 'hello' && this.#state === 'opening') void this.#begin();
    if (type === 'ticket') this.#ticket = (data as { ticket?: string }).ticket;
    if (type.startsWith('job.')) this.#note(type, (data as { job: string }).job, id);
    for (const fn of this.#listeners.get(type) ?? []) fn(data, id);
  }

  #note(type: string, job: string, id: string | undefined): void {
    if (type === 'job.completed' || type === 'job.failed' || type === 'job.cancelled')
      this.#subscriptions.remove({ jobs: [job] });
    else if (id !== undefined) this.#subscriptions.saw(job, id);
  }

  /** Greeted: what the connection before was subscribed to comes first. */
  async #begin(): Promise<void> {
    this.#failures = 0;
    this.#state = 'open';
    for (const fields of this.#subscriptions.messages()) {
      try {
        await this.#send('subscribe', fields, Date.now() + (this.#options.timeoutMs ?? defaultTimeoutMs));
      } catch (error) {
        if (!(error instanceof PricepoolError)) throw error;
        // A lost connection is another matter: the next one tries again.
        if (error.status === 0) return;
        this.#subscriptions.remove(fields);
        this.#options.onLost?.(fields, error);
      }
    }
    for (const go of [...this.#waiting]) go();
  }

  #lose(code: number, reason: string): void {
    clearTimeout(this.#timer);
    this.#socket = undefined;
    this.#pending.loseAll(`the connection was lost (${code})`);
    if (finalCodes.has(code)) this.#end(reason === '' ? String(code) : reason);
    else if (code === idleCode && this.#subscriptions.isEmpty) this.#state = 'idle';
    else this.#comeBack(Number(/\b\d{1,7}\b/.exec(reason)?.[0] ?? Number.NaN));
  }

  /** Connects again after the pause that the server asks for, or one that grows. */
  #comeBack(requestedMs = Number.NaN): void {
    if (this.#isClosed()) return;
    this.#state = 'opening';
    this.#failures += 1;
    if (this.#failures >= (this.#options.maxFailures ?? defaultMaxFailures)) {
      this.#end('gave_up');
      return;
    }
    const grownMs = Math.min(maxPauseMs, firstPauseMs * 2 ** (this.#failures - 1));
    const pauseMs = Number.isNaN(requestedMs) ? grownMs * (0.75 + Math.random() / 4) : requestedMs;
    this.#timer = setTimeout(() => void this.#connect(), pauseMs);
  }

  #listenForSilence(socket: WebSocketLike): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      // A dead connection does not answer a close: it is not waited for.
      this.#lose(1006, '');
      socket.close();
    }, silenceMs);
  }

  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #end(reason: string): void {
    if (this.#isClosed()) return;
    this.#state = 'closed';
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = undefined;
    this.#pending.loseAll('the socket is closed');
    for (const go of [...this.#waiting]) go();
    socket?.close(1000);
    this.#options.onEnd?.(reason);
  }
}

function globalSocket(): SocketClass {
  const found = (globalThis as { WebSocket?: SocketClass }).WebSocket;
  if (found === undefined)
    throw new Error('WebSocket is not available here; pass one, such as the one of the package ws');
  return found;
}

/** What a caller gives and gets of a live socket (live-socket.ts). */

/** What this needs of a WebSocket; the global one and that of `ws` fit. */
export interface WebSocketLike {
  send(text: string): void;
  close(code?: number): void;
  addEventListener(
    name: 'message' | 'error' | 'close',
    /** Given the fields of a message or a close. */
    listener: (event: {
      readonly type: string;
      readonly data?: unknown;
      readonly code?: number;
      readonly reason?: string;
    }) => void,
  ): void;
}

/** An access token or API key, or a stream ticket. */
export type SocketCredential = { readonly token: string } | { readonly ticket: string };

/** Any WebSocket class. Its parameters are not compared: that of `ws` takes more than this gives it, in overloads. */
export type SocketClass = new (url: never, protocols: never) => WebSocketLike;

export interface LiveSocketOptions {
  /** Asked before each connection, unless the server has sent a new ticket meanwhile. A rejection with status 401 is final. */
  readonly credential: () => SocketCredential | Promise<SocketCredential>;
  /** Instead of the global one, which Node 20 does not have. */
  readonly WebSocket?: SocketClass;
  /** Called once, when the socket has closed and will not reconnect. */
  readonly onEnd?: (reason: string) => void;
  /** What is no longer subscribed to: a new connection could not be, or the server cannot read the events of a job. */
  readonly onLost?: (subscription: Subscription, error: PricepoolError) => void;
  /** Longest time (ms) that a request takes, connecting included; default 15 s. */
  readonly timeoutMs?: number;
  /** Connections in a row that fail, after which it is given up; default 12. */
  readonly maxFailures?: number;
}

/** How much the connection watches after a request. */
export interface Watched {
  readonly coins: number;
  readonly jobs: number;
}

/** Requests reject with {@link PricepoolError}: the server's refusal, or status 0 when there was no answer. */
export interface LiveSocket {
  subscribe(subscription: Subscription): Promise<Watched>;
  unsubscribe(subscription: Omit<Subscription, 'interval'>): Promise<Watched>;
  ping(): Promise<void>;
  /** Calls `fn` with the data and the id of each event of this type: `price`, `job.completed`, `heartbeat`… */
  onEvent(type: string, fn: (data: unknown, id: string | undefined) => void): void;
  close(): void;
}

/** What a WebSocket is subscribed to: kept, so that the next connection can be subscribed to the same. */

/** What to subscribe to: coins, jobs, or both. */
export interface Subscription {
  readonly coins?: readonly string[];
  readonly jobs?: readonly string[];
  /** Of the coins; `usd` when absent. */
  readonly currency?: string;
  /** Least seconds between two updates of the coins; 1 when absent. */
  readonly interval?: number;
}

/** The fields of a message `subscribe`. */
type SubscribeFields = Subscription & { readonly last_event_ids?: Readonly<Record<string, string>> };

/** Messages stay well below the server's largest. */
const coinsPerMessage = 100;
const jobsPerMessage = 20;

/** See the head of the file. Bounded by the server, which refuses what is too much. */
class LiveSubscriptions {
  /** By currency and interval. */
  readonly #coins = new Map<string, { currency: string; interval: number; ids: Set<string> }>();
  /** Last event that was seen, by job. */
  readonly #jobs = new Map<string, string | undefined>();

  get isEmpty(): boolean {
    return this.#jobs.size === 0 && [...this.#coins.values()].every(({ ids }) => ids.size === 0);
  }

  add({ coins = [], jobs = [], currency = 'usd', interval = 1 }: Subscription): void {
    // The server watches a coin once per currency, at the interval asked for last.
    this.remove({ coins, currency });
    const key = `${currency} ${interval}`;
    const group = this.#coins.get(key) ?? { currency, interval, ids: new Set() };
    if (coins.length > 0) this.#coins.set(key, group);
    for (const coin of coins) group.ids.add(coin);
    for (const job of jobs) if (!this.#jobs.has(job)) this.#jobs.set(job, undefined);
  }

  remove({ coins = [], jobs = [], currency = 'usd' }: Omit<Subscription, 'interval'>): void {
    for (const [key, group] of this.#coins) {
      if (group.currency === currency) for (const coin of coins) group.ids.delete(coin);
      if (group.ids.size === 0) this.#coins.delete(key);
    }
    for (const job of jobs) this.#jobs.delete(job);
  }

  /** An event of a job was seen. */
  saw(job: string, eventId: string): void {
    if (this.#jobs.has(job)) this.#jobs.set(job, eventId);
  }

  /** Messages that subscribe a new connection to all of it, jobs from the last event on. */
  messages(): SubscribeFields[] {
    const ofCoins = [...this.#coins.values()].flatMap(({ currency, interval, ids }) =>
      pieces([...ids], coinsPerMessage).map((coins) => ({ coins, currency, interval })),
    );
    const ofJobs = pieces([...this.#jobs], jobsPerMessage).map((entries) => {
      const seen = entries.filter((entry): entry is [string, string] => entry[1] !== undefined);
      return { jobs: entries.map(([job]) => job), last_event_ids: Object.fromEntries(seen) };
    });
    return [...ofCoins, ...ofJobs];
  }
}

function pieces<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, piece) =>
    items.slice(piece * size, (piece + 1) * size),
  );
}

/** Requests over a WebSocket that wait for their answers, each until its own deadline. */

/** What the server says to a request, or of its own accord when something cannot go on. */
interface SocketResponse {
  readonly action?: string;
  readonly id?: string;
  readonly code?: string;
  readonly message?: string;
  readonly fields?: readonly FieldProblem[];
  readonly retry_after?: number;
  /** Of a problem that is no answer: the events of this job stop. */
  readonly job?: string;
  readonly coins?: number;
  readonly jobs?: number;
}

/** Requests that may wait at the same time. */
const maxPending = 100;

/** The requests of one socket. */
class PendingResponses {
  readonly #pending = new Map<
    string,
    { readonly resolve: (answer: SocketResponse) => void; readonly reject: (error: PricepoolError) => void }
  >();
  #requests = 0;

  /**
   * Sends a request and waits for its answer until `until` (ms since the epoch).
   * @throws {PricepoolError} the refusal, or status 0 when there was no answer.
   */
  async ask(
    until: number,
    { send, onResponse }: { readonly send: (id: string) => void; readonly onResponse: () => void },
  ): Promise<SocketResponse> {
    if (this.#pending.size >= maxPending) throw lost('too many requests are waiting');
    const id = String((this.#requests += 1));
    return await new Promise<SocketResponse>((resolve, reject) => {
      const forget = (): void => {
        clearTimeout(timer);
        this.#pending.delete(id);
      };
      const fail = (error: PricepoolError): void => {
        forget();
        reject(error);
      };
      const timer = setTimeout(() => fail(lost('no answer in time')), Math.max(0, until - Date.now()));
      const succeed = (answer: SocketResponse): void => {
        forget();
        onResponse();
        resolve(answer);
      };
      this.#pending.set(id, { resolve: succeed, reject: fail });
      send(id);
    });
  }

  /** Hands an answer to who asked for it; one that came too late is nobody's. */
  settle(id: string, answer: SocketResponse): void {
    const pending = this.#pending.get(id);
    if (answer.action === 'problem') pending?.reject(refusal(answer));
    else pending?.resolve(answer);
  }

  /** No answer will come any more. */
  loseAll(reason: string): void {
    for (const { reject } of [...this.#pending.values()]) reject(lost(reason));
  }
}

/** There was no answer. */
export function lost(reason: string): PricepoolError {
  return new PricepoolError(`No answer over the WebSocket: ${reason}`, {
    status: 0,
    code: 'connection_lost',
  });
}

/** Refusals over a WebSocket have no status; all of them are the answer to this very request. */
function refusal(answer: SocketResponse): PricepoolError {
  const { code = 'unknown', message = 'The API refused', fields, retry_after: retryAfterSeconds } = answer;
  return new PricepoolError(message, { status: 400, code, fields, retryAfterSeconds });
}
