/**
 * Rate limits for the whole fleet, cheap enough for reads that take 40 microseconds. A process takes a chunk of a subject's
 * allowance from the counter in Redis, a hundredth of the limit, and spends it locally. When less than half of a chunk is left,
 * the next is fetched in the background; a request waits for Redis only when nothing is left.
 *
 * Invariants: at most the limit is let through in a window while Redis answers, because what is spent was counted before. What
 * one process holds the others cannot spend, so up to a chunk and a half per process may be left unused; limits too small for
 * chunks (below 200) are fetched one by one, never ahead, and are exact. A chunk that crosses the limit still gives what was
 * below it. The rest of a window that has ended is worthless.
 */
import type { Redis } from 'ioredis';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../concurrency/clock.ts';
import { createCounters, type Counters } from '../observability/counters.ts';
import { RateLimitedError } from '../../domain/errors.ts';
import type { LimitPolicy, LimitState } from '../../domain/rate-limit.ts';

export interface Allowances {
  /**
   * Takes one request of what `policy` allows to `subject` (a user, a key, an address), and tells what is left. Answers at
   * once, without a promise, while this process holds some.
   * @throws {RateLimitedError} nothing is left in this window; carries where the limit stands. Thrown or rejected with.
   */
  take(policy: LimitPolicy, subject: string): LimitState | Promise<LimitState>;
  /** Whether this process knows that nothing is left in this window. Takes nothing, asks nobody. */
  isSpent(policy: LimitPolicy, subject: string): boolean;
}

/** What this process holds for one subject under one policy. */
interface Held {
  readonly policy: LimitPolicy;
  readonly counter: string;
  /** Requests that were counted in Redis and are ours to spend. */
  left: number;
  /** Requests that nobody had taken when Redis was last asked. */
  beyond: number;
  /** When the window ends (ms since the epoch); never later than Redis ends it. */
  endsAt: number;
  fetching: boolean;
  /** Those who wait for a fetch, first come first. Never any while something is left. */
  waiting: { readonly resolve: (state: LimitState) => void; readonly reject: (error: unknown) => void }[];
}

/** Subjects whose chunks are held; those of the longest unused are lost, which lets through fewer, never more. */
const maxSubjects = 20_000;
/** Requests of one subject that wait at the same time. */
const maxWaiting = 10_000;
const chunksInLimit = 100;

/** Builds the {@link Allowances}; it owns nothing that must be closed. */
export function createAllowances({
  redis,
  prefix,
  clock,
}: {
  readonly redis: Redis;
  /** Of the counters in Redis. */
  readonly prefix: string;
  readonly clock: Clock;
}): Allowances {
  return new ChunkedAllowances(createCounters({ redis, prefix, clock }), clock);
}

class ChunkedAllowances implements Allowances {
  readonly #counters: Counters;
  readonly #clock: Clock;
  readonly #held = new LRUCache<string, Held>({ max: maxSubjects });

  constructor(counters: Counters, clock: Clock) {
    this.#counters = counters;
    this.#clock = clock;
  }

  take(policy: LimitPolicy, subject: string): LimitState | Promise<LimitState> {
    const held = this.#heldOf(policy, subject);
    const now = this.#clock.now();
    if (now >= held.endsAt) endWindow(held);
    if (held.left > 0) {
      held.left -= 1;
      const chunk = chunkOf(policy);
      if (chunk > 1 && held.left * 2 < chunk) this.#fetch(held);
      return stateOf(held, now);
    }
    if (isKnownSpent(held, now)) throw refusal(held, now);
    return this.#wait(held);
  }

  isSpent(policy: LimitPolicy, subject: string): boolean {
    const held = this.#held.peek(nameOf(policy, subject));
    return held !== undefined && isKnownSpent(held, this.#clock.now());
  }

  #heldOf(policy: LimitPolicy, subject: string): Held {
    const name = nameOf(policy, subject);
    const known = this.#held.get(name);
    if (known !== undefined) return known;
    // Without the limit, so that a quota which is changed in the middle of its day counts what was used before.
    const counter = `${policy.name}:${policy.windowSeconds}:${subject}`;
    const held: Held = { policy, counter, left: 0, beyond: 0, endsAt: 0, fetching: false, waiting: [] };
    this.#held.set(name, held);
    return held;
  }

  #wait(held: Held): Promise<LimitState> {
    if (held.waiting.length >= maxWaiting) {
      throw new RateLimitedError('Too many requests at the same time', { retryAfterSeconds: 1 });
    }
    return new Promise((resolve, reject) => {
      held.waiting.push({ resolve, reject });
      this.#fetch(held);
    });
  }

  #fetch(held: Held): void {
    if (held.fetching || isExhausted(held)) return;
    held.fetching = true;
    void this.#fetchInto(held);
  }

  async #fetchInto(held: Held): Promise<void> {
    const { limit, windowSeconds } = held.policy;
    const by = Math.min(limit, Math.max(chunkOf(held.policy), held.waiting.length));
    // The end is reckoned from before the question, and so comes out too early by the way there, never too late.
    const requestedAt = this.#clock.now();
    try {
      const { total, msLeft } = await this.#counters.add(held.counter, { by, windowSeconds });
      if (this.#clock.now() >= held.endsAt) endWindow(held);
      held.left += Math.min(by, Math.max(0, limit - (total - by)));
      held.beyond = Math.max(0, limit - total);
      held.endsAt = requestedAt + msLeft;
    } catch (error) {
      for (const { reject } of held.waiting.splice(0)) reject(error);
    }
    held.fetching = false;
    this.#settle(held);
  }

  #settle(held: Held): void {
    const now = this.#clock.now();
    for (const { resolve } of held.waiting.splice(0, held.left)) {
      held.left -= 1;
      resolve(stateOf(held, now));
    }
    if (held.waiting.length === 0) return;
    if (!isKnownSpent(held, now)) {
      // The window ended on the way, or more came to wait than were asked for.
      if (now >= held.endsAt) endWindow(held);
      this.#fetch(held);
      return;
    }
    for (const { reject } of held.waiting.splice(0)) reject(refusal(held, now));
  }
}

function nameOf({ name, windowSeconds, limit }: LimitPolicy, subject: string): string {
  return `${name}:${windowSeconds}:${limit}:${subject}`;
}

function chunkOf({ limit }: LimitPolicy): number {
  return Math.max(1, Math.floor(limit / chunksInLimit));
}

function endWindow(held: Held): void {
  held.left = 0;
  held.beyond = 0;
  held.endsAt = 0;
}

/** Whether Redis has nothing more to give in the window that is held. */
function isExhausted({ beyond, endsAt }: Held): boolean {
  return beyond === 0 && endsAt > 0;
}

function isKnownSpent(held: Held, now: number): boolean {
  return held.left === 0 && isExhausted(held) && now < held.endsAt;
}

function stateOf({ policy, left, beyond, endsAt }: Held, now: number): LimitState {
  const msLeft = Math.min(endsAt, policy.endsAt ?? endsAt) - now;
  return { policy, remaining: left + beyond, resetSeconds: Math.max(1, Math.ceil(msLeft / 1_000)) };
}

function refusal(held: Held, now: number): RateLimitedError {
  const limit = stateOf(held, now);
  const { message = 'Too many requests', code = 'rate_limited' } = held.policy.refusal ?? {};
  return new RateLimitedError(message, { code, retryAfterSeconds: limit.resetSeconds, limit });
}
