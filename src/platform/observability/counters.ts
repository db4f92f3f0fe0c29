/**
 * Counters of events in a time window, held in Redis for the whole fleet. Their users decide what a count means. A window
 * starts with the first event, and Redis decides when it ends. While Redis is away, or does not answer in time, each process
 * counts on its own: limits then apply per process, and nobody waits for an outage.
 */
import type { Redis } from 'ioredis';
import { LRUCache } from 'lru-cache';
import { RateLimiterMemory, RateLimiterRedis, type RateLimiterRes } from 'rate-limiter-flexible';
import type { Clock } from '../concurrency/clock.ts';
import { DeadlineError, withDeadline } from '../concurrency/deadline.ts';

/** The state of a counter. */
export interface Count {
  readonly total: number;
  /** Milliseconds until the window ends and the counter is gone. */
  readonly msLeft: number;
}

/** No method rejects. */
export interface Counters {
  /** Adds `by` (negative: takes back) and tells the new total. `windowSeconds` (20 days at most) counts when a window begins. */
  add(key: string, step: { by: number; windowSeconds: number }): Promise<Count>;
  /** Where a counter stands; undefined when nothing was counted. */
  read(key: string): Promise<Count | undefined>;
  /** Ends the windows of these counters. */
  remove(keys: readonly string[]): Promise<void>;
}

/** Time (ms) in which Redis must have answered. */
const answerMs = 500;
/** For so long (ms) after a late answer Redis is not asked, so that one stall does not delay every request. */
const mistrustMs = 1_000;
/** Counters in the memory of a process; the longest unused is forgotten first. */
const maxInMemory = 20_000;
/** The library wants a limit and a window; neither is used, because nothing here is refused and every call names its window. */
const unused = { points: 1, duration: 1, keyPrefix: '' };

/** Builds the {@link Counters}. */
export function createCounters({
  redis,
  prefix,
  clock,
}: {
  readonly redis: Redis;
  /** Stands before every key. */
  readonly prefix: string;
  readonly clock: Clock;
}): Counters {
  const shared = new RateLimiterRedis({ ...unused, storeClient: redis, rejectIfRedisNotReady: true });
  const own = new RateLimiterMemory(unused);
  const remembered = new LRUCache<string, true>({
    max: maxInMemory,
    noDisposeOnSet: true,
    dispose: (_value, key) => void own.delete(key),
  });
  let mistrustedUntil = 0;

  /** Not the library's own insurance: that would count again when an answer comes after we stopped waiting for it. */
  async function insured<T>(ask: (limiter: typeof shared | typeof own) => Promise<T>): Promise<T> {
    if (clock.now() < mistrustedUntil) return ask(own);
    try {
      return await withDeadline(ask(shared), answerMs, 'Counting in Redis');
    } catch (error) {
      if (error instanceof DeadlineError) mistrustedUntil = clock.now() + mistrustMs;
      return ask(own);
    }
  }

  return {
    async add(key, { by, windowSeconds }) {
      const name = prefix + key;
      return countOf(
        await insured((limiter) => {
          if (limiter === own) remembered.set(name, true);
          return limiter.penalty(name, by, { customDuration: windowSeconds });
        }),
      );
    },
    async read(key) {
      const found = await insured((limiter) => limiter.get(prefix + key));
      return found === null ? undefined : countOf(found);
    },
    async remove(keys) {
      for (const key of keys) remembered.delete(prefix + key);
      await Promise.all(keys.map((key) => insured((limiter) => limiter.delete(prefix + key))));
    },
  };
}

function countOf({ consumedPoints, msBeforeNext }: RateLimiterRes): Count {
  return { total: consumedPoints, msLeft: Math.max(0, msBeforeNext) };
}
