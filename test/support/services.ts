/**
 * One throwaway Postgres and one throwaway Redis for the whole run of the tests. They start when a test beyond
 * `test/unit` is among those to run, or when {@link services} is first called, and end with the run. TEST_DATABASE_URL
 * and TEST_REDIS_URL replace them.
 */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Runner } from 'mocha';
import { isAlive } from '../../embedded/stale-process.ts';
import { startPostgres } from '../../embedded/postgres.ts';
import { projectRoot } from '../../embedded/project-root.ts';
import { startRedis } from '../../embedded/redis.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';

export interface TestServices {
  /** Connection string of a superuser to the database `postgres`. */
  readonly databaseUrl: string;
  readonly redisUrl: string;
}

interface Running {
  readonly services: TestServices;
  stop(): Promise<void>;
}

const runningKey = Symbol.for('pricepool.test.services');
const parent = join(projectRoot, '.pricepool');
const folder = join(parent, `test-${process.pid}`);

/** Kept outside the module, because mocha loads a file with top-level await, and all that it imports, a second time. */
const shared = globalThis as { [runningKey]?: Promise<Running> };

/**
 * The servers of this run, started by the first call.
 * @throws {Error} when one cannot be started.
 */
export async function services(): Promise<TestServices> {
  const running = shared[runningKey] ?? start();
  shared[runningKey] = running;
  return (await running).services;
}

/** Called by mocha before the first test; nothing here is cut off by the timeout of a test. */
export async function mochaGlobalSetup(this: Runner): Promise<void> {
  const files = this.suite.suites.map((suite) => suite.file ?? '');
  if (files.some((file) => /[\\/]test[\\/](integration|http|e2e|slow)[\\/]/.test(file))) await services();
}

/** Called by mocha after the last test. */
export async function mochaGlobalTeardown(): Promise<void> {
  const started = await shared[runningKey]?.catch(() => undefined);
  await started?.stop();
  await rm(folder, { recursive: true, force: true });
}

async function start(): Promise<Running> {
  await sweepDeadRuns();
  await mkdir(folder, { recursive: true });
  const options = { dataDir: folder, log: silentLogger(), throwaway: true };
  const databaseUrl = process.env.TEST_DATABASE_URL;
  const redisUrl = process.env.TEST_REDIS_URL;
  const [postgres, redis] = await Promise.allSettled([
    databaseUrl === undefined ? startPostgres(options) : { adminUrl: databaseUrl, stop: doNothing },
    redisUrl === undefined ? startRedis(options) : { url: redisUrl, stop: doNothing },
  ]);
  const stop = async (): Promise<void> => {
    if (postgres.status === 'fulfilled') await postgres.value.stop();
    if (redis.status === 'fulfilled') await redis.value.stop();
  };
  if (postgres.status === 'fulfilled' && redis.status === 'fulfilled') {
    return { services: { databaseUrl: postgres.value.adminUrl, redisUrl: redis.value.url }, stop };
  }
  await stop();
  throw [postgres, redis].find((part) => part.status === 'rejected')?.reason;
}

async function doNothing(): Promise<void> {}

/** Deletes the folders of runs that were killed; their servers have ended by themselves. */
async function sweepDeadRuns(): Promise<void> {
  for (const name of await readdir(parent).catch(() => [])) {
    const pid = Number(/^test-(\d+)$/.exec(name)?.[1]);
    if (pid > 0 && !isAlive(pid)) await rm(join(parent, name), { recursive: true, force: true });
  }
}
