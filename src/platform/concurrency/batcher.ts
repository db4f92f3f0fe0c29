/**
 * Groups concurrent requests into batches, without making a single one wait: requests of the same turn of the event loop share
 * a batch, and those that arrive while all slots are taken share the next one. So batches are small under low load and grow
 * with the load.
 */
export interface BatcherOptions<E, A> {
  /** What is batched, for messages: "storing jobs". */
  readonly what: string;
  /** Answers a batch, in the order of its entries. */
  readonly run: (entries: readonly E[]) => Promise<readonly A[]>;
  readonly maxEntries: number;
  /** Batches under way at once. */
  readonly maxConcurrent: number;
  /** Entries that may wait for a place; more are refused. */
  readonly maxWaiting: number;
  /** Longest wait (ms) for a place. */
  readonly maxWaitMs: number;
  /** True when one entry may have spoilt its batch: then each is tried alone. Never when absent. */
  readonly isOneToBlame?: (error: unknown) => boolean;
}

interface Waiting<E, A> {
  readonly entry: E;
  readonly resolve: (answer: A) => void;
  readonly reject: (error: unknown) => void;
}

/** A request did not get into a batch in time, or was refused because too many waited. */
export class BatchWaitError extends Error {
  constructor(what: string, why: string) {
    super(`${what}: ${why}`);
    this.name = 'BatchWaitError';
  }
}

/** Builds the function that makes one request. It rejects as the batch does, or with {@link BatchWaitError}. */
export function createBatcher<E, A>(options: BatcherOptions<E, A>): (entry: E) => Promise<A> {
  const batcher = new Batcher(options);
  return (entry) => batcher.add(entry);
}

class Batcher<E, A> {
  readonly #options: BatcherOptions<E, A>;
  readonly #waiting = new Set<Waiting<E, A>>();
  #running = 0;
  #planned = false;

  constructor(options: BatcherOptions<E, A>) {
    this.#options = options;
  }

  async add(entry: E): Promise<A> {
    const { what, maxWaiting, maxWaitMs } = this.#options;
    if (this.#waiting.size >= maxWaiting) throw new BatchWaitError(what, 'too many wait');
    return await new Promise<A>((resolve, reject) => {
      const waiting: Waiting<E, A> = { entry, resolve, reject };
      this.#waiting.add(waiting);
      this.#plan();
      if (this.#running < this.#options.maxConcurrent) return;
      const timer = setTimeout(() => {
        if (this.#waiting.delete(waiting)) reject(new BatchWaitError(what, `timeout of ${maxWaitMs} ms`));
      }, maxWaitMs);
      timer.unref();
    });
  }

  #plan(): void {
    if (this.#planned || this.#waiting.size === 0 || this.#running >= this.#options.maxConcurrent) return;
    this.#planned = true;
    setImmediate(() => {
      this.#planned = false;
      void this.#runNext();
    });
  }

  async #runNext(): Promise<void> {
    const batch: Waiting<E, A>[] = [];
    for (const waiting of this.#waiting) {
      if (batch.length === this.#options.maxEntries) break;
      batch.push(waiting);
      this.#waiting.delete(waiting);
    }
    if (batch.length === 0) return;
    this.#running++;
    this.#plan();
    try {
      await this.#settle(batch);
    } finally {
      this.#running--;
      this.#plan();
    }
  }

  /** Never rejects: every waiting caller gets its own result or error. */
  async #settle(batch: readonly Waiting<E, A>[]): Promise<void> {
    const { run, isOneToBlame } = this.#options;
    try {
      const answers = await run(batch.map(({ entry }) => entry));
      batch.forEach(({ resolve }, index) => resolve(answers[index] as A));
    } catch (error) {
      if (batch.length > 1 && isOneToBlame?.(error) === true) {
        for (const waiting of batch) await this.#settle([waiting]);
        return;
      }
      for (const { reject } of batch) reject(error);
    }
  }
}
