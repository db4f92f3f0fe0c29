import type { Urgency } from './quote.ts';

/** What is left of the upstream budget of the whole fleet. */
export interface BudgetState {
  /** False when nothing can be granted because Redis is unreachable or its state has to be rebuilt first. */
  readonly ready: boolean;
  /** Calls per window of 60 s that are allowed now: fewer than {@link fullLimit} for a while after a 429. */
  readonly limit: number;
  /** Calls per window of 60 s, as configured and as reported by the provider. */
  readonly fullLimit: number;
  /** Calls in the current window. */
  readonly used: number;
  /** Interactive calls that may be made at once, within the limits of minute and month. */
  readonly available: number;
  /** When the next interactive call can be granted; 0 for now. */
  readonly nextGrantInMs: number;
  /**
   * The same for the following calls, one after the other, if no others come; the first is the one above. As far as it
   * can be foreseen.
   */
  readonly grantsInMs: readonly number[];
  /** Pause between grants at the present rate. */
  readonly spacingMs: number;
  /** For how long the provider has forbidden all calls; 0 if it has not. */
  readonly blockedForMs: number;
  /** Limits for background calls such as warming: per minute, and now. The rest is left to users. */
  readonly spare: { readonly perMinute: number; readonly now: number };
  /** The credits of the provider's month; null without such a limit, and while the state is not known. Moments in ms since the epoch. */
  readonly month: {
    readonly credits: number;
    /** Includes running calls, and what others are known to have spent with the same key. */
    readonly spent: number;
    readonly left: number;
    /** Credits that only interactive calls may spend now. */
    readonly reserve: number;
    readonly startsAt: number;
    readonly endsAt: number;
    /** Credits of the last 60 minutes. */
    readonly spentPerHour: number;
    /** Credits an hour that are released now, for all urgencies together. */
    readonly affordablePerHour: number;
    /** Credits that calls of each urgency may spend at once. */
    readonly atHand: Readonly<Record<Urgency, number>>;
    /** When the credits would be used up at the rate of the last hour; null if they last for the month. */
    readonly lastsUntil: number | null;
  } | null;
  /**
   * Age in seconds that quotes would reach if every affordable call renewed what is read now; null if nothing is read.
   */
  readonly freshnessSeconds: number | null;
}

/**
 * When (ms from now) the last of several interactive calls can be granted, one after the other.
 * @param calls 1 or more
 */
export function grantInMs(
  {
    nextGrantInMs,
    grantsInMs,
    blockedForMs,
    spacingMs,
  }: Pick<BudgetState, 'nextGrantInMs' | 'grantsInMs' | 'blockedForMs' | 'spacingMs'>,
  calls: number,
): number {
  const last = grantsInMs[Math.min(calls, grantsInMs.length) - 1] ?? nextGrantInMs;
  const beyond = Math.max(0, calls - Math.max(1, grantsInMs.length));
  return Math.max(last, blockedForMs) + beyond * spacingMs;
}

/** A failed call of a price source. */
export interface SourceFailure {
  /** Ms since the epoch. */
  readonly at: number;
  readonly cause:
    | 'dns'
    | 'connection'
    | 'tls'
    | 'proxy'
    | 'timeout'
    | 'rate_limited'
    | 'key'
    | 'rejected'
    | 'server_error'
    | 'bad_response';
  /** Code of a network error, such as `ENOTFOUND`. */
  readonly code: string | null;
  /** Host and port of the call. */
  readonly host: string | null;
  /** Status of the answer, if there was one. */
  readonly status: number | null;
  /** Start of the answer, or the message of the network error. */
  readonly said: string | null;
}

/** A price source and its circuit breaker, for people. */
export interface PriceSourceState {
  readonly name: string;
  /** `open`: it fails and is not called; `half_open`: a single call may test whether it answers again. */
  readonly state: 'closed' | 'open' | 'half_open';
  /** Failures in a row. */
  readonly failures: number;
  /** Milliseconds until it is tried again; 0 when it is called. */
  readonly retryInMs: number;
  /** Null if no call has failed for a day. */
  readonly lastFailure: SourceFailure | null;
}
