import {
  isBefore,
  isLastEvent,
  jobSubject,
  workSubject,
  type JobEvent,
  type JobEventEntry,
} from './job-events.ts';
import { isFinal, type JobRecord } from '../../domain/job.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { withDeadline } from '../../platform/concurrency/deadline.ts';
import type { JobEventReader, JobEventSubscription } from './job-event-reader.ts';
import { Frame, type StreamEvent } from '../../platform/realtime/frame.ts';

/**
 * One client's stream of one job, in this order: subscribe, replay, then live, so that no event is lost in between.
 *
 *   opening    entries that arrive are held back while history is read
 *   replaying  `hello`, then what the client has not seen
 *   live       entries as they arrive, until the one that ends this job
 *
 * A client that returns with an id that is no longer kept, or connects first when the first events are no longer kept, gets
 * `recovered: false` and `reset`, and then the state of the job instead of a part of its history.
 */
export interface JobStreamRequest {
  readonly reader: JobEventReader;
  readonly clock: Clock;
  /** Where the events go: an SSE stream, or a part of a WebSocket. */
  readonly subscriber: {
    write(frame: Frame): void;
    /** Called when nothing follows. */
    complete(): void;
  };
  readonly job: JobRecord;
  readonly lastEventId: string | undefined;
}

/** Events may have timestamps of another machine's clock than the row. */
const clockSlackMs = 5_000;

/** The row of a job ends before its last event is published, by at most this time (ms) while Redis answers. */
const longestEndDelayMs = 1_000;

/** A client reconnects after this time (ms) if it is cut off. */
const retryMs = 3_000;

const lastEventIdPattern = /^(\d{1,15}-\d{1,10})\.(\d{1,6})(?:\.end)?$/;
const endMark = '.end';

/** Whether this is the id of a job's last event, so that a client that has it need not reconnect. */
export function isEndOfJob(lastEventId: string | undefined): boolean {
  return lastEventId?.endsWith(endMark) ?? false;
}

/** What a client gets before the live events. */
interface Replay {
  readonly entries: readonly JobEventEntry[];
  readonly recovered: boolean;
}

const nothingKept: Replay = { entries: [], recovered: false };

/** One client's stream of one job. */
export class JobStream {
  readonly #request: JobStreamRequest;
  readonly #held: JobEventEntry[] = [];
  #seen: { readonly entryId: string; readonly index: number } | undefined;
  #subscription: JobEventSubscription | undefined;
  #live = false;
  #done = false;
  /** Called when the last event is among those held back, or will never come. */
  #onEndHeld: (() => void) | undefined;

  constructor(request: JobStreamRequest) {
    this.#request = request;
  }

  /** Sends missed events, then live ones. Rejects when the history cannot be read. */
  async run(): Promise<void> {
    // Ended before it started, as while the process drains; a subscription would outlive it.
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
    // Ended, and its end is no longer (or not yet) in the history: the row has everything.
    if (isFinal(job.state)) this.endWith(job);
  }

  get jobId(): string {
    return this.#request.job.id;
  }

  /** Reports the end from the job's row, if no event has reported it. */
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
    this.#onEndHeld?.();
    this.#subscription?.close();
  }

  #onEntry(entry: JobEventEntry): void {
    if (this.#live) {
      this.#sendEntry(entry);
      return;
    }
    this.#held.push(entry);
    if (this.#endsJob(entry)) this.#onEndHeld?.();
  }

  /** The events that the client has not seen yet, and whether they are complete. */
  async #replayable(): Promise<Replay> {
    const { job, lastEventId } = this.#request;
    const from = String(job.createdAt.getTime() - clockSlackMs);
    if (lastEventId === undefined) return await this.#fromBeginning(from);
    const [, entryId = '', index = ''] = lastEventIdPattern.exec(lastEventId) ?? [];
    // There are no events from before the job was created.
    if (entryId === '' || isBefore(entryId, from)) return nothingKept;
    return await this.#fromSeen({ entryId, index: Number(index) });
  }

  async #fromSeen(seen: { readonly entryId: string; readonly index: number }): Promise<Replay> {
    const entries = await this.#history(seen.entryId);
    // Entries are ordered by id: while the last seen event is stored, all later ones are. One that is not there was trimmed, lost
    // with Redis, or never ours.
    const [lastSeen] = entries;
    if (lastSeen?.id !== seen.entryId || seen.index >= lastSeen.events.length) return nothingKept;
    this.#seen = seen;
    return this.#lacksEnd([...entries, ...this.#held]) ? nothingKept : { entries, recovered: true };
  }

  async #fromBeginning(from: string): Promise<Replay> {
    const kept = await this.#history(from);
    const newest = kept.at(-1)?.id ?? '0-0';
    const entries = this.#ofThisJob([
      ...kept,
      ...this.#held.splice(0).filter(({ id }) => isBefore(newest, id)),
    ]);
    if (await this.#isWhole(entries, from)) return { entries, recovered: true };
    return { entries: entries.filter((entry) => this.#endsJob(entry)), recovered: false };
  }

  /** Stored entries from this id on; for a job that has just ended, those held back may contain its end. */
  async #history(from: string): Promise<readonly JobEventEntry[]> {
    const { reader, job, clock } = this.#request;
    const to = job.finishedAt === null ? '+' : String(job.finishedAt.getTime() + clockSlackMs);
    const subjects = [workSubject(job.workKey), jobSubject(job.id)];
    const entries = await reader.history({ subjects, from, to, isWanted: () => !this.#done });
    const isYoung = job.finishedAt !== null && clock.now() - job.finishedAt.getTime() < clockSlackMs;
    if (isYoung && !this.#done && this.#lacksEnd([...entries, ...this.#held])) {
      const reported = new Promise<void>((resolve) => (this.#onEndHeld = resolve));
      await withDeadline(reported, longestEndDelayMs, 'the last event').catch(() => undefined);
    }
    return entries;
  }

  /**
   * An earlier run of the same work ended other jobs: events before that end are not about this one. A later run may have ended
   * others after this job, which does not matter.
   */
  #ofThisJob(entries: readonly JobEventEntry[]): readonly JobEventEntry[] {
    const ownEnd = entries.findIndex((entry) => this.#endsJob(entry));
    const before = ownEnd < 0 ? entries : entries.slice(0, ownEnd);
    const foreignEnd = before.findLastIndex(({ events }) => events.some(({ type }) => isLastEvent(type)));
    return entries.slice(foreignEnd + 1);
  }

  /** Whether these are all events of the job, as far as can be known. */
  async #isWhole(entries: readonly JobEventEntry[], from: string): Promise<boolean> {
    const { reader, job } = this.#request;
    if (this.#lacksEnd(entries)) return false;
    const coins = entries.flatMap(({ events }) => events).filter(({ type }) => type === 'job.coin');
    if (coins.length >= job.done) return true;
    // Some may have been published before the job joined its run. But then what came before them is stored as well.
    const oldest = await reader.oldestId();
    return oldest !== undefined && isBefore(oldest, from);
  }

  #lacksEnd(entries: readonly JobEventEntry[]): boolean {
    return isFinal(this.#request.job.state) && !entries.some((entry) => this.#endsJob(entry));
  }

  #endsJob({ events }: JobEventEntry): boolean {
    return events.some((event) => isLastEvent(event.type) && this.#concerns(event));
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
    if (!this.#done) this.#request.subscriber.write(new Frame(event));
  }

  #end(): void {
    if (this.#done) return;
    this.close();
    this.#request.subscriber.complete();
  }
}

function progressOf(job: JobRecord): { done: number; total: number } {
  return { done: job.done, total: job.total };
}
