/**
 * Streams of alerts as they fire. A stream sends what the record in Postgres has, in its order: a client that has read up to an
 * id has missed nothing, so it can resume from there. Notifications wake a stream; because they may be lost, one statement
 * checks all users of this process every few seconds.
 */
import { validate as isUuid, version as versionOf } from 'uuid';
import type { FiringQueries } from './queries/alert-firings.ts';
import type { AlertChannel } from './alert-channel.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { Frame } from '../../platform/realtime/frame.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import type { Realtime } from '../../platform/realtime/realtime.ts';
import type { SseRequest, SseStream } from '../../platform/realtime/sse-stream.ts';

export interface AlertStreams {
  /**
   * Reads the position of a user's record, takes over the response by calling `hijack`, then sends `hello`, missed firings,
   * and new ones.
   * @throws {UnavailableError} Postgres does not answer; the response was not taken over then.
   */
  open(userId: string, hijack: () => SseRequest): Promise<void>;
  close(): void;
}

interface AlertStreamsDeps {
  readonly realtime: Pick<Realtime, 'open'>;
  readonly clock: Clock;
  readonly firings: Pick<FiringQueries, 'after' | 'newest'>;
  readonly channel: Pick<AlertChannel, 'listen'>;
  readonly log: Logger;
  /** Firings older than this (s) are not kept: a client that returns later may have missed some. */
  readonly keptSeconds: number;
  /** Time (ms) between two polls of all users. Default 3 s. */
  readonly pollIntervalMs?: number;
}

const defaultPollIntervalMs = 3_000;
/** Users per poll. */
const usersPerPoll = 500;
/** Firings per read. */
const pageSize = 100;
const minId = '00000000-0000-0000-0000-000000000000';

/** Builds the {@link AlertStreams} of an API process. */
export function createAlertStreams(deps: AlertStreamsDeps): AlertStreams {
  return new ProcessAlertStreams(deps);
}

class ProcessAlertStreams implements AlertStreams {
  readonly #deps: AlertStreamsDeps;
  readonly #byUser = new Map<string, Set<AlertStream>>();
  readonly #stops: (() => void)[];
  #polling: Promise<void> | undefined;

  constructor(deps: AlertStreamsDeps) {
    this.#deps = deps;
    const timer = setInterval(() => this.#poll(), deps.pollIntervalMs ?? defaultPollIntervalMs);
    timer.unref();
    this.#stops = [
      () => clearInterval(timer),
      deps.channel.listen({ onFired: (userIds) => this.#wake(userIds), onGap: () => this.#poll() }),
    ];
  }

  async open(userId: string, hijack: () => SseRequest): Promise<void> {
    const { firings, realtime, clock, keptSeconds } = this.#deps;
    const newest = (await firings.newest([userId])).get(userId) ?? minId;
    const requested = hijack();
    const sse = realtime.open(requested);
    if (sse === undefined) return;
    const now = clock.now();
    const begin = startOf(requested.lastEventId, { newest, oldestMs: now - keptSeconds * 1000 });
    sse.hello({ recovered: begin.recovered, server_time: new Date(now).toISOString() });
    if (!begin.recovered) sse.write(new Frame({ type: 'reset', data: '{}' }));
    const stream = new AlertStream({ ...this.#deps, userId, sse, cursor: begin.cursor });
    this.#add(userId, stream);
    sse.onClose(() => this.#remove(userId, stream));
    stream.wake();
  }

  close(): void {
    for (const stop of this.#stops) stop();
  }

  #add(userId: string, stream: AlertStream): void {
    const streams = this.#byUser.get(userId) ?? new Set<AlertStream>();
    this.#byUser.set(userId, streams);
    streams.add(stream);
  }

  #remove(userId: string, stream: AlertStream): void {
    const streams = this.#byUser.get(userId);
    streams?.delete(stream);
    if (streams?.size === 0) this.#byUser.delete(userId);
  }

  /** With the newest firings given, wakes only the streams that have not sent them yet. */
  #wake(userIds: readonly string[], newest?: ReadonlyMap<string, string>): void {
    for (const userId of userIds) {
      const id = newest?.get(userId);
      for (const stream of this.#byUser.get(userId) ?? [])
        if (id === undefined || stream.cursor < id) stream.wake();
    }
  }

  #poll(): void {
    this.#polling ??= this.#pollNow().finally(() => (this.#polling = undefined));
  }

  async #pollNow(): Promise<void> {
    const userIds = [...this.#byUser.keys()];
    try {
      for (let from = 0; from < userIds.length; from += usersPerPoll) {
        const newest = await this.#deps.firings.newest(userIds.slice(from, from + usersPerPoll));
        this.#wake([...newest.keys()], newest);
      }
    } catch (error) {
      this.#deps.log.debug({ reason: messageOf(error) }, 'new firings could not be looked up');
    }
  }
}

/**
 * A client that resumes from an id that the record cannot resume from gets an event that says so, and then only new firings.
 */
function startOf(
  lastEventId: string | undefined,
  { newest, oldestMs }: { readonly newest: string; readonly oldestMs: number },
) {
  if (lastEventId === undefined) return { cursor: newest, recovered: true };
  const id = lastEventId.toLowerCase();
  const isKnown = isUuid(id) && versionOf(id) === 7 && id <= newest && msOf(id) >= oldestMs;
  return isKnown ? { cursor: id, recovered: true } : { cursor: newest, recovered: false };
}

/** The time in a UUID of version 7. */
function msOf(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

interface AlertStreamDeps extends Pick<AlertStreamsDeps, 'firings' | 'log'> {
  readonly userId: string;
  readonly sse: SseStream;
  readonly cursor: string;
}

/** One client's stream. It reads the record itself, from the position of this client. */
class AlertStream {
  readonly #deps: AlertStreamDeps;
  #cursor: string;
  #reading = false;
  #again = false;
  /** The client did not keep up: firings are read when it does. */
  #isBehind = false;

  constructor(deps: AlertStreamDeps) {
    this.#deps = deps;
    this.#cursor = deps.cursor;
    deps.sse.whenReady(() => {
      if (this.#isBehind) this.wake();
    });
  }

  get cursor(): string {
    return this.#cursor;
  }

  /** Called when something may have fired. */
  wake(): void {
    this.#again = true;
    if (!this.#reading) void this.#read();
  }

  async #read(): Promise<void> {
    this.#reading = true;
    try {
      while (this.#again) {
        this.#again = false;
        await this.#readPage();
      }
    } catch (error) {
      this.#deps.log.debug({ reason: messageOf(error) }, 'firings could not be read');
    } finally {
      this.#reading = false;
    }
  }

  async #readPage(): Promise<void> {
    const { sse, firings, userId } = this.#deps;
    this.#isBehind = sse.isOpen && sse.pace() !== 'ready';
    if (!sse.isOpen || this.#isBehind) return;
    const page = await firings.after(userId, this.#cursor, pageSize);
    for (const { id, body } of page) {
      sse.write(new Frame({ type: 'alert', id, data: body }));
      this.#cursor = id;
    }
    if (page.length === pageSize) this.#again = true;
  }
}
