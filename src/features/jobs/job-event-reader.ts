import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { parseJobEventEntry, type JobEventEntry } from './job-events.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { sleep } from '../../platform/concurrency/sleep.ts';
import { HistorySearch, type EventHistoryRequest } from './history-search.ts';

/**
 * One reader of the job event stream per process, for any number of clients. It reads only while somebody listens, each time
 * from the newest entry on; after an outage it continues where it was, so that nothing in between is lost.
 */
export interface JobEventReader {
  subscribe(subjects: readonly string[], onEntry: (entry: JobEventEntry) => void): JobEventSubscription;
  /** Entries about the subjects between two stream ids (inclusive), the oldest first. Many callers may ask at once. */
  history(request: EventHistoryRequest): Promise<readonly JobEventEntry[]>;
  /** Id of the oldest stored entry; undefined when there is none. */
  oldestId(): Promise<string | undefined>;
  /** Identifies this history: it changes when Redis has lost it. */
  epoch(): Promise<string>;
  close(): Promise<void>;
}

export interface JobEventSubscription {
  /** Resolves when every entry from now on will be delivered. */
  readonly ready: Promise<void>;
  close(): void;
}

interface ReaderDeps {
  /** A `blocking` connection of its own. */
  readonly blocking: Redis;
  /** A `command` connection. */
  readonly redis: Redis;
  readonly streamKey: string;
  readonly epochKey: string;
  readonly log: Logger;
}

const blockMs = 5_000;
const entriesPerRead = 500;
const pauseAfterErrorMs = 200;

/** Builds the {@link JobEventReader} of a process. */
export function createJobEventReader(deps: ReaderDeps): JobEventReader {
  return new StreamReader(deps);
}

class StreamReader implements JobEventReader {
  readonly #deps: ReaderDeps;
  readonly #search: HistorySearch;
  readonly #listeners = new Map<string, Set<(entry: JobEventEntry) => void>>();
  #position: Promise<string> | undefined;
  #closed = false;

  constructor(deps: ReaderDeps) {
    this.#deps = deps;
    this.#search = new HistorySearch(deps);
  }

  subscribe(subjects: readonly string[], onEntry: (entry: JobEventEntry) => void): JobEventSubscription {
    for (const subject of subjects) {
      const listeners = this.#listeners.get(subject) ?? new Set();
      this.#listeners.set(subject, listeners.add(onEntry));
    }
    this.#position ??= this.#start();
    return {
      ready: this.#position.then(() => undefined),
      close: () => subjects.forEach((subject) => this.#remove(subject, onEntry)),
    };
  }

  history(request: EventHistoryRequest): Promise<readonly JobEventEntry[]> {
    return this.#search.find(request);
  }

  async oldestId(): Promise<string | undefined> {
    const { redis, streamKey } = this.#deps;
    const [first] = await redis.xrange(streamKey, '-', '+', 'COUNT', 1);
    return first?.[0];
  }

  async epoch(): Promise<string> {
    const { redis, epochKey } = this.#deps;
    const known = await redis.get(epochKey);
    if (known !== null) return known;
    await redis.set(epochKey, randomUUID(), 'NX');
    return (await redis.get(epochKey)) ?? '';
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#listeners.clear();
    this.#deps.blocking.disconnect();
    await this.#position?.catch(() => undefined);
  }

  /** Finds the newest entry, then continues reading from there in the background. */
  async #start(): Promise<string> {
    const position = await this.#newestId();
    void this.#run(position);
    return position;
  }

  async #newestId(): Promise<string> {
    for (;;) {
      try {
        const [last] = await this.#deps.blocking.xrevrange(this.#deps.streamKey, '+', '-', 'COUNT', 1);
        return last?.[0] ?? '0-0';
      } catch (error) {
        if (this.#closed) return '0-0';
        this.#deps.log.debug({ reason: messageOf(error) }, 'cannot find the newest job event');
        await sleep(pauseAfterErrorMs);
      }
    }
  }

  async #run(from: string): Promise<void> {
    let position = from;
    while (this.#isWanted()) {
      try {
        position = await this.#readOnce(position);
      } catch (error) {
        if (!this.#isWanted()) break;
        this.#deps.log.debug({ reason: messageOf(error) }, 'reading job events failed');
        await sleep(pauseAfterErrorMs);
      }
    }
    this.#position = undefined;
  }

  #isWanted(): boolean {
    return !this.#closed && this.#listeners.size > 0;
  }

  async #readOnce(position: string): Promise<string> {
    const { blocking, streamKey } = this.#deps;
    const reply = await blocking.xread(
      'COUNT',
      entriesPerRead,
      'BLOCK',
      blockMs,
      'STREAMS',
      streamKey,
      position,
    );
    const entries = reply?.[0]?.[1] ?? [];
    for (const entry of entries) this.#deliver(entry);
    return entries.at(-1)?.[0] ?? position;
  }

  #deliver(raw: [string, string[]]): void {
    const listeners = this.#listeners.get(raw[1][1] ?? '');
    if (listeners === undefined) return;
    const entry = parseJobEventEntry(raw);
    for (const listener of [...listeners]) listener(entry);
  }

  #remove(subject: string, onEntry: (entry: JobEventEntry) => void): void {
    const listeners = this.#listeners.get(subject);
    listeners?.delete(onEntry);
    if (listeners?.size === 0) this.#listeners.delete(subject);
  }
}
