/** A call that may still count at the upstream. */
export interface RecentCall {
  readonly id: string;
  /** Time from now until the latest moment in which the upstream may have counted it; negative when that is past. */
  readonly countedInMs: number;
  /** What it has cost of the credits that are summed: 0 for one that cost none or was before. */
  readonly credits: number;
}

/** What the ledger remembers of the last minutes. */
export interface RecentCalls {
  readonly calls: readonly RecentCall[];
  readonly blockedForMs: number;
  /** Sum of the credits since the moment asked for, of the same instant as `calls`. */
  readonly credits: number;
  /** What the provider last told of its limits. */
  readonly told:
    { readonly callsPerMinute: number | undefined; readonly creditsPerMonth: number | undefined } | undefined;
}

/** What to read: calls of the last `windowMs`, and the sum of all since `creditsSince` but those with a `free` outcome. */
export interface RecentQuery {
  readonly budgetKey: string;
  readonly windowMs: number;
  readonly creditsSince: Date;
  readonly free: readonly string[];
}

/** The provider's word for its limits, and a row for what others have spent. */
export interface ToldRecord {
  readonly budgetKey: string;
  readonly callsPerMinute: number | undefined;
  readonly creditsPerMonth: number | undefined;
  readonly others: { readonly id: string; readonly credits: number };
}

/**
 * The durable record of all grants. Redis decides; the ledger is what it is rebuilt from when it has forgotten. All times are
 * of the database's clock and are handed out as distances from its now, so that no other clock is compared with it.
 */
export interface UpstreamLedger {
  /** Writes a grant, durably, before its call may go out. `lastsMs`: the call is over by then. */
  record(grant: { id: string; budgetKey: string; lastsMs: number; credits: number }): Promise<void>;
  /** The call has ended; with `answered`, it was counted before now. */
  settle(end: { id: string; outcome: string; answered: boolean }): Promise<void>;
  /** The call was never made. */
  remove(id: string): Promise<void>;
  /** Grants that may have been counted within the last `windowMs`. */
  recent(query: RecentQuery): Promise<RecentCalls>;
  /** Remembers what the provider told. */
  tell(told: ToldRecord): Promise<void>;
  /** Nobody calls for so long. Never shortens an earlier block. */
  block(block: { budgetKey: string; ms: number }): Promise<void>;
}
