import type { BudgetState } from '../../../domain/budget-state.ts';
import type { Urgency } from '../../../domain/quote.ts';
import type { BudgetWaitReason } from '../provider-errors.ts';
import type { Stopwatch } from '../call-signal.ts';

/** How an upstream call ended. */
export type CallOutcome =
  | 'ok'
  | 'rate_limited'
  | 'rejected'
  | 'url_too_long'
  /** A complete answer that could not be used. */
  | 'bad_response'
  /** A 5xx or a 408. */
  | 'server_error'
  /** No answer, so it is unknown whether the upstream counted the call. */
  | 'unanswered';

/** Permission for one upstream call. It is ended by one call of `settle` or `release`; later calls of either do nothing. */
export interface Grant {
  /** UUID v7; the member of the log in Redis and the key of the row in the ledger. */
  readonly id: string;
  /** Started before the budget was asked, so that it is never younger than the grant. */
  readonly since: Stopwatch;
  /** The call must be over when `since` has run for this time. */
  readonly lastsMs: number;
  /**
   * Reports that the call has ended. From now on it counts for one window; its credits stay spent unless its outcome costs
   * none.
   */
  settle(outcome: CallOutcome): Promise<void>;
  /** Reports that the call was not made and never will be: the budget gets it back. */
  release(): Promise<void>;
}

/** The result of a request for a grant. */
export type AcquireResult =
  | { readonly granted: Grant }
  | {
      /** When it is worth asking again. */
      readonly waitMs: number;
      readonly reason: BudgetWaitReason;
    };

/** The limits of our key as reported by the provider; undefined where it reports none. */
export interface ReportedLimits {
  readonly callsPerMinute: number | undefined;
  readonly creditsPerMonth: number | undefined;
  /** Credits spent this month by the provider's own count. */
  readonly spent: number | undefined;
  /** How long ago (ms) the provider was asked. */
  readonly agoMs: number;
}

/** The fleet's budget for upstream calls, decided in one place for all processes. No method rejects. */
export interface Budget {
  /** Name of the budget: one per provider and key. */
  readonly key: string;
  /**
   * Asks for one call, without waiting. `patienceMs` says how long the caller would wait: less urgent callers give way to a
   * caller that waits, but not to one that will go away. `credits` is what the call costs of the month (1 when absent).
   */
  tryAcquire(urgency: Urgency, patienceMs?: number, credits?: number): Promise<AcquireResult>;
  /** Grants nothing to anyone for this time. Never shortens an earlier block. */
  block(ms: number): Promise<void>;
  /** Applies the limits that the provider reports: the smaller of these and the configured ones apply. */
  applyReportedLimits(reported: ReportedLimits): Promise<void>;
  status(): Promise<Omit<BudgetState, 'freshnessSeconds'>>;
}
