/** What every feature needs: configuration, connections, queues, and the order of shutdown. Created once per process. */
import type { Redis } from 'ioredis';
import type { Knex } from 'knex';
import { openDatabase } from '../../db/connection.ts';
import { loadEnvironmentFile } from './config/env-file.ts';
import { loadConfig, type Config } from './config/load-config.ts';
import { createLogger, type Logger } from './observability/logger.ts';
import { createShutdown, onProcessEnd, type Shutdown } from './observability/shutdown.ts';
import { openQueues, type Queues } from './queue/queues.ts';
import { closeRedis, openRedis, type RedisRole } from './redis/connections.ts';
import type { Clock } from './concurrency/clock.ts';
import { openFleetClock, type FleetClock } from './redis/fleet-clock.ts';
import { checkRightsAtStart } from './redis/rights.ts';
import { createRedisKeys, type RedisKeys } from './redis/keys.ts';

export interface Platform {
  readonly config: Config;
  readonly log: Logger;
  /** The fleet's time. */
  readonly clock: Clock;
  /** Where each part says how it ends; what was added to a later phase ends later. */
  readonly shutdown: Shutdown;
  readonly knex: Knex;
  readonly redis: Redis;
  /** Connection that published messages arrive on. */
  readonly subscriber: Redis;
  readonly keys: RedisKeys;
  readonly queues: Queues;
  /** Opens a further connection, closed at shutdown. */
  openRedis(role: RedisRole, name: string): Redis;
}

/**
 * Opens the platform of a process from its environment, and makes sure that the process shuts down in order. `name` is its name
 * in the log.
 * @throws {Error} when the configuration is not valid, or names no Postgres or no Redis.
 */
export function startPlatform(name: string): ReturnType<typeof openPlatform> {
  loadEnvironmentFile();
  const config = loadConfig();
  const log = createLogger({ level: config.LOG_LEVEL, name, file: config.LOG_FILE });
  const shutdown = createShutdown(log);
  onProcessEnd(shutdown, log);
  return openPlatform({ config, log, shutdown });
}

/**
 * Opens the connections without waiting for them: a process starts while Redis and Postgres are down.
 * @throws {Error} when the configuration names no Postgres or no Redis.
 */
export function openPlatform({
  config,
  log,
  shutdown,
}: Pick<Platform, 'config' | 'log' | 'shutdown'>): Platform & { readonly clock: FleetClock } {
  const { database, REDIS_URL: redisUrl } = config;
  if (database === undefined)
    throw new Error(
      'DATABASE_URL (or DB_HOST) is not set: set it to your Postgres, or run `npm start`, which starts a Postgres of its own',
    );
  if (redisUrl === undefined)
    throw new Error(
      'REDIS_URL is not set: set it to your Redis, or run `npm start`, which starts a Redis of its own',
    );

  const knex = openDatabase({ database, poolSize: config.DB_POOL_SIZE, log });
  shutdown.add('clients', 'postgres', () => knex.destroy());
  const open = (role: RedisRole, name: string): Redis => {
    const redis = openRedis({ url: redisUrl, role, name, log });
    shutdown.add('clients', `redis ${name}`, () => closeRedis(redis));
    return redis;
  };
  const keys = createRedisKeys(config.REDIS_KEY_PREFIX);
  const redis = open('command', 'commands');
  checkRightsAtStart({ redis, keys, log, shutdown });
  const clock = openFleetClock({ redis, key: keys.clock, log });
  shutdown.add('clients', 'clock', () => clock.close());
  const queues = openQueues({ redis, prefix: keys.queues, clock, log });
  shutdown.add('queues', 'queues', () => queues.close());
  const subscriber = open('subscriber', 'subscriber');
  return {
    config,
    log,
    clock,
    shutdown,
    knex,
    redis,
    subscriber,
    keys,
    queues,
    openRedis: open,
  };
}
