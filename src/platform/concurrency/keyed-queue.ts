import { FairQueue, type FairQueueOptions } from './fair-queue.ts';

/** Limits for the waiting work of each key, and of all keys together. */
export interface KeyedQueueOptions extends Pick<
  FairQueueOptions,
  'width' | 'waiting' | 'longestWaitMs' | 'refusal'
> {
  /** Pieces of work of all keys, running or waiting, at once. */
  readonly most: number;
}

/** Turns by key: work of one key waits for other work of that key, and never for that of another. */
export class KeyedQueue {
  readonly #options: KeyedQueueOptions;
  /** Keys that have a piece running or waiting, and how many. */
  readonly #keys = new Map<string, { readonly queue: FairQueue; running: number }>();
  #running = 0;

  constructor(options: KeyedQueueOptions) {
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
    if (this.#running >= this.#options.most) throw this.#options.refusal();
    const entry = this.#keys.get(key) ?? { queue: this.#newQueue(), running: 0 };
    this.#keys.set(key, entry);
    entry.running += 1;
    this.#running += 1;
    try {
      return await entry.queue.run(work, undefined);
    } finally {
      this.#running -= 1;
      entry.running -= 1;
      if (entry.running === 0) this.#keys.delete(key);
    }
  }

  #newQueue(): FairQueue {
    const { width, waiting, longestWaitMs, refusal } = this.#options;
    // Nobody is named, so a key has one line, by the order of arrival.
    return new FairQueue({ width, waiting, waitingPerCaller: waiting, longestWaitMs, refusal });
  }
}
