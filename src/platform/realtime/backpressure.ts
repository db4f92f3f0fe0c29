import type { StreamTransport } from './transport.ts';

/**
 * Decides whether a client keeps up, by the bytes that its connection has not taken and for how long. `write` returning false
 * means nothing: that happens within every healthy burst.
 */
export type Pace = 'ready' | 'behind' | 'slow';

/** Above this a client gets no more frames; what it misses is conflated to the newest. */
const behindBytes = 65_536;
/** Above this it is cut: it gets nothing conflated (job events), or one frame alone was too much. */
const maxBytes = 1_048_576;
/** Behind for so long (ms), a client is cut. */
const longestBehindMs = 10_000;
/** Something unsent for so long (ms), however little, is a connection that is dead. */
const longestUnsentMs = 60_000;

/** The state of one client over time. */
export class SlowGuard {
  readonly #transport: StreamTransport;
  #behindSince: number | undefined;
  #unsentSince: number | undefined;

  constructor(transport: StreamTransport) {
    this.#transport = transport;
  }

  /** `now` in milliseconds since the epoch. */
  judge(now: number): Pace {
    const unsent = this.#transport.unsentBytes();
    if (unsent === 0) {
      this.#behindSince = undefined;
      this.#unsentSince = undefined;
      return 'ready';
    }
    this.#unsentSince ??= now;
    if (unsent > maxBytes || now - this.#unsentSince >= longestUnsentMs) return 'slow';
    if (unsent <= behindBytes) {
      this.#behindSince = undefined;
      return 'ready';
    }
    this.#behindSince ??= now;
    return now - this.#behindSince >= longestBehindMs ? 'slow' : 'behind';
  }
}
