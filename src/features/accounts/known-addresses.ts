/**
 * From which addresses an account was logged into with success, the newest few of the last 30 days. They are kept as digests
 * in Redis, and by this process for the time in which Redis is away.
 */
import type { Redis } from 'ioredis';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { withDeadline } from '../../platform/concurrency/deadline.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';

/** Neither call rejects. Account and address are digests. */
export interface KnownAddresses {
  has(account: string, address: string): Promise<boolean>;
  remember(account: string, address: string): Promise<void>;
}

interface KnownAddressesDeps {
  readonly redis: Redis;
  readonly prefix: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const keptSeconds = 30 * 86_400;
const mostPerAccount = 20;
const mostInMemory = 10_000;
const answerMs = 500;

/** Builds the {@link KnownAddresses}. */
export function createKnownAddresses({ redis, prefix, clock, log }: KnownAddressesDeps): KnownAddresses {
  const seenHere = new LRUCache<string, true>({ max: mostInMemory });
  const keyOf = (account: string): string => `${prefix}login:known:${account}`;

  return {
    async has(account, address) {
      try {
        const answer = redis.zscore(keyOf(account), address);
        const at = await withDeadline(answer, answerMs, 'Reading known addresses');
        return at !== null && Number(at) > clock.now() - keptSeconds * 1_000;
      } catch {
        return seenHere.has(account + address);
      }
    },
    async remember(account, address) {
      seenHere.set(account + address, true);
      const key = keyOf(account);
      const change = redis
        .multi()
        .zadd(key, clock.now(), address)
        .zremrangebyrank(key, 0, -1 - mostPerAccount)
        .expire(key, keptSeconds)
        .exec();
      try {
        await withDeadline(change, answerMs, 'Storing a known address');
      } catch (error) {
        log.warn({ reason: messageOf(error) }, 'the address of a login could not be remembered');
      }
    },
  };
}
