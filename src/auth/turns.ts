/**
 * A waiting room. So many pieces of work run at once; the rest wait, and are called in turn by caller, so that whoever brings
 * one piece never stands behind the whole pile of somebody else. The room is small, and nobody waits for ever.
 */
export interface TurnsOptions {
  /** Pieces that run at once. */
  readonly width: number;
  /** Pieces that may wait, of all callers. */
  readonly waiting: number;
  /** Pieces of one caller that may wait; pieces without a caller are not counted so. */
  readonly waitingPerCaller: number;
  /** Longest wait (ms). */
  readonly longestWaitMs: number;
  /** Error for those who find the room full, or wait too long. */
  readonly refusal: () => Error;
}

type Call = () => void;

/** Pieces of work whose turn comes. */
export class Turns {
  readonly #options: TurnsOptions;
  /** By caller, who has waited longest first; a caller who was called stands behind all others. */
  readonly #lines = new Map<string, Call[]>();
  #running = 0;
  #size = 0;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /**
   * Runs a piece of work when its turn has come, and settles as it does.
   * @throws {Error} the refusal.
   */
  async run<T>(work: () => Promise<T>, caller: string | undefined): Promise<T> {
    if (this.#running >= this.#options.width) await this.#wait(caller);
    else this.#running += 1;
    try {
      return await work();
    } finally {
      this.#callNext();
    }
  }

  #wait(caller: string | undefined): Promise<void> {
    const { waiting, waitingPerCaller, longestWaitMs, refusal } = this.#options;
    const name = caller ?? '';
    const line = this.#lines.get(name) ?? [];
    const isFull = this.#size >= waiting || (caller !== undefined && line.length >= waitingPerCaller);
    if (isFull) return Promise.reject(refusal());
    return new Promise((resolve, reject) => {
      const call: Call = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#leave(name, call);
        reject(refusal());
      }, longestWaitMs);
      line.push(call);
      this.#lines.set(name, line);
      this.#size += 1;
    });
  }

  #leave(name: string, call: Call): void {
    const line = (this.#lines.get(name) ?? []).filter((each) => each !== call);
    if (line.length === 0) this.#lines.delete(name);
    else this.#lines.set(name, line);
    this.#size -= 1;
  }

  /** The one whose turn it is takes the place over; with nobody waiting it becomes free. */
  #callNext(): void {
    const [next] = this.#lines;
    if (next === undefined) {
      this.#running -= 1;
      return;
    }
    const [name, line] = next;
    const call = line.shift();
    this.#lines.delete(name);
    if (line.length > 0) this.#lines.set(name, line);
    this.#size -= 1;
    call?.();
  }
}
