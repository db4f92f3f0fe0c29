/** The events of jobs, as streams and as a topic of WebSockets. */
import { z } from 'zod';
import { messageOf, UnavailableError } from '../../domain/errors.ts';
import { isFinal, type JobRecord } from '../../domain/job.ts';
import type { Principal } from '../../domain/principal.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import type { Realtime } from '../../platform/realtime/realtime.ts';
import { sendAway, type SseRequest } from '../../platform/realtime/sse-stream.ts';
import type { TopicSession } from '../../platform/realtime/topic.ts';
import { problemFrame } from '../../platform/realtime/ws-messages.ts';
import type { WsStream } from '../../platform/realtime/ws-stream.ts';
import type { JobEventReader } from './job-event-reader.ts';
import { isEndOfJob, JobStream, type JobStreamRequest } from './job-stream-session.ts';

/** Rows of followed jobs are polled this often (ms): the event that ends a stream is lost when Redis loses its data. */
const rowsPollIntervalMs = 15_000;
/** Most jobs that one connection may follow. */
const maxJobs = 100;
const longestEventId = 64;

/** Follows a job from an event on, or from its start; `onFault`: the events cannot be read, and nothing follows. */
type Follow = (
  request: Pick<JobStreamRequest, 'job' | 'lastEventId' | 'subscriber'> & { readonly onFault: () => void },
) => () => void;

export type JobStreams = ReturnType<typeof createJobStreams>;

/** Builds the streams of jobs of an API process. */
export function createJobStreams({
  realtime,
  reader,
  clock,
  log,
  findEnded,
  findJob,
}: {
  readonly realtime: Pick<Realtime, 'open' | 'registerTopic'>;
  readonly reader: JobEventReader;
  readonly clock: Clock;
  readonly log: Logger;
  /** Returns those of the jobs that have ended. */
  readonly findEnded: (jobIds: readonly string[]) => Promise<readonly JobRecord[]>;
  /** Rejects with an {@link AppError} when the viewer may not follow it, or there is no such job. */
  readonly findJob: (viewer: Principal, jobId: string) => Promise<JobRecord>;
}) {
  const followed = new Set<JobStream>();
  const polling = setInterval(() => void endForgotten(), rowsPollIntervalMs);
  polling.unref();

  async function endForgotten(): Promise<void> {
    if (followed.size === 0) return;
    try {
      const ended = await findEnded([...followed].map(({ jobId }) => jobId));
      const byId = new Map(ended.map((job) => [job.id, job]));
      for (const session of followed) {
        const job = byId.get(session.jobId);
        if (job !== undefined) session.endWith(job);
      }
    } catch (error) {
      log.debug({ reason: messageOf(error) }, 'the jobs of open streams could not be read');
    }
  }

  const follow: Follow = ({ job, lastEventId, subscriber, onFault }) => {
    const session = new JobStream({ reader, clock, subscriber, job, lastEventId });
    followed.add(session);
    session.run().catch((error: unknown) => {
      if (!followed.has(session)) return;
      log.warn(
        { job: job.id, reason: messageOf(error) },
        'the event stream of a job was interrupted; the client reconnects and continues',
      );
      onFault();
    });
    return () => {
      followed.delete(session);
      session.close();
    };
  };

  const jobId = z.uuid('is not the id of a job').transform((text) => text.toLowerCase());
  realtime.registerTopic('jobs', {
    most: maxJobs,
    tooMany: `A connection can follow at most ${maxJobs} jobs`,
    item: jobId,
    fields: {
      subscribe: {
        /** By job: the last event that the client has seen. */
        last_event_ids: z
          .record(jobId, z.string().max(longestEventId, `must be at most ${longestEventId} characters`))
          .optional(),
      },
      unsubscribe: {},
    },
    open: (stream) => new FollowedJobs(stream, follow, findJob),
  });

  return {
    /**
     * Takes over the response: `hello`, missed events, then live events until the job has ended or the client disconnects.
     * Returns as soon as the headers are written. A client that returns after the last event gets 204, which ends its
     * EventSource.
     */
    open(requested: SseRequest & { readonly job: JobRecord }): void {
      const { job, lastEventId } = requested;
      if (isFinal(job.state) && isEndOfJob(lastEventId)) {
        sendAway(requested);
        return;
      }
      const stream = realtime.open(requested);
      if (stream === undefined) return;
      const subscriber: JobStreamRequest['subscriber'] = {
        write: (frame) => stream.write(frame),
        complete: () => stream.end('complete'),
      };
      stream.onClose(follow({ job, lastEventId, subscriber, onFault: () => stream.end('fault') }));
    },

    /** Stops polling rows. The streams themselves are ended with all others. */
    close(): void {
      clearInterval(polling);
    },
  };
}

/** The jobs that one connection follows, each until it has ended. */
class FollowedJobs implements TopicSession<{
  readonly last_event_ids?: Readonly<Record<string, string>> | undefined;
}> {
  readonly #stream: WsStream;
  readonly #follow: Follow;
  readonly #findJob: (viewer: Principal, jobId: string) => Promise<JobRecord>;
  readonly #stops = new Map<string, () => void>();

  constructor(
    stream: WsStream,
    follow: Follow,
    findJob: (viewer: Principal, jobId: string) => Promise<JobRecord>,
  ) {
    this.#stream = stream;
    this.#follow = follow;
    this.#findJob = findJob;
  }

  get size(): number {
    return this.#stops.size;
  }

  plan(
    ids: readonly string[],
    fields: { readonly last_event_ids?: Readonly<Record<string, string>> | undefined },
  ) {
    const fresh = ids.filter((id) => !this.#stops.has(id));
    const found: JobRecord[] = [];
    return {
      fresh: fresh.length,
      admit: async () => {
        // One after the other, so that one connection does not load the database more than that.
        for (const id of fresh) found.push(await this.#findJob(this.#stream.client.viewer, id));
      },
      begin: () => {
        for (const job of found) this.#begin(job, fields.last_event_ids?.[job.id]);
      },
    };
  }

  stop(ids: readonly string[]): void {
    for (const id of ids) this.#forget(id);
  }

  close(): void {
    this.stop([...this.#stops.keys()]);
  }

  #begin(job: JobRecord, lastEventId: string | undefined): void {
    if (this.#stops.has(job.id)) return;
    const forget = (): void => this.#forget(job.id);
    const onFault = (): void => {
      forget();
      const error = new UnavailableError('The events of the job cannot be read at the moment; try again');
      this.#stream.writeBytes(problemFrame(error, undefined, { job: job.id }));
    };
    const subscriber: JobStreamRequest['subscriber'] = {
      write: (frame) => this.#stream.write(frame),
      complete: forget,
    };
    this.#stops.set(job.id, this.#follow({ job, lastEventId, subscriber, onFault }));
  }

  #forget(jobId: string): void {
    const stop = this.#stops.get(jobId);
    this.#stops.delete(jobId);
    stop?.();
  }
}
