import type { JobRecord } from '../../domain/job.ts';
import type { Frame } from '../../platform/realtime/frame.ts';
import type { JobSink } from './job-stream-session.ts';

/** Follows a job from an event on, or from its beginning; returns what stops it. */
export type FollowJob = (request: {
  readonly job: JobRecord;
  readonly lastEventId: string | undefined;
  readonly sink: JobSink;
  /** The events cannot be read; nothing follows. */
  readonly onFault: () => void;
}) => () => void;

interface WsJobsDeps {
  readonly follow: FollowJob;
  readonly write: (frame: Frame) => void;
  readonly onFault: (jobId: string) => void;
}

/** The jobs that one connection follows, each until it has ended. */
export class WsJobs {
  readonly #deps: WsJobsDeps;
  readonly #stops = new Map<string, () => void>();

  constructor(deps: WsJobsDeps) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#stops.size;
  }

  has(jobId: string): boolean {
    return this.#stops.has(jobId);
  }

  follow(job: JobRecord, lastEventId: string | undefined): void {
    if (this.has(job.id)) return;
    const { follow, write, onFault } = this.#deps;
    const forget = (): void => this.stop(job.id);
    const fail = (): void => {
      forget();
      onFault(job.id);
    };
    this.#stops.set(job.id, follow({ job, lastEventId, sink: { write, complete: forget }, onFault: fail }));
  }

  stop(jobId: string): void {
    const stop = this.#stops.get(jobId);
    this.#stops.delete(jobId);
    stop?.();
  }

  close(): void {
    for (const jobId of [...this.#stops.keys()]) this.stop(jobId);
  }
}
