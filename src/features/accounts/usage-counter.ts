/**
 * Counts what users and their keys cause, in memory, and adds it to Postgres every few seconds. Counting is on the way of
 * every cached read, so it is a lookup by an id that the caller has already, and an addition.
 *
 * At least once: counts that could not be added are kept and added later, also when it is not known whether they were (an
 * answer that never came). So a lost answer may count a few seconds twice, and a process that is killed loses its last few
 * seconds; an outage of Postgres loses nothing. A count belongs to the UTC day on which it was made.
 */
import type { NewUsage, UsageQueries } from './queries/usage.ts';
import type { Requester } from '../../domain/requester.ts';
import { systemClock, type Clock } from '../../platform/concurrency/clock.ts';
import { withDeadline } from '../../platform/concurrency/deadline.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';

export interface UsageCounter {
  /** Counts a request. */
  request(who: Requester): void;
  /** Counts an accepted job. */
  job(who: Requester): void;
  /** Counts a share (0 to 1) of an upstream call. */
  calls(who: Requester, share: number): void;
  /** Adds what was counted so far to Postgres. Never rejects: what cannot be added is kept. */
  flush(): Promise<void>;
  /** Ends the regular flushes after a last one, which has three seconds. Never rejects. */
  close(): Promise<void>;
}

interface UsageCounterDeps {
  readonly queries: Pick<UsageQueries, 'add'>;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Time (ms) between flushes. Default 5 s. */
  readonly flushEveryMs?: number;
  /** Most requesters and days held; what others cause is then not counted. Default 50,000. */
  readonly maxEntries?: number;
}

interface Entry {
  readonly day: string;
  readonly who: Requester;
  requests: number;
  jobs: number;
  upstreamCalls: number;
}

const dayMs = 86_400_000;
/** Rows of one statement. */
const chunkRows = 5_000;
const lastFlushMs = 3_000;

/** Builds the {@link UsageCounter} of a process and begins its regular flushes. */
export function createBufferedUsageCounter(deps: UsageCounterDeps): UsageCounter {
  return new BufferedUsageCounter(deps);
}

class BufferedUsageCounter implements UsageCounter {
  readonly #deps: UsageCounterDeps;
  readonly #clock: Clock;
  readonly #timer: NodeJS.Timeout;
  readonly #maxEntries: number;
  /** By key id, or by user id without a key: both are unique, and at hand without making a text of them. */
  #today = new Map<string, Entry>();
  /** Of earlier days, until they are added. */
  #older: Entry[] = [];
  #dayStart = 0;
  #day = '';
  #flushing: Promise<void> | undefined;
  #hasWarned = false;

  constructor(deps: UsageCounterDeps) {
    this.#deps = deps;
    this.#clock = deps.clock ?? systemClock;
    this.#maxEntries = deps.maxEntries ?? 50_000;
    this.#timer = setInterval(() => void this.flush(), deps.flushEveryMs ?? 5_000);
    this.#timer.unref();
  }

  request(who: Requester): void {
    const entry = this.#entryOf(who);
    if (entry !== undefined) entry.requests++;
  }

  job(who: Requester): void {
    const entry = this.#entryOf(who);
    if (entry !== undefined) entry.jobs++;
  }

  calls(who: Requester, share: number): void {
    const entry = this.#entryOf(who);
    if (entry !== undefined) entry.upstreamCalls += share;
  }

  flush(): Promise<void> {
    this.#flushing ??= this.#flush().finally(() => (this.#flushing = undefined));
    return this.#flushing;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    // One that runs does not have the newest counts.
    const last = async (): Promise<void> => {
      await this.#flushing;
      await this.flush();
    };
    try {
      await withDeadline(last(), lastFlushMs, 'adding the last usage');
    } catch (error) {
      this.#deps.log.warn(
        { reason: messageOf(error) },
        'usage counts of the last seconds before shutdown may be missing: Postgres did not store them in time',
      );
    }
  }

  #entryOf(who: Requester): Entry | undefined {
    if (this.#clock.now() - this.#dayStart >= dayMs) this.#turnDay();
    return this.#today.get(who.keyId ?? who.userId) ?? this.#newEntry(who);
  }

  #turnDay(): void {
    for (const entry of this.#today.values()) this.#older.push(entry);
    this.#today = new Map();
    const now = this.#clock.now();
    this.#dayStart = now - (now % dayMs);
    this.#day = new Date(now).toISOString().slice(0, 10);
  }

  #newEntry({ userId, keyId }: Requester): Entry | undefined {
    if (this.#today.size + this.#older.length >= this.#maxEntries) {
      if (!this.#hasWarned)
        this.#deps.log.warn(
          'too many usage counts wait for Postgres: usage of further users and keys is not counted until they are stored (check Postgres)',
        );
      this.#hasWarned = true;
      return undefined;
    }
    const entry = { day: this.#day, who: { userId, keyId }, requests: 0, jobs: 0, upstreamCalls: 0 };
    this.#today.set(keyId ?? userId, entry);
    return entry;
  }

  async #flush(): Promise<void> {
    this.#forgetIdle();
    const counted = [...this.#older, ...this.#today.values()];
    for (let begin = 0; begin < counted.length; begin += chunkRows) {
      if (!(await this.#add(counted.slice(begin, begin + chunkRows)))) return;
    }
    this.#hasWarned = false;
  }

  /** Only one flush runs at a time, so an entry that holds nothing is not one whose counts may come back. */
  #forgetIdle(): void {
    this.#older = this.#older.filter((entry) => !isIdle(entry));
    for (const [id, entry] of this.#today) if (isIdle(entry)) this.#today.delete(id);
  }

  /** Takes what the entries hold and adds it; puts it back and returns false when that failed. */
  async #add(entries: readonly Entry[]): Promise<boolean> {
    const rows = entries.map(take);
    try {
      await this.#deps.queries.add(rows);
      return true;
    } catch (error) {
      for (const [index, entry] of entries.entries()) putBack(entry, rows[index]);
      this.#deps.log.warn(
        { rows: rows.length, reason: messageOf(error) },
        'usage counts could not be written to Postgres; they are kept in memory and written later',
      );
      return false;
    }
  }
}

function isIdle({ requests, jobs, upstreamCalls }: Entry): boolean {
  return requests === 0 && jobs === 0 && upstreamCalls === 0;
}

function take(entry: Entry): NewUsage {
  const { day, who, requests, jobs, upstreamCalls } = entry;
  entry.requests = 0;
  entry.jobs = 0;
  entry.upstreamCalls = 0;
  return { day, userId: who.userId, keyId: who.keyId, requests, jobs, upstreamCalls };
}

function putBack(entry: Entry, row: NewUsage | undefined): void {
  entry.requests += row?.requests ?? 0;
  entry.jobs += row?.jobs ?? 0;
  entry.upstreamCalls += row?.upstreamCalls ?? 0;
}
