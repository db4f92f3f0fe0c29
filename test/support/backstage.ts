import { Queue, type Job } from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';
import { createRedisKeys, type RedisKeys } from '../../src/platform/redis/keys.ts';
import type { Stack } from './stack.ts';

/** What lies behind a stack's API: its rows, its queue and its Redis, for tests that look where clients cannot. */
export interface Backstage {
  readonly keys: RedisKeys;
  /** The queue of client jobs. */
  readonly requests: Queue;
  readonly redis: Redis;
  query<T extends pg.QueryResultRow>(sql: string, values?: readonly unknown[]): Promise<readonly T[]>;
  /** The queued job that works for a row; undefined when there is none. */
  jobOf(rowId: string): Promise<Job | undefined>;
  close(): Promise<void>;
}

/** Opens connections to the parts of a stack. */
export function openBackstage(stack: Pick<Stack, 'databaseUrl' | 'redisUrl' | 'redisPrefix'>): Backstage {
  const keys = createRedisKeys(stack.redisPrefix);
  const redis = new Redis(stack.redisUrl, { maxRetriesPerRequest: null });
  redis.on('error', () => undefined);
  const requests = new Queue('requests', { connection: redis, prefix: keys.queues });
  requests.on('error', () => undefined);
  const pool = new pg.Pool({ connectionString: stack.databaseUrl, max: 2 });
  pool.on('error', () => undefined);
  const query: Backstage['query'] = async <T extends pg.QueryResultRow>(
    sql: string,
    values: readonly unknown[] = [],
  ) => (await pool.query<T>(sql, [...values])).rows;
  return {
    keys,
    requests,
    redis,
    query,
    async jobOf(rowId) {
      const [row] = await query<{ work_key: string }>('select work_key from jobs where id = $1', [rowId]);
      const jobs = (await requests.getJobs()) as (Job | undefined)[];
      // A job may be removed between the listing and its reading.
      const mine = jobs.filter(
        (job) => (job?.data as { workKey?: string } | undefined)?.workKey === row?.work_key,
      );
      return mine.toSorted((a, b) => (b?.timestamp ?? 0) - (a?.timestamp ?? 0))[0];
    },
    async close() {
      await requests.close();
      redis.disconnect();
      await pool.end();
    },
  };
}
