import type { ServerResponse } from 'node:http';
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
import { encodeSse, writeSse } from './sse.ts';

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
interface SessionRequest {
  readonly reader: JobEventReader;
  readonly clock: Clock;
  readonly response: ServerResponse;
  readonly job: JobRecord;
  readonly lastEventId: string | undefined;
}

/** Events may be stamped by another machine's clock than the row. */
const clockSlackMs = 5_000;

const lastEventIdPattern = /^(\d{1,15}-\d{1,10})\.(\d{1,6})$/;

interface Seen {
  readonly entryId: string;
  readonly index: number;
}

export class JobStream {
  readonly #request: SessionRequest;
  readonly #held: JobEventEntry[] = [];
  #seen: Seen | undefined;
  #subscription: JobEventSubscription | undefined;
  #live = false;
  #done = false;

  constructor(request: SessionRequest) {
    this.#request = request;
  }

  async run(): Promise<void> {
    const { reader, job } = this.#request;
    this.#subscription = reader.subscribe([workSubject(job.workKey), jobSubject(job.id)], (entry) =>
      this.#onEntry(entry),
    );
    await this.#subscription.ready;
    const { entries, recovered } = await this.#replayable();
    this.#sendHello(recovered);
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
    this.#write(encodeSse({ event: `job.${job.state}`, data: JSON.stringify(data) }));
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
    const entryId = match?.[1] ?? '';
    const oldest = await reader.oldestId();
    if (match === null || oldest === undefined || isBefore(entryId, oldest))
      return { entries: [], recovered: false };
    this.#seen = { entryId, index: Number(match[2]) };
    return { entries: await reader.history({ subjects, from: entryId, to }), recovered: true };
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
    let text = '';
    let isLast = false;
    for (const [index, event] of entry.events.entries()) {
      if (index < first || !this.#concerns(event)) continue;
      text += encodeSse({ event: event.type, data: this.#dataOf(event), id: `${entry.id}.${index}` });
      isLast ||= isLastEvent(event.type);
    }
    this.#seen = { entryId: entry.id, index: entry.events.length - 1 };
    if (text !== '') this.#write(text);
    if (isLast) this.#end();
  }

  #dataOf(event: JobEvent): string {
    return JSON.stringify({ job: this.#request.job.id, ...event.data });
  }

  #sendHello(recovered: boolean): void {
    const { job, clock } = this.#request;
    const data = {
      job: job.id,
      state: job.state,
      recovered,
      progress: progressOf(job),
      server_time: new Date(clock.now()).toISOString(),
    };
    this.#write(encodeSse({ event: 'hello', data: JSON.stringify(data) }));
  }

  #sendReset(): void {
    const { job } = this.#request;
    this.#write(
      encodeSse({
        event: 'reset',
        data: JSON.stringify({ job: job.id, state: job.state, progress: progressOf(job) }),
      }),
    );
  }

  #write(text: string): void {
    if (!this.#done && !writeSse(this.#request.response, text)) this.close();
  }

  #end(): void {
    if (this.#done) return;
    this.close();
    this.#request.response.end();
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
