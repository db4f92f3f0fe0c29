import type { ClientJobName, JobData } from '../../../jobs/registry.ts';
import type { JobRecord, JobState, ResolvedSymbol, Viewer } from '../../domain/job.ts';

/** Data of a client job without what the desk adds. */
export type Submission<N extends ClientJobName> = Omit<JobData<N>, 'workKey' | 'requester'>;

export interface SubmitRequest<N extends ClientJobName = ClientJobName> {
  readonly userId: string;
  /** The API key that it came with. */
  readonly keyId?: string | undefined;
  readonly name: N;
  readonly submission: Submission<N>;
  /** Number of assets whose settling counts as progress. */
  readonly total: number;
  /** What the symbols of the request were taken for: to be shown with the job, and no part of its work. */
  readonly resolved?: readonly ResolvedSymbol[] | undefined;
  /** Where its end is to be told, and no part of its work. */
  readonly callbackUrl?: string | undefined;
  /** From the `Idempotency-Key` header. */
  readonly idempotency?:
    { readonly key: string; readonly route: string; readonly bodyHash: string } | undefined;
}

export interface JobPage {
  readonly jobs: readonly JobRecord[];
  readonly total: number;
}

/** Where handlers submit, read and cancel client jobs. Accepted means: the row is committed in Postgres. */
export interface JobDesk {
  /**
   * Stores the job and adds it to its queue. Once stored it will end, whether or not the add reached Redis.
   * With a known idempotency key and the same body, the job that exists is returned.
   * @throws {IdempotencyMismatchError} same key, other body.
   * @throws {RateLimitedError} the user has too many unfinished jobs, or too many on portfolios.
   * @throws {UnavailableError} Postgres is down or the backlog is full; nothing was accepted.
   */
  submit<N extends ClientJobName>(request: SubmitRequest<N>): Promise<JobRecord>;
  /**
   * The user's own job of the same work: one that has completed and whose result is kept (of computed performance only), else
   * one that has not ended. Undefined when there is none.
   */
  sameWork<N extends ClientJobName>(
    userId: string,
    name: N,
    submission: Submission<N>,
  ): Promise<JobRecord | undefined>;
  /** @throws {NotFoundError} it does not exist or is not the viewer's. */
  get(id: string, viewer: Viewer): Promise<JobRecord>;
  /** Jobs of one user, the newest first, without results; of all names or of some. `page` counts from 1. */
  list(request: {
    userId: string;
    page: number;
    limit: number;
    state?: JobState | undefined;
    names?: readonly ClientJobName[] | undefined;
  }): Promise<JobPage>;
  /**
   * Cancels a job that has not ended; one that has ended is returned as it is. Others who share its run keep theirs.
   * @throws {NotFoundError} it does not exist or is not the viewer's.
   */
  cancel(id: string, viewer: Viewer): Promise<JobRecord>;
  /** Waits until the job has ended, `waitMs` at most, and returns it as it is then. */
  waitForEnd(job: JobRecord, waitMs: number, signal?: AbortSignal): Promise<JobRecord>;
  /** Seconds until the job is expected to end, from the demand ahead of it and the budget; null when not known. */
  etaSeconds(job: JobRecord): Promise<number | null>;
}
