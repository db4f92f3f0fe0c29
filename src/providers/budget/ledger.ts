/** A call that may still count at the upstream. */
export interface RecentCall {
  readonly id: string;
  /** Time from now until the latest moment in which the upstream may have counted it; negative when that is past. */
  readonly countedInMs: number;
}

/** What the ledger remembers of the last minutes. */
export interface RecentCalls {
  readonly calls: readonly RecentCall[];
  readonly blockedForMs: number;
}

/**
 * The durable record of all grants. Redis decides; the ledger is what it is rebuilt from when it has forgotten. All times are
 * of the database's clock and are handed out as distances from its now, so that no other clock is compared with it.
 */
export interface UpstreamLedger {
  /** Writes a grant, durably, before its call may go out. `lastsMs`: the call is over by then. */
  record(grant: { id: string; budgetKey: string; lastsMs: number }): Promise<void>;
  /** The call has ended; with `answered`, it was counted before now. */
  settle(end: { id: string; outcome: string; answered: boolean }): Promise<void>;
  /** The call was never made. */
  remove(id: string): Promise<void>;
  /** Grants that may have been counted within the last `windowMs`. */
  recent(query: { budgetKey: string; windowMs: number }): Promise<RecentCalls>;
  /** Nobody calls for so long. Never shortens an earlier block. */
  block(block: { budgetKey: string; ms: number }): Promise<void>;
}
