/**
 * Keeps this process's view of the alerts up to date: it loads all of them at the start, then those named by notifications, and
 * every few seconds those that have changed, in case a notification was lost.
 */
import type { AlertWatchQueries, ChangeCursor, FoundAlert } from './queries/alert-watch.ts';
import type { AlertChannel } from './alert-channel.ts';
import { createWakeSignal } from '../../platform/concurrency/wake-signal.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';

interface SyncDeps {
  readonly watch: AlertWatchQueries;
  readonly channel: Pick<AlertChannel, 'listen'>;
  readonly onFound: (found: FoundAlert) => void;
  /** Called when alerts have been read and applied. */
  readonly onRead: () => void;
  readonly log: Logger;
  /** Time (ms) between two polls. */
  readonly pollIntervalMs: number;
}

const pageSize = 2_000;
/** Most ids of notifications that wait to be read; the next poll finds any further ones. */
const maxIds = 10_000;
const idsPerRead = 500;
const retryMs = 1_000;

export class AlertSync {
  readonly #deps: SyncDeps;
  readonly #wakeSignal = createWakeSignal();
  readonly #ids = new Set<string>();
  readonly #stopListening: () => void;
  readonly #running: Promise<void>;
  #since: ChangeCursor | undefined;
  #isPollDue = true;
  #isFailing = false;
  #isClosed = false;

  constructor(deps: SyncDeps) {
    this.#deps = deps;
    this.#stopListening = deps.channel.listen({
      onChanged: (ids) => this.#hear(ids),
      onGap: () => {
        this.#isPollDue = true;
        this.#wakeSignal.wake();
      },
    });
    this.#running = this.#run();
  }

  /** Whether all alerts have been read once. */
  get isLoaded(): boolean {
    return this.#since !== undefined;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopListening();
    this.#wakeSignal.wake();
    await this.#running;
  }

  #hear(ids: readonly string[]): void {
    for (const id of ids) if (this.#ids.size < maxIds) this.#ids.add(id);
    this.#wakeSignal.wake();
  }

  async #run(): Promise<void> {
    const { pollIntervalMs } = this.#deps;
    let polledAt = performance.now();
    while (!this.#isClosed) {
      const isPoll = this.#isPollDue || performance.now() - polledAt >= pollIntervalMs;
      if (isPoll) polledAt = performance.now();
      const isDone = await this.#read(isPoll);
      const untilPoll = pollIntervalMs - (performance.now() - polledAt);
      await this.#wakeSignal.wait(isDone ? Math.max(0, untilPoll) : retryMs);
    }
  }

  async #read(isPoll: boolean): Promise<boolean> {
    try {
      if (this.#since === undefined) await this.#readAll();
      else if (isPoll) await this.#readChanged(this.#since);
      if (isPoll) this.#isPollDue = false;
      await this.#readNamed();
      this.#isFailing = false;
      this.#deps.onRead();
      return true;
    } catch (error) {
      this.#isPollDue = true;
      if (!this.#isFailing && !this.#isClosed)
        this.#deps.log.warn(
          { reason: messageOf(error) },
          'alerts cannot be read from Postgres: new and changed alerts have no effect until they can (check Postgres)',
        );
      this.#isFailing = true;
      return false;
    }
  }

  async #readAll(): Promise<void> {
    const { watch, onFound } = this.#deps;
    const since = await watch.now();
    let after = since.id;
    while (!this.#isClosed) {
      const page = await watch.watched(after, pageSize);
      for (const alert of page) onFound({ alert, isDeleted: false });
      after = page.at(-1)?.id ?? after;
      if (page.length < pageSize) break;
    }
    this.#since = since;
  }

  async #readChanged(since: ChangeCursor): Promise<void> {
    const { watch, onFound } = this.#deps;
    const started = await watch.now();
    let cursor: ChangeCursor | undefined = since;
    while (cursor !== undefined && !this.#isClosed) {
      const { found, next } = await watch.changed(cursor, pageSize);
      for (const each of found) onFound(each);
      cursor = next;
    }
    this.#since = started;
  }

  async #readNamed(): Promise<void> {
    const ids = [...this.#ids];
    this.#ids.clear();
    for (let from = 0; from < ids.length; from += idsPerRead) {
      const part = ids.slice(from, from + idsPerRead);
      for (const each of await this.#deps.watch.byIds(part)) this.#deps.onFound(each);
    }
  }
}
