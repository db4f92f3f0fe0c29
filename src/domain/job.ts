/** State of a client's job as the client sees it. */
export const jobStates = ['queued', 'running', 'completed', 'failed', 'cancelled'] as const;
export type JobState = (typeof jobStates)[number];

/** True if nothing will change any more. */
export function isFinal(state: JobState): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled';
}

/** The asset selected for a symbol of a request: the largest by market capitalisation of those that have it, or none. */
export type ResolvedSymbol =
  | {
      /** As written in the request. */
      readonly symbol: string;
      readonly id: string;
      readonly name: string;
      readonly rank: number | null;
      /** Other assets with this symbol. */
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
  /** Settled assets so far, and their total. */
  readonly done: number;
  readonly total: number;
  /** Increases with every change; the ETag is made of it. */
  readonly version: number;
  /** Rows with the same key share one run. */
  readonly workKey: string;
  /** Quote currency of the job. */
  readonly currency: string;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  readonly error: { readonly code: string; readonly message: string } | null;
  /** HTTP status of an error caused by the request, not shown with the job; null for an internal fault. */
  readonly errorStatus?: number | null | undefined;
  /** JSON text of the result; only for a completed job read by its id. */
  readonly resultJson: string | null;
  /**
   * JSON text of {@link ResolvedSymbol}s, if the request had symbols; those of this job, not of others with the same
   * work.
   */
  readonly resolvedJson?: string | null | undefined;
}

/** Who asks: owners see their own jobs, admins see all. */
export interface Viewer {
  readonly userId: string;
  readonly role: 'user' | 'admin';
}
