/**
 * From submission to completion on cached coins, against a bare handler with a bare worker on the same Postgres and Redis:
 * as many processes, the same client code, the same bodies. Every job is distinct, so that nothing is shared among them.
 *
 * Under load jobs are submitted (202) and the end is when all are completed; who watches that looks once in 50 ms and takes
 * no part. At low load one job at a time is submitted, and the answer that carries its end is waited for: ours by
 * `Prefer: wait`, which is woken by the event `job.completed`; the bare one by BullMQ's `waitUntilFinished` on QueueEvents.
 */
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';
import { sleep } from '../src/platform/concurrency/sleep.ts';
import { newUser } from '../test/support/api-client.ts';
import type { Stack } from '../test/support/stack.ts';
import { runBench, type Bench, type Row } from './support/bench.ts';
import { fetchBulk } from './support/bulk.ts';
import { inParallel, madeUp, median, ms, percentile, pick, times } from './support/figures.ts';
import { startBare } from './support/procs.ts';

const coins = madeUp(1, 200);
const coinsEach = 20;
const jobsARound = 1_000;
const width = 64;
const rounds = 5;
const lowLoadJobs = 500;
const lowLoadPauseMs = 10;
const pollIntervalMs = 50;

interface Contender {
  readonly name: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Completed jobs so far. */
  readonly completed: () => Promise<number>;
  readonly jobsPerSecond: number[];
  readonly submitMs: number[];
  readonly endMs: number[];
}

async function post(
  { url, headers }: Contender,
  more: Readonly<Record<string, string>> = {},
): Promise<number> {
  const startedAt = performance.now();
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers, ...more },
    body: JSON.stringify({ coins: pick(coins, coinsEach) }),
    signal: AbortSignal.timeout(60_000),
  });
  const text = await response.text();
  if (response.status !== (more['prefer'] === undefined ? 202 : 200))
    throw new Error(`${url}: ${response.status} ${text}`);
  return performance.now() - startedAt;
}

async function underLoad(contender: Contender, jobs: number, isWarmUp = false): Promise<void> {
  const before = await contender.completed();
  const startedAt = performance.now();
  const submitMs: number[] = [];
  await inParallel(
    Array.from({ length: jobs }),
    width,
    async () => void submitMs.push(await post(contender)),
  );
  while ((await contender.completed()) < before + jobs) {
    if (performance.now() - startedAt > 120_000) throw new Error(`${contender.name}: jobs did not complete`);
    await sleep(pollIntervalMs);
  }
  if (isWarmUp) return;
  contender.jobsPerSecond.push((jobs / (performance.now() - startedAt)) * 1_000);
  contender.submitMs.push(...submitMs);
}

/** One job of each in turn, so that what disturbs the machine disturbs both alike. */
async function atLowLoad(contenders: readonly Contender[]): Promise<void> {
  for (let count = 0; count < lowLoadJobs; count++) {
    for (const contender of contenders) {
      contender.endMs.push(await post(contender, { prefer: 'wait=10' }));
      await sleep(lowLoadPauseMs);
    }
  }
}

async function startOurs(stack: Stack, database: pg.Pool): Promise<Contender> {
  const user = await newUser(stack.apis[0]?.url ?? '');
  await fetchBulk(user, coins);
  return {
    name: 'pricepool',
    url: `${stack.apis[0]?.url ?? ''}/api/v1/crypto/bulk`,
    headers: { authorization: `Bearer ${user.token}` },
    completed: async () => {
      const { rows } = await database.query<{ n: number }>(
        "select count(*)::int as n from jobs where state = 'completed' and name <> 'bare'",
      );
      return rows[0]?.n ?? 0;
    },
    jobsPerSecond: [],
    submitMs: [],
    endMs: [],
  };
}

async function startOther(bench: Bench, stack: Stack, database: pg.Pool): Promise<Contender> {
  const { rows } = await database.query<{ id: string }>('select id from users limit 1');
  const prefix = `${stack.redisPrefix}-bare`;
  const environment = {
    DATABASE_URL: stack.databaseUrl,
    REDIS_URL: stack.redisUrl,
    REDIS_KEY_PREFIX: prefix,
    BARE_USER: rows[0]?.id ?? '',
    NODE_ENV: 'production',
  };
  const api = await startBare('bare-jobs', { ...environment, ROLE: 'api' });
  bench.onEnd(() => api.stop());
  const worker = await startBare('bare-jobs', { ...environment, ROLE: 'worker' });
  bench.onEnd(() => worker.stop());
  const redis = new Redis(stack.redisUrl, { maxRetriesPerRequest: null });
  const queue = new Queue('bare', { connection: redis, prefix });
  bench.onEnd(async () => {
    await queue.close();
    redis.disconnect();
  });
  return {
    name: 'bare',
    url: `${api.url}/jobs`,
    headers: {},
    completed: async () => (await queue.getJobCounts('completed'))['completed'] ?? 0,
    jobsPerSecond: [],
    submitMs: [],
    endMs: [],
  };
}

function rowsOf(ours: Contender, bare: Contender): Row[] {
  const both = [ours, bare].map(({ name, jobsPerSecond, submitMs, endMs }) => ({
    what: `${name}: jobs/s; submit p50 / p99 under load; submit to end p50 / p99 at low load`,
    result: `${median(jobsPerSecond).toFixed(0)}; ${ms(percentile(submitMs, 0.5))} / ${ms(percentile(submitMs, 0.99))}; ${ms(percentile(endMs, 0.5))} / ${ms(percentile(endMs, 0.99))}`,
  }));
  const end = (share: number): string => times(percentile(ours.endMs, share) / percentile(bare.endMs, share));
  return [
    ...both,
    {
      what: 'jobs/s, pricepool : bare',
      result: times(
        median(ours.jobsPerSecond.map((rate, round) => rate / (bare.jobsPerSecond[round] ?? NaN))),
      ),
      requested: '>= 0.6 x',
    },
    { what: 'submit to end at low load, p99', result: end(0.99), requested: '<= 5 x' },
    { what: 'submit to end at low load, p50', result: end(0.5) },
  ];
}

await runBench(
  `Jobs of ${coinsEach} cached coins, ${width} in flight, median of ${rounds} rounds of ${jobsARound}`,
  async (bench) => {
    const stack = await bench.stack({
      apis: 1,
      workers: 1,
      environment: {
        APP_ENV: 'production',
        NODE_ENV: 'production',
        QUOTE_TTL: '3600s',
        JOB_BACKLOG_LIMIT: '1000000',
        JOB_BACKLOG_PER_USER: '1000000',
      },
    });
    const database = new pg.Pool({ connectionString: stack.databaseUrl, max: 1 });
    database.on('error', () => undefined);
    bench.onEnd(() => database.end());
    const ours = await startOurs(stack, database);
    const bare = await startOther(bench, stack, database);
    for (const contender of [ours, bare]) await underLoad(contender, 500, true);
    for (let round = 0; round < rounds; round++) {
      for (const contender of [ours, bare]) {
        await underLoad(contender, jobsARound);
      }
      bench.say(
        `round ${round + 1}: ${ours.jobsPerSecond.at(-1)?.toFixed(0)} : ${bare.jobsPerSecond.at(-1)?.toFixed(0)} jobs/s`,
      );
    }
    await atLowLoad([ours, bare]);
    return rowsOf(ours, bare);
  },
);
