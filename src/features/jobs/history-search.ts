/**
 * Finds the events that clients missed in the stream of all job events, which may hold tens of thousands of entries. So there
 * is only one pass at a time, for any number of jobs and callers: it serves all callers that asked before it started, accepts
 * those who join on the way and need nothing it has already passed, and reads only as far as a caller needs. Between two pages
 * it rests as long as a page took, so that other requests get half of the process's time.
 */
import type { Redis } from 'ioredis';
import { isAfterEnd, isBefore, parseJobEventEntry, type JobEventEntry } from './job-events.ts';
import { sleep } from '../../platform/concurrency/sleep.ts';

export interface EventHistoryRequest {
  readonly subjects: readonly string[];
  /** Stream id, or milliseconds since the epoch: the first entry that may matter. */
  readonly from: string;
  /** Milliseconds since the epoch: the last entry that may matter; `+` for the newest. */
  readonly to: string;
  /** Called between two pages; when it returns false the search ends without a result. */
  readonly isWanted?: (() => boolean) | undefined;
}

/** A caller that waits for entries found by a pass. */
interface Seeker {
  readonly request: EventHistoryRequest;
  readonly found: JobEventEntry[];
  readonly resolve: (entries: readonly JobEventEntry[]) => void;
  readonly reject: (error: unknown) => void;
  pages: number;
}

/** The position of a pass: an entry that is still to be read, or one that has been read. */
interface Place {
  readonly id: string;
  readonly isPassed: boolean;
}

const entriesPerPage = 500;
/** Most pages searched for one client; more than what is kept. */
const maxPages = 50;
/** Longest rest (ms) between two pages: a slow Redis does not mean a busy process. */
const longestRestMs = 20;

/** The history search of a process. */
export class HistorySearch {
  readonly #deps: { readonly redis: Pick<Redis, 'xrange'>; readonly streamKey: string };
  readonly #waiting = new Set<Seeker>();
  readonly #served = new Set<Seeker>();
  readonly #bySubject = new Map<string, Set<Seeker>>();
  #isPassing = false;

  constructor(deps: { readonly redis: Pick<Redis, 'xrange'>; readonly streamKey: string }) {
    this.#deps = deps;
  }

  /** Entries about the subjects between two ids (inclusive), the oldest first. Rejects when Redis does not answer. */
  find(request: EventHistoryRequest): Promise<readonly JobEventEntry[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.add({ request, found: [], resolve, reject, pages: 0 });
      if (!this.#isPassing) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#isPassing = true;
    // All requests of the same turn, such as for all jobs of one message, are served from the first page on.
    await Promise.resolve();
    while (this.#waiting.size > 0) {
      try {
        await this.#pass();
      } catch (error) {
        for (const seeker of this.#served) this.#leave(seeker).reject(error);
      }
    }
    this.#isPassing = false;
  }

  async #pass(): Promise<void> {
    let at: Place = { id: firstOf(this.#waiting), isPassed: false };
    for (;;) {
      this.#letGo();
      this.#takeIn(at);
      if (this.#served.size === 0) return;
      const startedAt = performance.now();
      const page = await this.#read(at);
      for (const entry of page) this.#offer(entry);
      at = { id: page.at(-1)?.[0] ?? at.id, isPassed: true };
      this.#settle(at.id, page.length < entriesPerPage);
      if (this.#served.size === 0) return;
      await sleep(Math.min(longestRestMs, performance.now() - startedAt));
    }
  }

  #read({ id, isPassed }: Place): Promise<[id: string, fields: string[]][]> {
    const { redis, streamKey } = this.#deps;
    return redis.xrange(streamKey, isPassed ? `(${id}` : id, this.#furthest(), 'COUNT', entriesPerPage);
  }

  /** Accepts callers that the pass can still serve: they want nothing before the next page. */
  #takeIn({ id, isPassed }: Place): void {
    for (const seeker of this.#waiting) {
      const { from, subjects } = seeker.request;
      if (isPassed ? !isBefore(id, from) : isBefore(from, id)) continue;
      this.#waiting.delete(seeker);
      this.#served.add(seeker);
      for (const subject of subjects)
        this.#bySubject.set(subject, (this.#bySubject.get(subject) ?? new Set()).add(seeker));
    }
  }

  /** Removes callers that have gone; they get nothing. */
  #letGo(): void {
    for (const seeker of [...this.#waiting, ...this.#served])
      if (seeker.request.isWanted?.() === false) this.#leave(seeker).resolve([]);
  }

  #furthest(): string {
    const ends = [...this.#served].map(({ request }) => request.to);
    if (ends.includes('+')) return '+';
    return ends.reduce((last, each) => (isBefore(last, each) ? each : last));
  }

  #offer(raw: [id: string, fields: string[]]): void {
    const seekers = this.#bySubject.get(raw[1][1] ?? '');
    if (seekers === undefined) return;
    const entry = parseJobEventEntry(raw);
    for (const { request, found } of seekers)
      if (!isBefore(entry.id, request.from) && !isAfterEnd(entry.id, request.to)) found.push(entry);
  }

  /** Resolves the search of callers for whom nothing more can come. */
  #settle(last: string, isEnd: boolean): void {
    for (const seeker of this.#served) {
      seeker.pages += 1;
      if (isEnd || seeker.pages >= maxPages || isAfterEnd(last, seeker.request.to))
        this.#leave(seeker).resolve(seeker.found);
    }
  }

  #leave(seeker: Seeker): Seeker {
    this.#waiting.delete(seeker);
    this.#served.delete(seeker);
    for (const subject of seeker.request.subjects) {
      const seekers = this.#bySubject.get(subject);
      seekers?.delete(seeker);
      if (seekers?.size === 0) this.#bySubject.delete(subject);
    }
    return seeker;
  }
}

function firstOf(seekers: Iterable<Seeker>): string {
  return [...seekers]
    .map(({ request }) => request.from)
    .reduce((first, each) => (isBefore(each, first) ? each : first), '+');
}
