import { Redis, type RedisOptions } from 'ioredis';
import type { Logger } from '../observability/logger.ts';
import { messageOf } from '../../domain/errors.ts';

/**
 * What a connection is for decides how it behaves while Redis is away:
 * - `command`: fails at once, so that a request is answered in time;
 * - `blocking`: keeps its commands and waits for Redis to return (workers, stream readers);
 * - `subscriber`: as `blocking`; ioredis renews the subscriptions.
 *
 * A peer may vanish without a word (a lost machine, a firewall that forgets): the system notices after a quarter of an hour. So
 * a connection that owes an answer and gets nothing at all for `socketTimeout` is destroyed and opened again, whatever its role,
 * and one that may have nothing to ask is pinged.
 */
export type RedisRole = 'command' | 'blocking' | 'subscriber';

const reconnect = (attempt: number): number => Math.min(50 * 2 ** Math.min(attempt, 10), 1_000);

/** The longest that a worker's read may block, which BullMQ decides, and a margin for the answer. */
const blockingIdleMs = 10_000 + 1_500;

const optionsOfRole = {
  command: {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    commandTimeout: 2_000,
    socketTimeout: 5_000,
  },
  blocking: { maxRetriesPerRequest: null, socketTimeout: blockingIdleMs },
  subscriber: { maxRetriesPerRequest: null, socketTimeout: 5_000 },
} as const satisfies Readonly<Record<RedisRole, RedisOptions>>;

/** Time (ms) between two pings. With the timeout of the socket, a silent connection is replaced after 8 s. */
const pingMs = 3_000;

/** Opens a connection that reconnects forever, at intervals of up to a second. Its errors are logged, once per outage. */
export function openRedis({
  url,
  role,
  name,
  log,
}: {
  readonly url: string;
  readonly role: RedisRole;
  /** Shown by CLIENT LIST. */
  readonly name: string;
  readonly log: Logger;
}): Redis {
  const redis = new Redis(url, {
    ...optionsOfRole[role],
    connectionName: `pricepool-${name}`,
    connectTimeout: 3_000,
    retryStrategy: reconnect,
    // A command that is sent while a replica is promoted must find the new primary.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  });
  let reported = false;
  redis.on('error', (error: Error) => {
    if (!reported) log.warn({ connection: name, reason: messageOf(error) }, 'Redis connection lost');
    reported = true;
  });
  redis.on('ready', () => {
    if (reported) log.info({ connection: name }, 'Redis connection is back');
    reported = false;
  });
  // A blocking connection waits for an answer all the time.
  if (role !== 'blocking') pingNowAndThen(redis);
  return redis;
}

function pingNowAndThen(redis: Redis): void {
  let isRequested = false;
  const timer = setInterval(() => {
    if (isRequested || redis.status !== 'ready') return;
    isRequested = true;
    redis
      .ping()
      .catch(() => undefined)
      .finally(() => (isRequested = false));
  }, pingMs).unref();
  redis.once('end', () => clearInterval(timer));
}

/** Closes a connection in any state. */
export async function closeRedis(redis: Redis): Promise<void> {
  if (redis.status === 'ready') await redis.quit().catch(() => undefined);
  redis.disconnect();
}
