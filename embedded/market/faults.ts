/**
 * Every way in which a price API was seen to fail. The ones below `truncated-json` bend the right answer of the call,
 * so they are as long and as plausible as a good one.
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

/** A fault with its details where the defaults will not do. */
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
  /** Code in CoinMarketCap's envelope, in the place of the one that belongs to the fault: 1010 for the month's limit. */
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

/** The faults that wait for their calls. */
export interface FaultList {
  inject(fault: Fault, options?: FaultOptions): void;
  clear(): void;
  /** The fault for a call on this path, which it uses up; the oldest one that fits comes first. */
  take(path: string): FaultDetails | undefined;
}

/** Builds an empty {@link FaultList}. */
export function createFaultList(): FaultList {
  let waiting: { readonly fault: FaultDetails; readonly path: string | undefined; left: number }[] = [];
  return {
    inject(fault, options = {}) {
      const details = typeof fault === 'string' ? { kind: fault } : fault;
      waiting.push({ fault: details, path: options.path, left: options.count ?? 1 });
    },
    clear: () => void (waiting = []),
    take(path) {
      const found = waiting.find((entry) => entry.path === undefined || entry.path === path);
      if (found === undefined) return undefined;
      found.left -= 1;
      if (found.left <= 0) waiting = waiting.filter((entry) => entry !== found);
      return found.fault;
    },
  };
}
