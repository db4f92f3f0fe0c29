/** The way to one client, whatever the transport. */
import type { ServerResponse } from 'node:http';
import type { Frame } from './frame.ts';
import { sseHeaders } from './sse.ts';

export interface Outlet {
  /** Bytes written that the system has not taken yet. */
  unsentBytes(): number;
  /** Writes one event. Nothing happens once the connection has ended. */
  write(frame: Frame): void;
  /** Ends the connection after what was written. */
  end(): void;
  /** Cuts the connection, and drops what was not sent. */
  cut(): void;
}

/** A client takes the last bytes within this time (ms) of the end. */
const lastBytesMs = 10_000;

/**
 * A Server-Sent Events response whose head is sent. Chunks go to the socket as they are: the response would frame each of them
 * anew for each client, which costs half as much again as all the rest.
 */
export class SseOutlet implements Outlet {
  readonly #response: ServerResponse;
  readonly #isDirect: boolean;

  /** Sends the head. */
  constructor(response: ServerResponse) {
    this.#response = response;
    response.writeHead(200, sseHeaders);
    response.flushHeaders();
    response.socket?.setNoDelay(true);
    // A client that speaks HTTP/1.0, as some proxies do, gets no chunks; one that pipelines has no socket yet.
    this.#isDirect = response.chunkedEncoding && response.socket !== null;
  }

  unsentBytes(): number {
    return this.#response.socket?.writableLength ?? this.#response.writableLength;
  }

  write(frame: Frame): void {
    const { socket, writableEnded, destroyed } = this.#response;
    if (writableEnded || destroyed) return;
    if (this.#isDirect) socket?.write(frame.chunk);
    else this.#response.write(frame.sse);
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
