import { Turns, type TurnsOptions } from './turn-queue.ts';

/** Limits for the waiting work of each key, and of all keys together. */
export interface KeyedTurnsOptions extends Pick<
  TurnsOptions,
  'width' | 'waiting' | 'longestWaitMs' | 'refusal'
> {
  /** Pieces of work of all keys, running or waiting, at once. */
  readonly most: number;
}

/** Turns by key: work of one key waits for other work of that key, and never for that of another. */
export class KeyedTurns {
  readonly #options: KeyedTurnsOptions;
  /** Keys that have a piece running or waiting, and how many. */
  readonly #keys = new Map<string, { readonly turns: Turns; pieces: number }>();
  #pieces = 0;

  constructor(options: KeyedTurnsOptions) {
    this.#options = options;
  }

  /** Keys that are remembered: none but those with a piece running or waiting. */
  get size(): number {
    return this.#keys.size;
  }

  /**
   * Runs a piece of work when the turn of it has come among those of its key, and settles as it does.
   * @throws {Error} the refusal: too many wait, or it waited too long.
   */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    if (this.#pieces >= this.#options.most) throw this.#options.refusal();
    const entry = this.#keys.get(key) ?? { turns: this.#newTurns(), pieces: 0 };
    this.#keys.set(key, entry);
    entry.pieces += 1;
    this.#pieces += 1;
    try {
      return await entry.turns.run(work, undefined);
    } finally {
      this.#pieces -= 1;
      entry.pieces -= 1;
      if (entry.pieces === 0) this.#keys.delete(key);
    }
  }

  #newTurns(): Turns {
    const { width, waiting, longestWaitMs, refusal } = this.#options;
    // Nobody is named, so a key has one line, by the order of arrival.
    return new Turns({ width, waiting, waitingPerCaller: waiting, longestWaitMs, refusal });
  }
}
