/**
 * What all SSE streams have in common: headers, heartbeats, detection of slow clients, a new ticket before the old one expires,
 * and an end with its reason.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Frame } from './frame.ts';
import { SseTransport } from './transport.ts';
import { SlowGuard, type Pace } from './backpressure.ts';
import type { EndReason, OpenStream, StreamClient, StreamLimit, StreamRegistry } from './stream-registry.ts';
import {
  reconnectDelayMs,
  longestStreamMs,
  IdleTimer,
  TicketRenewal,
  type RenewTicket,
} from './stream-life.ts';

/** A client that requests a stream, with the response that becomes it. */
export interface SseRequest extends StreamClient {
  readonly response: ServerResponse;
  /** Headers of the answer beside those of every event stream: pairs of name and value. */
  readonly headers?: readonly string[];
  /** Makes a ticket for the same principal; undefined for a client that did not come with one. */
  readonly renewTicket?: RenewTicket | undefined;
  /** From the `Last-Event-ID` header, or the query of a client that cannot set it; undefined on a first connect. */
  readonly lastEventId?: string | undefined;
}

export interface SseStreamDeps {
  readonly registry: StreamRegistry;
  /** The event `heartbeat` of this moment, the same for all. */
  readonly heartbeat: () => Frame;
  readonly now: () => number;
}

/** An SSE client reconnects after this long (ms) if it is cut off. */
const retryMs = 3_000;

/** An open SSE response among the streams of the process. */
export class SseStream implements OpenStream {
  readonly client: StreamClient;
  readonly #deps: SseStreamDeps;
  readonly #transport: SseTransport;
  readonly #guard: SlowGuard;
  readonly #openedAt: number;
  readonly #idleTimer = new IdleTimer();
  readonly #onClose: (() => void)[] = [];
  readonly #tickets: TicketRenewal | undefined;
  #whenReady: (() => void) | undefined;
  #ended: EndReason | undefined;

  constructor(request: SseRequest, deps: SseStreamDeps) {
    const { viewer, address, response, headers, renewTicket } = request;
    this.client = { viewer, address };
    this.#deps = deps;
    this.#transport = new SseTransport(response, headers);
    this.#guard = new SlowGuard(this.#transport);
    this.#openedAt = deps.now();
    response.on('close', () => this.#close('client'));
    const { socket } = response.req;
    // One that waits behind another response of its connection is never told when that closes.
    if (response.socket === null) this.#onClose.push(onSocketClose(socket, () => this.#close('client')));
    this.#tickets = renewTicket && new TicketRenewal(renewTicket, this.#openedAt);
    deps.registry.add(this);
    // Gone while its request was looked at: its `close` was told before anybody listened.
    if (response.destroyed || socket.destroyed) this.#close('client');
  }

  get isOpen(): boolean {
    return this.#ended === undefined;
  }

  /** Calls `act` when the stream has ended, whatever the reason. */
  onClose(act: () => void): void {
    if (this.isOpen) this.#onClose.push(act);
    else act();
  }

  /** Calls `act` when the client keeps up again, and every few seconds in which it does. */
  whenReady(act: () => void): void {
    this.#whenReady = act;
  }

  write(frame: Frame): void {
    if (!this.isOpen) return;
    this.#idleTimer.end();
    this.#transport.write(frame);
  }

  /** The first event of every stream. */
  hello(data: object): void {
    this.write(new Frame({ type: 'hello', data: JSON.stringify(data), retryMs }));
  }

  /** Whether the client keeps up; one that does not at all is cut. */
  pace(): Pace {
    const pace = this.#guard.judge(this.#deps.now());
    if (pace === 'slow') this.end('slow');
    if (pace === 'behind') this.#deps.registry.attend(this);
    return pace;
  }

  poll(now: number): boolean {
    if (now - this.#openedAt >= longestStreamMs) {
      this.end('expired');
      return true;
    }
    const pace = this.#guard.judge(now);
    if (pace === 'slow') {
      this.end('slow');
      return true;
    }
    const ticket = this.#tickets?.take(now);
    if (ticket !== undefined) this.write(ticket);
    if (pace !== 'ready') return false;
    this.#whenReady?.();
    if (this.#idleTimer.isLong()) this.write(this.#deps.heartbeat());
    return true;
  }

  end(reason: EndReason): void {
    if (!this.isOpen) return;
    if (reason === 'slow') this.#transport.cut();
    else {
      this.#transport.write(lastFrame(reason));
      this.#transport.end();
    }
    this.#close(reason);
  }

  #close(reason: EndReason): void {
    if (!this.isOpen) return;
    this.#ended = reason;
    this.#deps.registry.closed(this, reason);
    for (const act of this.#onClose.splice(0)) act();
  }
}

/** What is to be done when a socket closes; one listener for all of it, however many requests a client pipelines. */
const actsOnClose = new WeakMap<Socket, Set<() => void>>();

/**
 * Calls `act` when the socket closes. A response that waits behind another one of its connection has no socket yet, and is
 * never told when the connection closes.
 * @returns what withdraws it.
 */
function onSocketClose(socket: Socket, act: () => void): () => void {
  let acts = actsOnClose.get(socket);
  if (acts === undefined) {
    const ofSocket = new Set<() => void>();
    socket.once('close', () => {
      for (const each of [...ofSocket]) each();
    });
    acts = ofSocket;
    actsOnClose.set(socket, acts);
  }
  acts.add(act);
  return () => void acts.delete(act);
}

function lastFrame(reason: EndReason): Frame {
  const retry = reconnectDelayMs(reason);
  if (reason === 'drain')
    return new Frame({ type: 'drain', data: JSON.stringify({ retry_ms: retry }), retryMs: retry });
  const data = {
    reason,
    reconnect: retry !== undefined,
    ...(retry === undefined ? {} : { retry_ms: retry }),
  };
  return new Frame({ type: 'end', data: JSON.stringify(data), retryMs: retry });
}

/** Answers 204: an EventSource does not reconnect after that. */
export function sendAway({ response, headers = [] }: Pick<SseRequest, 'response' | 'headers'>): void {
  response.writeHead(204, headers.slice()).end();
}

/** Refuses a stream in a way that makes a browser reconnect: any status but 200 would end its EventSource permanently. */
export function refuseSoftly(
  { response, headers }: Pick<SseRequest, 'response' | 'headers'>,
  limit: StreamLimit,
): void {
  const retry = reconnectDelayMs('limit');
  const transport = new SseTransport(response, headers);
  transport.write(
    new Frame({ type: 'limit', data: JSON.stringify({ limit, retry_ms: retry }), retryMs: retry }),
  );
  transport.end();
}
