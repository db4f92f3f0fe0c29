/**
 * A WebSocket among the streams of the process: heartbeats in both directions, detection of slow and idle clients, new tickets,
 * and an end whose code says why. Its session handles the messages.
 */
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Frame } from './frame.ts';
import { SlowGuard } from './backpressure.ts';
import type { EndReason, OpenStream, StreamClient, StreamLimit } from './stream-registry.ts';
import type { SseStreamDeps } from './sse-stream.ts';
import {
  reconnectDelayMs,
  longestStreamMs,
  IdleTimer,
  TicketRenewal,
  type RenewTicket,
} from './stream-life.ts';
import { closeCodes, type CloseName } from './ws-messages.ts';
import { WsTransport } from './transport.ts';

/** A client that has been upgraded. */
export interface WsRequest extends StreamClient {
  readonly ws: WebSocket;
  /** What `ws` reads from and writes to. */
  readonly socket: Duplex;
  /** Undefined for a client that did not come with a ticket. */
  readonly renewTicket?: RenewTicket | undefined;
}

/** The interface between a stream and the session that talks over it. */
export interface WsHandler {
  /** Whether the client is subscribed to anything. */
  isIdle(): boolean;
  /** Called when the client keeps up again, and every few seconds in which it does. */
  flush(): void;
  /** The stream has ended. */
  close(): void;
}

/** A ping without its pong for so long (ms) is a dead client. */
const pongDeadlineMs = 15_000;
/** Looks from one ping to the next (20 s): with the silence before it and the deadline, a dead client is found within a minute. */
const pollsPerPing = 4;
/** A connection without a subscription is closed after this long (ms). */
const longestIdleMs = 60_000;

export class WsStream implements OpenStream {
  readonly client: StreamClient;
  readonly #deps: SseStreamDeps;
  readonly #transport: WsTransport;
  readonly #guard: SlowGuard;
  readonly #idleTimer = new IdleTimer();
  readonly #openedAt: number;
  readonly #tickets: TicketRenewal | undefined;
  #handler: WsHandler | undefined;
  /** When the oldest ping without a pong was sent. */
  #pingedAt: number | undefined;
  #polls = 0;
  /** A ping goes out with the next frame, since each write costs as much as a price. */
  #isPingDue = false;
  #idleSince: number | undefined;
  #ended: EndReason | undefined;

  constructor({ viewer, address, ws, socket, renewTicket }: WsRequest, deps: SseStreamDeps) {
    this.client = { viewer, address };
    this.#deps = deps;
    this.#transport = new WsTransport(ws, socket);
    this.#guard = new SlowGuard(this.#transport);
    this.#openedAt = deps.now();
    this.#tickets = renewTicket && new TicketRenewal(renewTicket, this.#openedAt);
    ws.on('close', () => this.#close('client'));
    // The library has closed the connection with the code that the breach calls for.
    ws.on('error', () => this.#close('protocol'));
    ws.on('pong', () => (this.#pingedAt = undefined));
  }

  /** Takes it into the registry, which may end it at once. */
  open(handler: WsHandler): void {
    this.#handler = handler;
    this.#deps.registry.add(this);
  }

  isOpen(): boolean {
    return this.#ended === undefined;
  }

  write(frame: Frame): void {
    if (!this.isOpen()) return;
    this.#idleTimer.end();
    if (this.#isPingDue) this.#ping(frame);
    else this.#transport.write(frame);
  }

  /** Writes whole frames that were made already. */
  writeBytes(bytes: Buffer): void {
    if (this.isOpen()) this.#transport.writeBytes(bytes);
  }

  /** Whether the client takes more; one that does not keep up at all is ended. */
  isReady(): boolean {
    if (!this.isOpen()) return false;
    const pace = this.#guard.judge(this.#deps.now());
    if (pace === 'slow') this.end('slow');
    if (pace === 'behind') this.#deps.registry.attend(this);
    return pace === 'ready';
  }

  poll(now: number): boolean {
    const ending = this.#endingOf(now);
    if (ending !== undefined) {
      if (ending === 'client') this.#transport.cut();
      this.end(ending);
      return true;
    }
    if (!this.isReady()) return !this.isOpen();
    const ticket = this.#tickets?.take(now);
    if (ticket !== undefined) this.write(ticket);
    this.#handler?.flush();
    this.#polls += 1;
    if (this.#polls % pollsPerPing === 0) this.#isPingDue = true;
    if (this.#idleTimer.isLong()) this.write(this.#deps.heartbeat());
    return true;
  }

  end(reason: EndReason): void {
    const code = reason === 'client' || reason === 'protocol' ? 'complete' : reason;
    const retry = reconnectDelayMs(reason);
    this.#endWith(code, { reason, text: retry === undefined ? reason : `${reason} ${retry}` });
  }

  /** Ends it because the client broke a rule, with a code of its own. */
  breach(code: CloseName, text: string): void {
    this.#endWith(code, { reason: 'protocol', text });
  }

  #endWith(code: CloseName, { reason, text }: { reason: EndReason; text: string }): void {
    if (!this.isOpen()) return;
    this.#transport.end(closeCodes[code], text);
    this.#close(reason);
  }

  #close(reason: EndReason): void {
    if (!this.isOpen()) return;
    this.#ended = reason;
    this.#deps.registry.closed(this, reason);
    this.#handler?.close();
  }

  #ping(frame: Frame): void {
    this.#isPingDue = false;
    this.#pingedAt ??= this.#deps.now();
    this.#transport.ping(frame);
  }

  #endingOf(now: number): EndReason | undefined {
    if (now - this.#openedAt >= longestStreamMs) return 'expired';
    if (this.#pingedAt !== undefined && now - this.#pingedAt >= pongDeadlineMs) return 'client';
    return this.#isIdleTooLong(now) ? 'idle' : undefined;
  }

  #isIdleTooLong(now: number): boolean {
    this.#idleSince = this.#handler?.isIdle() === true ? (this.#idleSince ?? now) : undefined;
    return this.#idleSince !== undefined && now - this.#idleSince >= longestIdleMs;
  }
}

/** Closes a connection for which there is no room; the reason names the limit and when (ms) to reconnect. */
export function refuseWs(ws: WebSocket, limit: StreamLimit): void {
  ws.on('error', () => undefined);
  ws.close(closeCodes.limit, `limit ${reconnectDelayMs('limit') ?? ''} ${limit}`);
}
