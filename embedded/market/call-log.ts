import type { Clock } from '../../src/platform/concurrency/clock.ts';

const minuteMs = 60_000;

/** One call on the market's API. */
export interface CallRecord {
  /** Milliseconds since the epoch, with fractions, when the call was received. */
  readonly at: number;
  readonly path: string;
  /** How many ids the call asked for. */
  readonly ids: number;
  /** Status sent; 0 while there is no answer, and for good when the fault is to send none. */
  readonly status: number;
}

/** Counts what falls into the last 60 seconds. A call exactly 60 s old has left the window. */
class SlidingMinute {
  #times: number[] = [];
  #head = 0;

  /** Drops what is older than a minute at `at` and says how many calls remain. */
  countAt(at: number): number {
    while (this.#head < this.#times.length && (this.#times[this.#head] ?? 0) <= at - minuteMs)
      this.#head += 1;
    if (this.#head > 10_000 && this.#head * 2 > this.#times.length) {
      this.#times = this.#times.slice(this.#head);
      this.#head = 0;
    }
    return this.#times.length - this.#head;
  }

  add(at: number): void {
    this.#times.push(at);
  }

  /** When the oldest call leaves the window; undefined when the window is empty. */
  oldestLeavesAt(): number | undefined {
    const oldest = this.#times[this.#head];
    return oldest === undefined ? undefined : oldest + minuteMs;
  }

  clear(): void {
    this.#times = [];
    this.#head = 0;
  }
}

/** What the market remembers of the calls it got. */
export interface CallLog {
  /** Notes a call at its receipt; the returned function sets the status that was sent. */
  receive(path: string, ids: number): (status: number) => void;
  /** Admits one call under the limit, or says after how many milliseconds one would be. */
  admit(callsPerMinute: number | undefined): { admitted: true } | { admitted: false; retryAfterMs: number };
  /** The newest calls, oldest first, up to the log's capacity. */
  calls(): readonly CallRecord[];
  /** All calls since the last reset, also those no longer remembered one by one. */
  total(): number;
  /** Calls answered by the market's own rate limit. */
  rejected(): number;
  /** Most calls, rejected ones included, received in any 60 seconds since the last reset. */
  worstSlidingMinute(): number;
  /** Forgets the records and counts; the rate limit's window goes on. */
  reset(): void;
}

/** Builds a {@link CallLog} that remembers `capacity` calls. */
export function createCallLog(clock: Clock, capacity = 20_000): CallLog {
  const received = new SlidingMinute();
  const admitted = new SlidingMinute();
  let records: { at: number; path: string; ids: number; status: number }[] = [];
  let [total, rejected, worst] = [0, 0, 0];

  return {
    receive(path, ids) {
      const record = { at: clock.now(), path, ids, status: 0 };
      records[total % capacity] = record;
      total += 1;
      received.add(record.at);
      worst = Math.max(worst, received.countAt(record.at));
      return (status) => void (record.status = status);
    },
    admit(callsPerMinute) {
      const at = clock.now();
      if (callsPerMinute !== undefined && admitted.countAt(at) >= callsPerMinute) {
        rejected += 1;
        return { admitted: false, retryAfterMs: Math.max(0, (admitted.oldestLeavesAt() ?? at) - at) };
      }
      admitted.countAt(at);
      admitted.add(at);
      return { admitted: true };
    },
    calls: () => (total <= capacity ? [...records] : rotate(records, total % capacity)),
    total: () => total,
    rejected: () => rejected,
    worstSlidingMinute: () => worst,
    reset() {
      records = [];
      [total, rejected, worst] = [0, 0, 0];
      received.clear();
    },
  };
}

function rotate<T>(ring: readonly T[], first: number): T[] {
  return [...ring.slice(first), ...ring.slice(0, first)];
}
