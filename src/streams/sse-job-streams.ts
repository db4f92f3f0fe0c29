import type { ServerResponse } from 'node:http';
import { setInterval as every } from 'node:timers';
import type { Principal } from '../auth/principal.ts';
import type { JobRecord } from '../domain/job.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import { JobStream } from './job-stream-session.ts';
import type { JobEventReader } from './job-event-reader.ts';
import type { JobStreamRequest, JobStreams } from './job-stream.ts';
import { encodeSse, sseHeaders, writeSse } from './sse.ts';

interface JobStreamsDeps {
  readonly reader: JobEventReader;
  readonly clock: Clock;
  readonly log: Logger;
  /** Those of the jobs that have ended. */
  readonly findEnded: (jobIds: readonly string[]) => Promise<readonly JobRecord[]>;
  /** Whether a credential was revoked. */
  readonly isRevoked: (viewer: Principal) => boolean;
  /** Most open streams of this process; above it a client is told to come back later. */
  readonly maxStreams: number;
}

interface OpenStream {
  readonly stream: JobStream;
  readonly viewer: Principal;
}

/** Proxies cut a silent connection after some 60 s; clients see from `hb` that the stream lives. */
const heartbeatMs = 15_000;
const retryMs = 3_000;

/** Builds the SSE {@link JobStreams} of an API process. */
export function createJobStreams(deps: JobStreamsDeps): JobStreams {
  const open = new Map<ServerResponse, OpenStream>();
  const heart = every(() => {
    const text = `: hb\n\n${encodeSse({ event: 'hb', data: JSON.stringify({ time: new Date(deps.clock.now()).toISOString() }) })}`;
    for (const response of open.keys()) writeSse(response, text);
    void endForgotten(
      [...open.values()].map(({ stream }) => stream),
      deps,
    );
  }, heartbeatMs);
  heart.unref();

  return {
    open({ response, job, viewer, lastEventId }: JobStreamRequest) {
      response.writeHead(200, sseHeaders);
      if (open.size >= deps.maxStreams) {
        rejectSoftly(response);
        return;
      }
      writeSse(response, `retry: ${retryMs}\n\n`);
      const stream = new JobStream({ ...deps, response, job, lastEventId });
      open.set(response, { stream, viewer });
      response.on('close', () => {
        stream.close();
        open.delete(response);
      });
      // Revoked while the job was looked up.
      if (deps.isRevoked(viewer)) response.end();
      stream.run().catch((error: unknown) => {
        deps.log.warn({ job: job.id, reason: messageOf(error) }, 'a job stream broke off');
        response.end();
      });
    },
    endRevoked() {
      for (const [response, { viewer }] of open) if (deps.isRevoked(viewer)) response.end();
    },
    count: () => open.size,
    drain() {
      clearInterval(heart);
      for (const response of open.keys()) {
        // Spread over two seconds, so that the other processes are not hit at once.
        const retry = 200 + Math.floor(Math.random() * 2_000);
        writeSse(
          response,
          `retry: ${retry}\n${encodeSse({ event: 'drain', data: JSON.stringify({ retry_ms: retry }) })}`,
        );
        response.end();
      }
      return Promise.resolve();
    },
  };
}

/** The event that ends a stream is lost when Redis loses its data; the rows in Postgres are not. */
async function endForgotten(
  streams: readonly JobStream[],
  { findEnded, log }: JobStreamsDeps,
): Promise<void> {
  if (streams.length === 0) return;
  try {
    const ended = new Map((await findEnded(streams.map(({ jobId }) => jobId))).map((job) => [job.id, job]));
    for (const stream of streams) {
      const job = ended.get(stream.jobId);
      if (job !== undefined) stream.endWith(job);
    }
  } catch (error) {
    log.debug({ reason: messageOf(error) }, 'the jobs of open streams could not be read');
  }
}

/** A 503 would make a browser give up for good; a stream that ends at once with a retry hint makes it come back. */
function rejectSoftly(response: ServerResponse): void {
  const retry = 5_000 + Math.floor(Math.random() * 10_000);
  response.end(
    `retry: ${retry}\n${encodeSse({ event: 'limit', data: JSON.stringify({ retry_ms: retry }) })}`,
  );
}
