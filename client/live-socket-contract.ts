/** What a caller gives and gets of a live socket (live-socket.ts). */
import type { Subscription } from './live-subscriptions.ts';
import type { PricepoolError } from './pricepool-error.ts';

/** What this needs of a WebSocket; the global one and that of `ws` fit. */
export interface WebSocketLike {
  send(text: string): void;
  close(code?: number): void;
  addEventListener(name: 'message' | 'error' | 'close', listener: (event: SocketEvent) => void): void;
}

/** The fields of a message or a close. */
export interface SocketEvent {
  readonly type: string;
  readonly data?: unknown;
  readonly code?: number;
  readonly reason?: string;
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
  /** Called once, when it has ended for good. */
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
  /** Calls `fn` with the data and the id of each event of this type: `price`, `job.completed`, `hb`… */
  onEvent(type: string, fn: (data: unknown, id: string | undefined) => void): void;
  close(): void;
}
