/**
 * A fair queue. A limited number of pieces of work run at once; the rest wait, and run in turn by caller, so that a caller with
 * one piece never waits behind another caller's whole backlog. The queue is short, and nobody waits forever.
 *
 * Turns by caller do not help against a crowd of new callers, so known callers have places of their own, which strangers cannot
 * take, and go first. They are few, and throttled where they come from; and in case they keep coming, every fourth call is a
 * stranger's, so that nobody starves.
 */
export interface FairQueueOptions {
  /** Pieces that run at once. */
  readonly width: number;
  /** Pieces of strangers that may wait, together. */
  readonly waiting: number;
  /** Pieces of known callers that may wait, together, beside those of strangers; none when absent. */
  readonly waitingKnown?: number;
  /** Pieces of one caller that may wait; pieces without a caller are not counted so. */
  readonly waitingPerCaller: number;
  /** Longest wait (ms). */
  readonly longestWaitMs: number;
  /** Error for those who find the queue full, or wait too long. */
  readonly refusal: () => Error;
}

/** The caller of a piece of work. */
export interface Caller {
  /** Name, or address. */
  readonly from: string;
  /** Has been here before, and was welcome. A stranger when absent. */
  readonly isKnown?: boolean;
}

type Call = () => void;

/** After so many calls of known callers in a row a stranger is called, if one waits. */
const knownInRow = 3;

/** Runs pieces of work in turn. */
export class FairQueue {
  readonly #options: FairQueueOptions;
  readonly #known = new Lane();
  readonly #strangers = new Lane();
  #running = 0;
  #knownInRow = 0;

  constructor(options: FairQueueOptions) {
    this.#options = options;
  }

  /**
   * Runs a piece of work when its turn has come, and settles as it does. `caller` by name alone is a stranger.
   * @throws {Error} the refusal.
   */
  async run<T>(work: () => Promise<T>, caller: string | Caller | undefined): Promise<T> {
    if (this.#running >= this.#options.width) {
      await this.#wait(typeof caller === 'string' ? { from: caller } : caller);
    } else this.#running += 1;
    try {
      return await work();
    } finally {
      this.#callNext();
    }
  }

  #wait(caller: Caller | undefined): Promise<void> {
    const { waiting, waitingKnown = 0, waitingPerCaller, longestWaitMs, refusal } = this.#options;
    const isKnown = caller?.isKnown === true;
    const lane = isKnown ? this.#known : this.#strangers;
    const name = caller?.from ?? '';
    const isFull =
      lane.size >= (isKnown ? waitingKnown : waiting) ||
      (caller !== undefined && lane.waitingOf(name) >= waitingPerCaller);
    if (isFull) return Promise.reject(refusal());
    return new Promise((resolve, reject) => {
      const call: Call = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        lane.leave(name, call);
        reject(refusal());
      }, longestWaitMs);
      lane.enter(name, call);
    });
  }

  /** The one whose turn it is takes the place over; with nobody waiting it becomes free. */
  #callNext(): void {
    const isKnownNext = this.#known.size > 0 && (this.#strangers.size === 0 || this.#knownInRow < knownInRow);
    this.#knownInRow = isKnownNext ? this.#knownInRow + 1 : 0;
    const call = (isKnownNext ? this.#known : this.#strangers).next();
    if (call === undefined) this.#running -= 1;
    else call();
  }
}

/** Those who wait, by caller, who has waited longest first; a caller who was called stands behind all others. */
class Lane {
  readonly #lines = new Map<string, Call[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  waitingOf(name: string): number {
    return this.#lines.get(name)?.length ?? 0;
  }

  enter(name: string, call: Call): void {
    const line = this.#lines.get(name);
    if (line === undefined) this.#lines.set(name, [call]);
    else line.push(call);
    this.#size += 1;
  }

  leave(name: string, call: Call): void {
    const line = (this.#lines.get(name) ?? []).filter((each) => each !== call);
    if (line.length === 0) this.#lines.delete(name);
    else this.#lines.set(name, line);
    this.#size -= 1;
  }

  next(): Call | undefined {
    const [first] = this.#lines;
    if (first === undefined) return undefined;
    const [name, line] = first;
    const call = line.shift();
    this.#lines.delete(name);
    if (line.length > 0) this.#lines.set(name, line);
    this.#size -= 1;
    return call;
  }
}
