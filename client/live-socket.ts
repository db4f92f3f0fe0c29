/**
 * Prices and jobs over one WebSocket, over as many connections as that takes: each new one is subscribed to what the one before
 * was, and jobs go on after the last event that was seen. Works with the global WebSocket of browsers and Node 22, and with
 * the package `ws` on Node 20.
 *
 *   idle      no connection, and no need of one: until the first request, or after the server closed an unused one
 *   opening   a connection is being made, or the next one is waited for
 *   open      greeted by the server; requests are sent
 *   closed    for good
 */
import type {
  LiveSocket,
  LiveSocketOptions,
  SocketClass,
  SocketCredential,
  Watched,
  WebSocketLike,
} from './live-socket-contract.ts';
import { LiveSubscriptions, type SubscribeFields, type Subscription } from './live-subscriptions.ts';
import { lost, mostPending, PendingAnswers, refusal, type Answer } from './pending-answers.ts';
import { PricepoolError } from './pricepool-error.ts';

const defaultTimeoutMs = 15_000;
const defaultMaxFailures = 12;
/** The server sends something every 15 s. */
const silenceMs = 40_000;
const firstPauseMs = 500;
const maxPauseMs = 15_000;
const idleCode = 4000;
/** There is nothing to come back for: all was sent, the credential was revoked, or the server does not like how we talk. */
const finalCodes = new Set([1000, 1002, 1003, 1007, 1008, 1009, 4001, 4008, 4400]);

/** Makes a socket; it connects with the first request. `url` is that of the API: `http://…`, `https://…`, `ws://…` or `wss://…`. */
export function openLiveSocket(url: string, options: LiveSocketOptions): LiveSocket {
  return new ReopeningSocket(
    `${url.replace(/^http/, 'ws').replace(/\/+$/, '')}/api/v1/crypto/stream/ws`,
    options,
  );
}

interface SocketMessage extends Answer {
  readonly type?: string;
  readonly event_id?: string;
  readonly data?: unknown;
}

class ReopeningSocket implements LiveSocket {
  readonly #url: string;
  readonly #options: LiveSocketOptions;
  readonly #subscriptions = new LiveSubscriptions();
  readonly #pending = new PendingAnswers();
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

  async #request(action: string, fields: SubscribeFields): Promise<Answer> {
    const until = Date.now() + (this.#options.timeoutMs ?? defaultTimeoutMs);
    await this.#opened(until);
    return await this.#send(action, fields, until);
  }

  /** Waits for an open connection, and makes one where there is none. */
  async #opened(until: number): Promise<void> {
    if (this.#state === 'idle') void this.#connect();
    if (this.#state === 'opening') {
      if (this.#waiting.size >= mostPending) throw lost('too many requests are waiting');
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

  async #send(action: string, fields: SubscribeFields, until: number): Promise<Answer> {
    return await this.#pending.ask(until, {
      send: (id) => this.#socket?.send(JSON.stringify({ action, id, ...fields })),
      // Before anything else of the connection is read: events of the job may follow in the same turn.
      onAnswer: () => {
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
    const Socket = (this.#options.WebSocket ?? globalSocket()) as UsedClass;
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
  #comeBack(askedMs = Number.NaN): void {
    if (this.#isClosed()) return;
    this.#state = 'opening';
    this.#failures += 1;
    if (this.#failures >= (this.#options.maxFailures ?? defaultMaxFailures)) {
      this.#end('gave_up');
      return;
    }
    const grownMs = Math.min(maxPauseMs, firstPauseMs * 2 ** (this.#failures - 1));
    const pauseMs = Number.isNaN(askedMs) ? grownMs * (0.75 + Math.random() / 4) : askedMs;
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

/** How each of them can be used. */
type UsedClass = new (url: string, protocols: string[]) => WebSocketLike;

function globalSocket(): SocketClass {
  const found = (globalThis as { WebSocket?: SocketClass }).WebSocket;
  if (found === undefined)
    throw new Error('There is no WebSocket here; pass one, such as that of the package ws');
  return found;
}
