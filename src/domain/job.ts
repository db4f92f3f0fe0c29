/** State of a client's job as the client sees it. */
export const jobStates = ['queued', 'running', 'completed', 'failed', 'cancelled'] as const;
export type JobState = (typeof jobStates)[number];

/** True when nothing will change any more. */
export function isFinal(state: JobState): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled';
}

/** What a symbol of a request was taken for: the largest of the assets that have it, or nothing. */
export type ResolvedSymbol =
  | {
      /** As it was asked for. */
      readonly symbol: string;
      readonly id: string;
      readonly name: string;
      readonly rank: number | null;
      /** Further assets with this symbol, which were not taken. */
      readonly others: number;
    }
  | {
      readonly symbol: string;
      readonly id: null;
      readonly error: { readonly code: 'symbol_not_found'; readonly message: string };
    };

/** A client's job as stored. */
export interface JobRecord {
  /** UUID v7. */
  readonly id: string;
  readonly userId: string;
  /** Job name, such as `bulk.fetch`. */
  readonly name: string;
  readonly state: JobState;
  /** Settled assets so far, and how many there are. */
  readonly done: number;
  readonly total: number;
  /** Rises with every change; the ETag is made of it. */
  readonly version: number;
  /** Rows with the same key share one run. */
  readonly workKey: string;
  /** Quote currency that the job asks for. */
  readonly currency: string;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  readonly error: { readonly code: string; readonly message: string } | null;
  /** HTTP status of an error that lies in what was asked, not told with the job; null when the fault was ours. */
  readonly errorStatus?: number | null | undefined;
  /** JSON text of the result; only for a completed job read by its id. */
  readonly resultJson: string | null;
  /** JSON text of {@link ResolvedSymbol}s, when it was asked for by symbols; those of this job, not of others with its work. */
  readonly resolvedJson?: string | null | undefined;
}

/** Who asks: owners see their own jobs, admins see all. */
export interface Viewer {
  readonly userId: string;
  readonly role: 'user' | 'admin';
}
