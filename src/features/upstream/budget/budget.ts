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
  /** No answer, so nobody knows whether the upstream counted the call. */
  | 'unanswered';

/** Permission for one upstream call. Exactly one of `settle` and `release` ends it; later calls of either do nothing. */
export interface Grant {
  /** UUID v7; the member of the log in Redis and the key of the row in the ledger. */
  readonly id: string;
  /** Started before the budget was asked, so that it is never younger than the grant. */
  readonly since: Stopwatch;
  /** The call must be over when `since` has run for so long. */
  readonly lastsMs: number;
  /** The call has ended. From now on it counts for one window, and no longer; its credits stay spent unless its outcome costs none. */
  settle(outcome: CallOutcome): Promise<void>;
  /** The call was not made and never will be: the budget gets it back. */
  release(): Promise<void>;
}

/** What a request for a grant leads to. */
export type AcquireResult =
  | { readonly granted: Grant }
  | {
      /** When it is worth asking again. */
      readonly waitMs: number;
      readonly reason: BudgetWaitReason;
    };

/** What a provider tells of the limits of our key, undefined where it does not. */
export interface ToldLimits {
  readonly callsPerMinute: number | undefined;
  readonly creditsPerMonth: number | undefined;
  /** Credits of this month by the provider's own count. */
  readonly spent: number | undefined;
  /** How long ago (ms) it was asked. */
  readonly agoMs: number;
}

/** What the fleet may call, decided in one place for all processes. No method rejects. */
export interface Budget {
  /** Name of the budget: one per provider and key. */
  readonly key: string;
  /**
   * Asks for one call, without waiting. `patienceMs` says for how long the caller would wait: less urgent callers step
   * back for one that waits, and not for one that will go away. `credits` is what the call costs of the month (1 when absent).
   */
  tryAcquire(urgency: Urgency, patienceMs?: number, credits?: number): Promise<AcquireResult>;
  /** Nothing is granted to anybody for so long. Never shortens an earlier block. */
  block(ms: number): Promise<void>;
  /** Takes the provider's word for its limits: the smaller of it and what is configured counts. */
  tell(told: ToldLimits): Promise<void>;
  status(): Promise<Omit<BudgetState, 'freshnessSeconds'>>;
}
