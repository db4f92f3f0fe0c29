/** What callers see of the way of upstream calls out of a process (request-limiter.ts). */
import type { Urgency } from '../../domain/quote.ts';
import type { Grant } from './budget/budget.ts';

/** What a call gets: its grant, and the signal that it must obey. */
export interface GrantedCall extends Grant {
  /** Aborts with the caller's signal, and when the grant is over. Pass it on to the provider. */
  readonly signal: AbortSignal;
}

export interface GateRequest {
  readonly urgency: Urgency;
  /** Longest wait for a grant; 0 to ask once. */
  readonly maxWaitMs: number;
  readonly signal: AbortSignal;
  /** What the call costs of the month's credits. Default 1. */
  readonly credits?: number;
  /** A refusal of the key counts as a failure of the source, where a breaker stands before the gate. */
  readonly refusalFails?: boolean;
  /** Told once, when the wait is over and the call is about to begin. */
  readonly beforeDispatch?: (grant: Grant) => void;
}

export interface UpstreamGate {
  /**
   * Waits for a grant, makes the call with it and settles the grant. `call` makes one upstream call at most; it releases
   * the grant when it finds that it need not make one. A 429 blocks the whole fleet before it is thrown on.
   * @throws {BudgetWaitError} when no grant comes in time; the signal's reason when it aborts; whatever `call` throws.
   */
  readonly run: <T>(request: GateRequest, call: (grant: GrantedCall) => Promise<T>) => Promise<T>;
  readonly counts: () => {
    /** Callers without a call, for whatever reason. */
    readonly waiting: number;
    /** Those among them that are next of their urgency and wait for a slot. At most one for each urgency. */
    readonly waitingForSlot: number;
    /** Calls that run. */
    readonly running: number;
  };
  /** Refuses new callers and those that wait; resolves when the calls that run have ended. */
  readonly stop: () => Promise<void>;
}
