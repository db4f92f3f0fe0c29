/** The state of a running market: its settings, the log of its calls, and the injected faults. */
import type { MarketSource } from './source.ts';
import type { Clock } from '../../src/platform/concurrency/clock.ts';

/** Milliseconds added to every answer: always the same, or evenly spread between two bounds. */
export type Latency = number | { readonly min: number; readonly max: number };

/** The key that callers must send, and the plan it belongs to: plans differ in header and parameter. */
export interface RequiredKey {
  readonly key: string;
  readonly plan: 'demo' | 'pro';
}

/** The parts that answering a request needs. */
export interface RequestDeps {
  readonly source: MarketSource;
  readonly log: ReturnType<typeof createCallLog>;
  readonly faults: ReturnType<typeof createFaultList>;
  /** What may change while the market runs. */
  readonly settings: {
    latencyMs: Latency;
    callsPerMinute: number | undefined;
    readonly apiKey: RequiredKey | undefined;
    /** How far back history may be asked for, in days; undefined for no limit. */
    readonly historyDays: number | undefined;
    /** Credits of a month reported by `/key`. */
    monthlyCredits: number;
  };
}

const minuteMs = 60_000;

/** One call on the market's API. */
export interface CallRecord {
  /** Milliseconds since the epoch, with fractions, when the call was received. */
  readonly at: number;
  readonly path: string;
  /** How many ids the call asked for. */
  readonly ids: number;
  /** Status sent; 0 while there is no answer, and always 0 when the fault is to send none. */
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

/** Builds the market's record of received calls: all counts, and the newest `capacity` calls in detail. */
export function createCallLog(clock: Clock, capacity = 20_000) {
  const received = new SlidingMinute();
  const admitted = new SlidingMinute();
  let records: { at: number; path: string; ids: number; status: number }[] = [];
  let [total, rejected, worst] = [0, 0, 0];

  return {
    /** Notes a call at its receipt; the returned function sets the status that was sent. */
    receive(path: string, ids: number): (status: number) => void {
      const record = { at: clock.now(), path, ids, status: 0 };
      records[total % capacity] = record;
      total += 1;
      received.add(record.at);
      worst = Math.max(worst, received.countAt(record.at));
      return (status) => void (record.status = status);
    },
    /** Admits one call under the limit, or returns after how many milliseconds one would be admitted. */
    admit(
      callsPerMinute: number | undefined,
    ): { admitted: true } | { admitted: false; retryAfterMs: number } {
      const at = clock.now();
      if (callsPerMinute !== undefined && admitted.countAt(at) >= callsPerMinute) {
        rejected += 1;
        return { admitted: false, retryAfterMs: Math.max(0, (admitted.oldestLeavesAt() ?? at) - at) };
      }
      admitted.countAt(at);
      admitted.add(at);
      return { admitted: true };
    },
    /** The newest calls, oldest first, up to the log's capacity. */
    calls: (): readonly CallRecord[] =>
      total <= capacity ? [...records] : rotate(records, total % capacity),
    /** All calls since the last reset, including those whose details were dropped. */
    total: () => total,
    /** Calls answered by the market's own rate limit. */
    rejected: () => rejected,
    /** Most calls, rejected ones included, received in any 60 seconds since the last reset. */
    worstSlidingMinute: () => worst,
    /** Forgets the records and counts; the window of the rate limit is kept. */
    reset(): void {
      records = [];
      [total, rejected, worst] = [0, 0, 0];
      received.clear();
    },
  };
}

function rotate<T>(ring: readonly T[], first: number): T[] {
  return [...ring.slice(first), ...ring.slice(0, first)];
}

/**
 * Every observed kind of failure of a price API. The ones below `truncated-json` alter the right answer of the call, so
 * they are as long and as plausible as a good one.
 */
export const faultKinds = [
  'rate-limited', // 429, JSON, retry-after
  'rate-limited-text', // 429, plain text `Throttled`, no hint
  'rate-limited-cloudflare', // 429, plain text `error code: 1015`
  'rate-limited-html', // 429, an HTML page
  'rate-limited-as-200', // 200 with the JSON body of a 429
  'server-error', // 500, JSON
  'server-error-html', // 500, an HTML page
  'unavailable', // 503, HTML, retry-after
  'bad-gateway', // 502, HTML
  'request-timeout', // 408, JSON
  'uri-too-long', // 414, HTML
  'key-missing', // 401, code 10002
  'plan-restricted', // 401, code 10005
  'wrong-root-pro', // 400, code 10010
  'wrong-root-demo', // 400, code 10011
  'time-range', // 401, the limit of 365 days
  'firewall', // 403, `error code: 1020`
  'empty-body', // 200 and nothing
  'hang', // no answer at all
  'huge-body', // 200 and 50 MB of valid JSON
  'reset-before', // connection reset before a byte was sent
  'invalid-json', // 200, JSON by its type, not by its text
  'wrong-shape', // 200, an array for an object and an object for an array
  'truncated-json', // 200, the first half of the answer, ended cleanly
  'reset-during', // 200, the first half of the answer, then a reset
  'slow-drip', // 200, one byte at a time
  'wrong-content-type', // 200, the right answer as text/html
  'nan-prices', // 200, bare NaN in the place of prices (not JSON)
  'text-prices', // 200, "NaN" as a text in the place of prices
  'null-prices',
  'zero-prices',
  'negative-prices',
] as const;
export type FaultKind = (typeof faultKinds)[number];

/** A fault with details other than the defaults. */
export interface FaultDetails {
  readonly kind: FaultKind;
  /** Overrides the status of a fault that only differs by it. */
  readonly status?: number;
  /** `retry-after` of `rate-limited` and `unavailable`; default 7 and 5. */
  readonly retryAfterSeconds?: number;
  /** Pause between two bytes of `slow-drip`; default 100. */
  readonly intervalMs?: number;
  /** Size of `huge-body`; default 50 MB. */
  readonly bytes?: number;
  /** Code in CoinMarketCap's envelope instead of the one of the fault: 1010 for the month's limit. */
  readonly code?: number;
}
export type Fault = FaultKind | FaultDetails;

/** Which calls a fault is for. */
export interface FaultOptions {
  /** How many calls; default 1, `Infinity` until cleared. */
  readonly count?: number;
  /** Only calls on this path below `/api/v3`, such as `/simple/price`; of another shape, the whole path. */
  readonly path?: string;
}

/** Builds an empty list of the faults that wait for their calls. */
export function createFaultList() {
  let waiting: { readonly fault: FaultDetails; readonly path: string | undefined; left: number }[] = [];
  return {
    inject(fault: Fault, options: FaultOptions = {}): void {
      const details = typeof fault === 'string' ? { kind: fault } : fault;
      waiting.push({ fault: details, path: options.path, left: options.count ?? 1 });
    },
    clear: (): void => void (waiting = []),
    /** The fault for a call on this path, which it uses up; the oldest one that fits comes first. */
    take(path: string): FaultDetails | undefined {
      const found = waiting.find((entry) => entry.path === undefined || entry.path === path);
      if (found === undefined) return undefined;
      found.left -= 1;
      if (found.left <= 0) waiting = waiting.filter((entry) => entry !== found);
      return found.fault;
    },
  };
}
