import type { Urgency } from './quote.ts';

/** What is left of the upstream budget of the whole fleet. */
export interface BudgetState {
  /** False when nothing can be granted because Redis is unreachable or its state has to be rebuilt first. */
  readonly ready: boolean;
  /** Calls per window of 60 s that are allowed now: less than {@link fullLimit} for a while after a 429. */
  readonly limit: number;
  /** Calls per window of 60 s, as configured and as the provider says. */
  readonly fullLimit: number;
  /** Calls that count now. */
  readonly used: number;
  /** Interactive calls that may be made at once, as far as minute and month go. */
  readonly available: number;
  /** When the next interactive call can be granted; 0 for now. */
  readonly nextGrantInMs: number;
  /** The same of the next ones, one after the other, if nobody else comes: the first is that. As far as it is foretold. */
  readonly grantsInMs: readonly number[];
  /** Pause between grants at the present rate. */
  readonly spacingMs: number;
  /** For how long the provider has forbidden all calls; 0 when it has not. */
  readonly blockedForMs: number;
  /** Calls that nobody waits for: warming may make so many in a minute, and so many now. The others are left to users. */
  readonly spare: { readonly perMinute: number; readonly now: number };
  /** The credits of the provider's month; null without such a limit, and while the state is not known. Moments in ms since the epoch. */
  readonly month: {
    readonly credits: number;
    /** Includes calls that still run, and what others are known to have spent with the same key. */
    readonly spent: number;
    readonly left: number;
    /** Credits that only interactive calls may spend, at once. */
    readonly reserve: number;
    readonly beginsAt: number;
    readonly endsAt: number;
    /** Credits of the last 60 minutes. */
    readonly spentPerHour: number;
    /** Credits an hour that are released now, for all urgencies together. */
    readonly affordablePerHour: number;
    /** Credits that calls of each urgency may spend at once. */
    readonly atHand: Readonly<Record<Urgency, number>>;
    /** When nothing would be left at the rate of the last hour; null when the credits outlast the month. */
    readonly lastsUntil: number | null;
  } | null;
  /** How many seconds old quotes would grow if every call that can be afforded renewed what is read now; null when nothing is read. */
  readonly freshnessSeconds: number | null;
}

/**
 * When (ms from now) the last of so many interactive calls can be granted, one after the other.
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

/** A call of a price source that failed. */
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
  /** Of the network, such as `ENOTFOUND`. */
  readonly code: string | null;
  /** Host and port that were called. */
  readonly host: string | null;
  /** Status of the answer, where there was one. */
  readonly status: number | null;
  /** How the answer begins, or what the network said. */
  readonly said: string | null;
}

/** A price source and its circuit breaker, as people see them. */
export interface PriceSourceState {
  readonly name: string;
  /** `open`: it fails and is not called; `half_open`: one call may find out whether it answers again. */
  readonly state: 'closed' | 'open' | 'half_open';
  /** Failures in a row. */
  readonly failures: number;
  /** Milliseconds until it is tried again; 0 when it is called. */
  readonly retryInMs: number;
  /** Null when no call has failed for a day. */
  readonly lastFailure: SourceFailure | null;
}
