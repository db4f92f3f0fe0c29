import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Frame } from './frame.ts';
import type { Outlet } from './transport.ts';

/**
 * A WebSocket that frames are written past, to its socket: they are made once for all clients. The library writes its own
 * frames (pongs, the close) whole and at once as long as nothing is compressed, so that the two never mix.
 */
export class WsOutlet implements Outlet {
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
