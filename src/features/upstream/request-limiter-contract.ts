/** The interface of the limiter for upstream calls (request-limiter.ts). */
import type { Urgency } from '../../domain/quote.ts';
import type { Grant } from './budget/budget.ts';

/** What a call gets: its grant, and the signal that it must obey. */
export interface GrantedCall extends Grant {
  /** Aborts with the caller's signal, and when the grant expires. Pass it on to the provider. */
  readonly signal: AbortSignal;
}

export interface LimiterRequest {
  readonly urgency: Urgency;
  /** Longest wait for a grant; 0 to ask once. */
  readonly maxWaitMs: number;
  readonly signal: AbortSignal;
  /** What the call costs of the month's credits. Default 1. */
  readonly credits?: number;
  /** A refusal of the key counts as a failure of the source, if a breaker is in front of the limiter. */
  readonly refusalFails?: boolean;
  /** Called once, when the wait is over and the call is about to start. */
  readonly beforeDispatch?: (grant: Grant) => void;
}

export interface RequestLimiter {
  /**
   * Waits for a grant, makes the call with it and settles the grant. `call` makes at most one upstream call; it releases the
   * grant when it finds that it need not make one. A 429 blocks the whole fleet before it is rethrown.
   * @throws {BudgetWaitError} when no grant comes in time; the signal's reason when it aborts; any error that `call` throws.
   */
  readonly run: <T>(request: LimiterRequest, call: (grant: GrantedCall) => Promise<T>) => Promise<T>;
  readonly counts: () => {
    /** Callers that wait, for any reason. */
    readonly waiting: number;
    /** Callers among them that are next of their urgency and wait for a slot. At most one per urgency. */
    readonly waitingForSlot: number;
    /** Running calls. */
    readonly running: number;
  };
  /** Refuses new and waiting callers; resolves when the running calls have ended. */
  readonly stop: () => Promise<void>;
}
