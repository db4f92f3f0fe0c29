import type {
  QueueName,
  JobData,
  JobName,
  JobNameOf,
  JobResult,
  RetentionName,
} from '../../jobs/registry.ts';

/** What a processor knows of the job it runs. */
export interface JobContext {
  readonly jobId: string;
  /** When the job was added, in milliseconds since the epoch. */
  readonly addedAt: number;
  /** Counts every start of the job, put-backs and crashes included; 1 is the first. */
  readonly start: number;
  /** True when a failure of this attempt is the last word. */
  readonly isLastAttempt: boolean;
  /** Aborts when this process no longer owns the job (its lock was lost): stop, another process has it. */
  readonly signal: AbortSignal;
  /** Aborts as `signal` does, and when the process is about to end: stop waiting, with a {@link Requeue}. */
  readonly waitSignal: AbortSignal;
  /** As `waitSignal`, but a moment later: for an upstream call that is paid for and nearly done. */
  readonly callSignal: AbortSignal;
  /** From now on, equal work that is added makes a job of its own. */
  releaseDeduplication(): Promise<void>;
}

export type Processor<N extends JobName> = (data: JobData<N>, context: JobContext) => Promise<JobResult<N>>;

/** A processor for every job of a queue: a missing or an extra one does not compile. */
export type ProcessorsOf<Q extends QueueName> = { readonly [N in JobNameOf<Q>]: Processor<N> };

/**
 * What retentions delete, by job and by what it is: a function that deletes a bounded batch of rows over an index, and returns their
 * number; 0 when nothing is left.
 */
export type Retentions = {
  readonly [N in RetentionName]?: Readonly<Record<string, () => Promise<number>>>;
};

/** What a feature gives a worker process. */
export interface WorkerModule {
  /**
   * For each queue that has jobs of the feature, a function that opens what they need and makes their processors, by name of the
   * job. It is called once, and only where the queue is served; undefined when the queue cannot be served as configured. What it
   * makes for jobs of other queues is left alone, so that a feature may make all of them in one place.
   */
  readonly processors: {
    readonly [Q in QueueName]?: () => { readonly [N in JobName]?: Processor<N> } | undefined;
  };
  readonly retentions?: Retentions;
  /** Told of every job of this process that failed and is not tried again, also when no processor ran (it stalled too often). */
  readonly onFinalFailure?: (name: JobName, data: unknown, reason: string) => Promise<void>;
}
