import type { ServerResponse } from 'node:http';
import type { Principal } from '../auth/principal.ts';
import type { JobRecord } from '../domain/job.ts';

export interface JobStreamRequest {
  readonly response: ServerResponse;
  readonly job: JobRecord;
  /** Whose credential opened it: the stream ends when that is revoked. */
  readonly viewer: Principal;
  /** From the `Last-Event-ID` header or `lastEventId` query; undefined on a first connect. */
  readonly lastEventId: string | undefined;
}

/** SSE streams of job events. */
export interface JobStreams {
  /**
   * Takes the response over: writes status and headers, `hello`, what was missed, then live events until the job has ended
   * or the client goes away. Returns as soon as the head is written.
   */
  open(request: JobStreamRequest): void;
  /** Ends the streams whose credential was revoked. */
  endRevoked(): void;
  /** Open streams of this process. */
  count(): number;
  /** Ends every stream with a `drain` event and a spread retry hint. */
  drain(): Promise<void>;
}
