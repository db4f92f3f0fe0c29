/**
 * One event in the bytes of each transport. Bytes are made once, on first use, and then written to every client that gets the
 * event: making them costs more than writing them.
 */

/** An event as it is sent to clients. */
export interface StreamEvent {
  /** Name of the event: `price`, `hello`, `job.progress`… */
  readonly type: string;
  /** JSON text. */
  readonly data: string;
  /** Where a client that comes back goes on from. */
  readonly id?: string | undefined;
  /** Time (ms) after which an SSE client should come back if it is cut off. */
  readonly retryMs?: number | undefined;
  /** A comment before the event, for proxies that count bytes and clients that do not count events. */
  readonly comment?: string | undefined;
}

/** An event as bytes. */
export class Frame {
  readonly #event: StreamEvent;
  #sse: Buffer | undefined;
  #chunk: Buffer | undefined;
  #message: Buffer | undefined;
  #pingedMessage: Buffer | undefined;

  constructor(event: StreamEvent) {
    this.#event = event;
  }

  /** For a Server-Sent Events response without chunks. */
  get sse(): Buffer {
    this.#sse ??= Buffer.from(textOf(this.#event));
    return this.#sse;
  }

  /** The same as one chunk of HTTP/1.1, to be written past the response to its socket. */
  get chunk(): Buffer {
    this.#chunk ??= Buffer.concat([
      Buffer.from(`${this.sse.length.toString(16)}\r\n`),
      this.sse,
      Buffer.from('\r\n'),
    ]);
    return this.#chunk;
  }

  /** A WebSocket message, frame header included. */
  get message(): Buffer {
    this.#message ??= textFrame(messageOf(this.#event));
    return this.#message;
  }

  /** The message after a ping: two frames in one write, since each write costs as much as a price. */
  get pingedMessage(): Buffer {
    this.#pingedMessage ??= Buffer.concat([emptyPing, this.message]);
    return this.#pingedMessage;
  }
}

/** A final, unmasked ping without a payload (RFC 6455, section 5.5.2). */
const emptyPing = Buffer.from([0x89, 0]);

function textOf({ type, data, id, retryMs, comment }: StreamEvent): string {
  const before = comment === undefined ? '' : `: ${comment}\n\n`;
  const retry = retryMs === undefined ? '' : `retry: ${retryMs}\n`;
  return `${before}${retry}${encodeSse({ event: type, data, id })}`;
}

function messageOf({ type, data, id }: StreamEvent): string {
  const position = id === undefined ? '' : `"event_id":${JSON.stringify(id)},`;
  return `{"type":${JSON.stringify(type)},${position}"data":${data}}`;
}

/** One final, unmasked text frame (RFC 6455, section 5.2). */
export function textFrame(text: string): Buffer {
  const payload = Buffer.from(text);
  const { length } = payload;
  if (length < 126) return Buffer.concat([Buffer.from([0x81, length]), payload]);
  const head = Buffer.alloc(length < 65_536 ? 4 : 10);
  head[0] = 0x81;
  if (length < 65_536) {
    head[1] = 126;
    head.writeUInt16BE(length, 2);
  } else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([head, payload]);
}

/**
 * Text of one event. `data` may contain line breaks; `event` and `id` may not, because they would forge fields.
 * @throws {RangeError} when they do.
 */
export function encodeSse({
  event,
  data,
  id,
}: Pick<StreamEvent, 'data' | 'id'> & { readonly event: string }): string {
  if (/[\r\n\0]/.test(event) || (id !== undefined && /[\r\n\0]/.test(id))) {
    throw new RangeError('event and id must not hold line breaks or NUL');
  }
  const lines = data.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`);
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\n${lines.join('')}\n`;
}
