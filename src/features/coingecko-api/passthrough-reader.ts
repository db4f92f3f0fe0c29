/**
 * How handlers read documents: fresh ones from memory or Redis, stale ones at once while a job fetches a new one, and
 * missing ones after a limited wait. Many requests for the same document make one job.
 */
import { LRUCache } from 'lru-cache';
import { requesterText, type Requester } from '../../domain/requester.ts';
import type { Channel } from '../../platform/redis/channel.ts';
import { createWakeSignal } from '../../platform/concurrency/wake-signal.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { UnavailableError } from '../../domain/errors.ts';
import { passthroughId, type PassthroughResponse, type PassthroughStore } from './passthrough-store.ts';

/** A request for a document. */
interface PassthroughRequest {
  /** Canonical: only known parameters, in a fixed order, with checked values. */
  readonly path: string;
  /** Time (ms) after its receipt for which a document is fresh. */
  readonly freshMs: number;
  readonly waitMs: number;
  readonly requester?: Requester | undefined;
}

/** What is known of a document. */
export type PassthroughReading =
  | { readonly state: 'fresh' | 'stale'; readonly response: PassthroughResponse }
  | {
      readonly state: 'not_found' | 'unavailable' | 'forbidden' | 'pending' | 'rate_limited';
      readonly response?: undefined;
      readonly reason?: string | undefined;
    };

interface PassthroughReaderDeps {
  readonly store: Pick<PassthroughStore, 'read' | 'want'>;
  /** Announces which document, or which failure, is in the cache. */
  readonly channel: Pick<Channel<string>, 'listen'>;
  readonly clock: Clock;
  /** Adds a job that fetches the document, unless there is one. */
  readonly enqueue: (wanted: {
    path: string;
    freshMs: number;
    requester: string | undefined;
  }) => Promise<void>;
  readonly pendingState: () => Promise<'pending' | 'rate_limited'>;
}

/** Documents that this process holds (characters). */
const heldCharacters = 16 * 1024 * 1024;
/** This process does not request a stale document again within this time (ms). */
const askEveryMs = 1_000;
/** A waiting request polls at this interval (ms). */
const pollIntervalMs = 500;

/** Reads documents for the handlers of an API process. */
export class PassthroughReader {
  readonly #deps: PassthroughReaderDeps;
  readonly #held = new LRUCache<
    string,
    {
      readonly response: PassthroughResponse;
      /** When the fleet was last asked for a newer one. */
      readonly requestedAt: number;
    }
  >({
    maxSize: heldCharacters,
    sizeCalculation: ({ response }) => response.json.length + 100,
  });
  readonly #underWay = new Map<string, Promise<PassthroughReading>>();

  constructor(deps: PassthroughReaderDeps) {
    this.#deps = deps;
  }

  async read(requested: PassthroughRequest): Promise<PassthroughReading> {
    const held = this.#held.get(requested.path);
    const now = this.#deps.clock.now();
    if (held !== undefined) {
      if (now - held.response.receivedAt < requested.freshMs)
        return { state: 'fresh', response: held.response };
      if (now - held.requestedAt < askEveryMs) return { state: 'stale', response: held.response };
    }
    let reading = this.#underWay.get(requested.path);
    if (reading === undefined) {
      reading = this.#orHeld(requested).finally(() => this.#underWay.delete(requested.path));
      this.#underWay.set(requested.path, reading);
    }
    return await reading;
  }

  /** Drops what this process holds: the cache was cleared. */
  forget(): void {
    this.#held.clear();
  }

  async #orHeld(requested: PassthroughRequest): Promise<PassthroughReading> {
    try {
      return await this.#askFleet(requested);
    } catch (cause) {
      const held = this.#held.get(requested.path);
      if (held !== undefined) return { state: 'stale', response: held.response };
      throw new UnavailableError('Cache unavailable', {
        code: 'cache_unavailable',
        retryAfterSeconds: 2,
        cause,
      });
    }
  }

  async #askFleet(requested: PassthroughRequest): Promise<PassthroughReading> {
    const found = await this.#poll(requested);
    // Only an existing document may be renewed; a failure is remembered until it expires.
    if (found !== undefined && found.state !== 'stale') return found;
    // Listens before asking: the answer may come at once.
    const wakeSignal = createWakeSignal();
    const id = passthroughId(requested.path);
    const stop = this.#deps.channel.listen((each) => {
      if (each === id) wakeSignal.wake();
    });
    try {
      const isTaken = await this.#ask(requested);
      if (found !== undefined) return found;
      if (!isTaken)
        return { state: 'rate_limited', reason: 'too many documents are requested at the same time' };
      return await this.#wait(requested, (ms) => wakeSignal.wait(ms));
    } finally {
      stop();
    }
  }

  async #ask({ path, freshMs, requester: who }: PassthroughRequest): Promise<boolean> {
    const requester = who && requesterText(who);
    const isTaken = await this.#deps.store.want(path, requester);
    if (isTaken) await this.#deps.enqueue({ path, freshMs, requester });
    return isTaken;
  }

  async #wait(
    requested: PassthroughRequest,
    wake: (ms: number) => Promise<unknown>,
  ): Promise<PassthroughReading> {
    const deadline = this.#deps.clock.now() + requested.waitMs;
    for (;;) {
      const left = deadline - this.#deps.clock.now();
      if (left <= 0) return { state: await this.#deps.pendingState() };
      await wake(Math.min(left, pollIntervalMs));
      const found = await this.#poll(requested);
      if (found !== undefined) return found;
    }
  }

  /** What Redis has; undefined if nothing. */
  async #poll({ path, freshMs }: PassthroughRequest): Promise<PassthroughReading | undefined> {
    const { response, failure } = await this.#deps.store.read(path);
    const now = this.#deps.clock.now();
    if (response !== undefined) {
      this.#held.set(path, { response, requestedAt: now });
      return { state: now - response.receivedAt < freshMs ? 'fresh' : 'stale', response };
    }
    return failure === undefined || failure.until <= now
      ? undefined
      : { state: failure.state, reason: failure.reason };
  }
}
