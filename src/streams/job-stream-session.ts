import {
  isLastEvent,
  jobSubject,
  workSubject,
  type JobEvent,
  type JobEventEntry,
} from '../events/job-events.ts';
import { isFinal, type JobRecord } from '../domain/job.ts';
import type { Clock } from '../lib/clock.ts';
import type { JobEventReader, JobEventSubscription } from './job-event-reader.ts';
import { Frame, type StreamEvent } from './frame.ts';

/**
 * One client's stream of one job, in this order: subscribe, replay, then live, so that no event falls between.
 *
 *   opening    entries that arrive are held back while history is read
 *   replaying  `hello`, then what the client has not seen
 *   live       entries as they arrive, until the one that ends this job
 *
 * A client that returns with an id that is no longer kept is told so (`recovered: false` and `reset`) and gets the state of
 * the job instead of a part of its history.
 */
export interface JobStreamRequest {
  readonly reader: JobEventReader;
  readonly clock: Clock;
  readonly sink: JobSink;
  readonly job: JobRecord;
  readonly lastEventId: string | undefined;
}

/** Where the events of a job go: an SSE stream, or a part of a WebSocket. */
export interface JobSink {
  write(frame: Frame): void;
  /** Nothing follows. */
  complete(): void;
}

/** Events may be stamped by another machine's clock than the row. */
const clockSlackMs = 5_000;

/** A client comes back after this long (ms) if it is cut off. */
const retryMs = 3_000;

const lastEventIdPattern = /^(\d{1,15}-\d{1,10})\.(\d{1,6})(?:\.end)?$/;
const endMark = '.end';

/** Whether this is the id of the event after which nothing follows, so that a client that has it need not come back. */
export function isEndOfJob(lastEventId: string | undefined): boolean {
  return lastEventId?.endsWith(endMark) ?? false;
}

interface Seen {
  readonly entryId: string;
  readonly index: number;
}

/** One client's stream of one job. */
export class JobStream {
  readonly #request: JobStreamRequest;
  readonly #held: JobEventEntry[] = [];
  #seen: Seen | undefined;
  #subscription: JobEventSubscription | undefined;
  #live = false;
  #done = false;

  constructor(request: JobStreamRequest) {
    this.#request = request;
  }

  /** Sends what there is, then what comes. Rejects when the history cannot be read. */
  async run(): Promise<void> {
    // Ended before it began, as while the process drains; a subscription would outlive it.
    if (this.#done) return;
    const { reader, job } = this.#request;
    this.#subscription = reader.subscribe([workSubject(job.workKey), jobSubject(job.id)], (entry) =>
      this.#onEntry(entry),
    );
    await this.#subscription.ready;
    const { entries, recovered } = await this.#replayable();
    this.#sendHello(recovered, await reader.epoch());
    if (!recovered) this.#sendReset();
    for (const entry of [...entries, ...this.#held]) this.#sendEntry(entry);
    this.#live = true;
    // Ended, and its end is no longer (or not yet) in the history: the row says it all.
    if (isFinal(job.state)) this.endWith(job);
  }

  get jobId(): string {
    return this.#request.job.id;
  }

  /** Tells the end from the job's row, where no event has told it. */
  endWith(job: JobRecord): void {
    if (this.#done || !this.#live) return;
    const data = {
      job: job.id,
      state: job.state,
      progress: progressOf(job),
      ...(job.error === null ? {} : { error: job.error }),
    };
    this.#write({ type: `job.${job.state}`, data: JSON.stringify(data), id: `0-0.0${endMark}` });
    this.#end();
  }

  close(): void {
    this.#done = true;
    this.#subscription?.close();
  }

  #onEntry(entry: JobEventEntry): void {
    if (this.#live) this.#sendEntry(entry);
    else this.#held.push(entry);
  }

  /** What the client has not seen yet, and whether that is all of it. */
  async #replayable(): Promise<{ entries: readonly JobEventEntry[]; recovered: boolean }> {
    const { reader, job, lastEventId } = this.#request;
    const match = lastEventId === undefined ? null : lastEventIdPattern.exec(lastEventId);
    const subjects = [workSubject(job.workKey), jobSubject(job.id)];
    const to = job.finishedAt === null ? '+' : String(job.finishedAt.getTime() + clockSlackMs);
    if (lastEventId === undefined) {
      const from = String(job.createdAt.getTime() - clockSlackMs);
      return { entries: this.#ofThisJob(await reader.history({ subjects, from, to })), recovered: true };
    }
    if (match === null) return { entries: [], recovered: false };
    const [, entryId = '', index = ''] = match;
    const entries = await reader.history({ subjects, from: entryId, to });
    // Entries go in the order of their ids: while that of the last seen event is kept, all that followed it is. One that is
    // not there was trimmed, lost with Redis, or never ours.
    const [lastSeen] = entries;
    if (lastSeen?.id !== entryId || Number(index) >= lastSeen.events.length)
      return { entries: [], recovered: false };
    this.#seen = { entryId, index: Number(index) };
    return { entries, recovered: true };
  }

  /** An earlier run of the same work ended other jobs: what came before that end is not about this one. */
  #ofThisJob(entries: readonly JobEventEntry[]): readonly JobEventEntry[] {
    const foreignEnd = entries.findLastIndex(({ events }) =>
      events.some((event) => isLastEvent(event.type) && !this.#concerns(event)),
    );
    return entries.slice(foreignEnd + 1);
  }

  #concerns(event: JobEvent): boolean {
    return event.jobs === undefined || event.jobs.includes(this.#request.job.id);
  }

  #sendEntry(entry: JobEventEntry): void {
    if (this.#seen !== undefined && isBefore(entry.id, this.#seen.entryId)) return;
    const first = entry.id === this.#seen?.entryId ? this.#seen.index + 1 : 0;
    let isLast = false;
    for (const [index, event] of entry.events.entries()) {
      if (index < first || !this.#concerns(event)) continue;
      const endsJob = isLastEvent(event.type);
      const id = `${entry.id}.${index}${endsJob ? endMark : ''}`;
      this.#write({ type: event.type, data: this.#dataOf(event), id });
      isLast ||= endsJob;
    }
    this.#seen = { entryId: entry.id, index: entry.events.length - 1 };
    if (isLast) this.#end();
  }

  #dataOf(event: JobEvent): string {
    return JSON.stringify({ job: this.#request.job.id, ...event.data });
  }

  #sendHello(recovered: boolean, epoch: string): void {
    const { job, clock } = this.#request;
    const data = {
      job: job.id,
      state: job.state,
      epoch,
      recovered,
      progress: progressOf(job),
      server_time: new Date(clock.now()).toISOString(),
    };
    this.#write({ type: 'hello', data: JSON.stringify(data), retryMs });
  }

  #sendReset(): void {
    const { job } = this.#request;
    const data = { job: job.id, state: job.state, progress: progressOf(job) };
    this.#write({ type: 'reset', data: JSON.stringify(data) });
  }

  #write(event: StreamEvent): void {
    if (!this.#done) this.#request.sink.write(new Frame(event));
  }

  #end(): void {
    if (this.#done) return;
    this.close();
    this.#request.sink.complete();
  }
}

function progressOf(job: JobRecord): { done: number; total: number } {
  return { done: job.done, total: job.total };
}

/** Compares stream ids by time, then by sequence. */
function isBefore(a: string, b: string): boolean {
  const [aTime = 0, aSequence = 0] = a.split('-').map(Number);
  const [bTime = 0, bSequence = 0] = b.split('-').map(Number);
  return aTime === bTime ? aSequence < bSequence : aTime < bTime;
}
