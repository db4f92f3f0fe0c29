/** The transport to one client. */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Frame } from './frame.ts';

export interface StreamTransport {
  /** Bytes written that the system has not taken yet. */
  unsentBytes(): number;
  /** Writes one event. Nothing happens once the connection has ended. */
  write(frame: Frame): void;
  /** Ends the connection after what was written. */
  end(): void;
  /** Cuts the connection, and drops what was not sent. */
  cut(): void;
}

/**
 * Headers of every event stream; `Connection` is not among them, because the server decides when to close. `X-Accel-Buffering`
 * keeps nginx from holding events back, `no-transform` keeps proxies from compressing.
 */
export const sseHeaders = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
} as const;
const sseHeaderPairs: string[] = Object.entries(sseHeaders).flat();

/** A client takes the last bytes within this time (ms) of the end. */
const lastBytesMs = 10_000;

/**
 * A Server-Sent Events response whose headers are sent. Chunks go to the socket as they are: the response object would frame
 * each of them again for each client, which costs half as much again as all the rest.
 */
export class SseTransport implements StreamTransport {
  readonly #response: ServerResponse;
  /** Where chunks go; undefined where the response must frame them itself. */
  readonly #socket: Socket | undefined;

  /** Sends the head, with further headers as pairs of name and value: a stream would keep those that are set for as long as it lives. */
  constructor(response: ServerResponse, headers: readonly string[] = []) {
    this.#response = response;
    response.writeHead(200, sseHeaderPairs.concat(headers));
    response.flushHeaders();
    response.socket?.setNoDelay(true);
    // A client that speaks HTTP/1.0, as some proxies do, gets no chunks; one that pipelines has no socket yet.
    this.#socket = response.chunkedEncoding ? (response.socket ?? undefined) : undefined;
  }

  unsentBytes(): number {
    return this.#socket?.writableLength ?? this.#response.writableLength;
  }

  write(frame: Frame): void {
    if (this.#response.writableEnded || this.#response.destroyed) return;
    if (this.#socket === undefined) this.#response.write(frame.sse);
    else this.#socket.write(frame.chunk);
  }

  end(): void {
    this.#response.end();
    if (this.unsentBytes() === 0) return;
    // Nobody judges the client from here on; one that does not read would hold its connection for ever.
    setTimeout(() => {
      if (!this.#response.writableFinished) this.cut();
    }, lastBytesMs).unref();
  }

  cut(): void {
    this.#response.destroy();
  }
}

/**
 * A WebSocket whose frames are written directly to its socket: they are made once for all clients. The library writes its own
 * frames (pongs, the close) whole and at once as long as nothing is compressed, so that the two never mix.
 */
export class WsTransport implements StreamTransport {
  readonly #ws: WebSocket;
  readonly #socket: Duplex;

  constructor(ws: WebSocket, socket: Duplex) {
    this.#ws = ws;
    this.#socket = socket;
  }

  unsentBytes(): number {
    return this.#socket.writableLength;
  }

  write(frame: Frame): void {
    this.writeBytes(frame.message);
  }

  /** Writes whole frames that were made already. */
  writeBytes(bytes: Buffer): void {
    if (this.#ws.readyState === this.#ws.OPEN && this.#socket.writable) this.#socket.write(bytes);
  }

  /** A ping, and the frame after it. */
  ping(frame: Frame): void {
    this.writeBytes(frame.pingedMessage);
  }

  /** Closes after what was written; a client that does not answer is cut. */
  end(code = 1000, reason = ''): void {
    this.#ws.close(code, reason);
  }

  cut(): void {
    this.#ws.terminate();
  }
}
