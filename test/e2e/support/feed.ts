/** What workers would tell the API: quotes and events of jobs, made up by a test and sent through Redis. */
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import type { Redis } from 'ioredis';
import { toCachedQuote, type CachedQuote } from '../../../src/domain/cached-quote.ts';
import { createJobEventLog, jobSubject, type JobEvent } from '../../../src/features/jobs/job-events.ts';
import { createTicks, type Tick } from '../../../src/features/quotes/ticks.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createRedisKeys } from '../../../src/platform/redis/keys.ts';
import { closeRedis, openRedis } from '../../../src/platform/redis/connections.ts';
import { waitFor } from '../../support/wait-for.ts';

export interface Feed {
  readonly redis: Redis;
  readonly keys: ReturnType<typeof createRedisKeys>;
  /** Sends prices as one upstream call brings them. */
  publish(prices: Readonly<Record<string, number>>, tick?: Partial<Tick>): Promise<void>;
  /** Appends one entry of events of a job. */
  append(jobId: string, events: readonly JobEvent[]): Promise<void>;
  close(): Promise<void>;
}

/** Opens the feed of a deployment. */
export async function openFeed(redisUrl: string, redisPrefix: string): Promise<Feed> {
  const redis = openRedis({ url: redisUrl, role: 'command', name: 'feed', log: silentLogger() });
  await waitFor(() => redis.status === 'ready', { what: 'the connection of the feed' });
  const keys = createRedisKeys(redisPrefix);
  const ticks = createTicks({ clock: systemClock, redis, subscriber: redis, channel: keys.ticks });
  const log = createJobEventLog(redis, keys.jobEvents);
  return {
    redis,
    keys,
    publish: (prices, tick = {}) =>
      ticks.publish({
        currency: 'usd',
        failures: [],
        ...tick,
        quotes: Object.entries(prices).map(([assetId, price]) => quoteOf(assetId, price)),
      }),
    append: (jobId, events) => log.append(jobSubject(jobId), events),
    close: () => closeRedis(redis),
  };
}

/** A quote received now. `padding` characters make it larger than a real one. */
export function quoteOf(
  assetId: string,
  price: number,
  { receivedAt = Date.now(), padding = 0 } = {},
): CachedQuote {
  return toCachedQuote({
    assetId,
    symbol: assetId,
    name: 'x'.repeat(padding),
    currency: 'usd',
    price,
    marketCap: 1e12,
    rank: 1,
    change24h: 1.5,
    changePercent24h: 0.5,
    volume24h: 1e10,
    source: 'simulated',
    asOf: new Date(receivedAt).toISOString(),
    receivedAt,
  });
}
