/** One message of an event stream. */
export interface SseMessage {
  readonly event: string;
  readonly data: string;
  /** As sent with this very message; undefined when it had none. */
  readonly id: string | undefined;
}

interface SseParserOptions {
  readonly onMessage: (message: SseMessage) => void;
  /** The server says how long to wait (ms) before coming back. */
  readonly onRetry: (ms: number) => void;
}

/** Longest unfinished message that is kept (characters). No event of the API comes near it. */
const maxLength = 4_194_304;

/**
 * Reads an event stream from pieces of text, cut anywhere. Follows the rules of the HTML standard for line ends, comments,
 * and messages without data.
 */
export class SseParser {
  readonly #options: SseParserOptions;
  #rest = '';
  #endedWithCr = false;
  #event = '';
  #data: string[] = [];
  #length = 0;
  #id: string | undefined;

  constructor(options: SseParserOptions) {
    this.#options = options;
  }

  /** Takes the next piece. @throws {RangeError} when a message grows beyond every bound. */
  push(piece: string): void {
    if (piece === '') return;
    // CR LF is one line end, also when the cut went between the two.
    const text = this.#rest + (this.#endedWithCr && piece.startsWith('\n') ? piece.slice(1) : piece);
    this.#endedWithCr = text === '' ? false : text.endsWith('\r');
    const lineEnd = /\r\n|\n|\r/g;
    let start = 0;
    for (let match = lineEnd.exec(text); match !== null; match = lineEnd.exec(text)) {
      this.#line(text.slice(start, match.index));
      start = lineEnd.lastIndex;
    }
    this.#rest = text.slice(start);
    if (this.#length + this.#rest.length > maxLength)
      throw new RangeError('an event of the stream is too long');
  }

  #line(line: string): void {
    if (line === '') {
      this.#dispatch();
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    this.#field(field, value);
  }

  #field(field: string, value: string): void {
    if (field === 'data') {
      this.#data.push(value);
      this.#length += value.length + 1;
    } else if (field === 'event') {
      this.#event = value;
    } else if (field === 'id' && !value.includes('\0')) {
      this.#id = value;
    } else if (field === 'retry' && /^\d{1,9}$/.test(value)) {
      this.#options.onRetry(Number(value));
    }
  }

  #dispatch(): void {
    const message = {
      event: this.#event === '' ? 'message' : this.#event,
      data: this.#data.join('\n'),
      id: this.#id,
    };
    const isEmpty = this.#data.length === 0;
    this.#event = '';
    this.#data = [];
    this.#length = 0;
    this.#id = undefined;
    if (!isEmpty) this.#options.onMessage(message);
  }
}
