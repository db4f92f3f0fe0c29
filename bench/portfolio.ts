/**
 * Portfolios of 2,000, 15,000 and 100,000 transactions over 8 years in 30 assets, by whole processes: loading, rebuilding,
 * one transaction more, positions, performance; what the API's other clients notice meanwhile; threads against inline.
 */
import { readFileSync } from 'node:fs';
import type { Knex } from 'knex';
import { openDatabase } from '../db/connection.ts';
import { createCandlePartitions } from '../src/features/history/queries/candle-partitions.ts';
import { createCandleQueries } from '../src/features/history/queries/candles.ts';
import { sleep } from '../src/platform/concurrency/sleep.ts';
import type { Stack } from '../test/support/stack.ts';
import { replayAll, tasksOf } from './portfolio/in-threads.ts';
import { newOwner, type Owner } from './portfolio/owner.ts';
import { createProbe, p99, type Noticed, type Probe } from './portfolio/probe.ts';
import { runBench, type Row } from './support/bench.ts';
import { fetchBulk } from './support/bulk.ts';
import { median, ms, times } from './support/figures.ts';
import { cpuMicros } from './support/procs.ts';
import { tradedAssets, tradedMs, tradesOf } from './support/trades.ts';

const dayMs = 86_400_000;
const today = Math.floor(Date.now() / dayMs) * dayMs;
const startsAt = today - tradedMs - dayMs;
const goals = [
  { size: 2_000, rebuild: '< 0.3 s' },
  { size: 15_000, rebuild: '< 1.5 s' },
  { size: 100_000, rebuild: '< 10 s' },
];
const appends = 15;
const backDated = [0.01, 0.5, 0.99] as const;
const reads = 30;
/** How long (ms) each side of the comparison of latencies is watched at least. */
const watchedMs = 10_000;

interface Measured {
  readonly size: number;
  readonly rebuildMs: number;
  readonly appendedMs: number;
  readonly rows: readonly Row[];
}

interface Site {
  readonly stack: Stack;
  readonly knex: Knex;
}

await runBench('Portfolios: books of 8 years in 30 assets, one API and one worker process', async (bench) => {
  const stack = await bench.stack({
    apis: 1,
    workers: 1,
    environment: { APP_ENV: 'production', NODE_ENV: 'production', QUOTE_TTL: '3600s' },
  });
  const knex = openDatabase({ database: { connectionString: stack.databaseUrl, ssl: false }, poolSize: 4 });
  bench.onEnd(() => knex.destroy());
  bench.say('closes of 8 years');
  await storeCloses(knex);
  const measured: Measured[] = [];
  let largest: Owner | undefined;
  for (const { size, rebuild } of goals) {
    bench.say(`${size} transactions`);
    largest = await newOwner(urlOf(stack), 'fifo');
    measured.push(await measure({ stack, knex }, largest, { size, rebuild }));
  }
  if (largest === undefined) throw new Error('nothing was measured');
  bench.say('what others notice, threads against inline');
  return [
    ...measured.flatMap(({ rows }) => rows),
    ...growthRows(measured),
    ...(await noticeRows(stack, largest)),
    ...(await threadRows(knex, largest)),
    ...memoryRows(stack),
  ];
});

function urlOf(stack: Stack): string {
  const url = stack.apis[0]?.url;
  if (url === undefined) throw new Error('no API process');
  return url;
}

async function measure(
  { stack, knex }: Site,
  owner: Owner,
  { size, rebuild: requested }: { readonly size: number; readonly rebuild: string },
): Promise<Measured> {
  const rows: Row[] = [];
  const row = (what: string, result: string, more: Partial<Row> = {}): void =>
    void rows.push({ what: `${size}: ${what}`, result, ...more });

  const loadMs = await owner.load(knex, tradesOf(size, startsAt));
  row('written as an import does', ms(loadMs));
  row('first books, until positions are answered', ms(await owner.current()));
  // Machine code first: what is asked is the cost in a process that has run for a while.
  await owner.rebuild();
  const rebuilds = [];
  for (let i = 0; i < 3; i++) rebuilds.push(await withCpu(stack, () => owner.rebuild()));
  const rebuildMs = median(rebuilds.map(({ result }) => result.tookMs));
  row('full rebuild, as a job over HTTP', ms(rebuildMs), { requested });
  row('CPU of the worker, of the API', rebuilds.map(({ cpu }) => cpu).at(-1) ?? '');
  const isIdentical = rebuilds.every(({ result }) => result.identical === true);
  row('rebuilt books are those that were kept', String(isIdentical), {
    requested: 'true',
    kept: isIdentical,
  });
  const last = rebuilds.at(-1)?.result;
  row('postings, consumptions', `${last?.postings ?? NaN}, ${last?.consumptions ?? NaN}`);

  const appended = [];
  for (let i = 0; i < appends; i++) appended.push(await owner.buy(today - dayMs + i * 1_000));
  const appendedMs = median(appended.map(({ currentMs }) => currentMs));
  const answered = ms(median(appended.map(({ answeredMs }) => answeredMs)));
  row('appended, until its positions are answered', `${ms(appendedMs)} (answered in ${answered})`, {
    requested: '< 50 ms',
  });
  for (const share of backDated) {
    const took = [];
    for (let i = 0; i < 3; i++) {
      const at = Math.floor(startsAt + tradedMs * (1 - share)) + i;
      took.push((await owner.buy(at)).currentMs);
    }
    row(`back-dated by ${share * 100} %`, ms(median(took)), { requested: 'in proportion' });
  }
  row('positions', ms(await medianRead(owner, '/positions')));
  row('a page of lots', ms(await medianRead(owner, '/lots?limit=100')));
  row('realised gains of a year', ms(await medianRead(owner, '/realised?year=2024&limit=100')));
  const figures = await owner.read('/performance?range=max', { prefer: 'wait=60' });
  row('performance over max, by HTTP', `${ms(figures.tookMs)} (${figures.answer.status})`);
  return { size, rebuildMs, appendedMs, rows };
}

async function medianRead(owner: Owner, path: string): Promise<number> {
  const took = [];
  for (let i = 0; i < reads; i++) took.push((await owner.read(path)).tookMs);
  return median(took);
}

async function withCpu<T>(stack: Stack, work: () => Promise<T>): Promise<{ result: T; cpu: string }> {
  const pids = [stack.workers[0]?.pid ?? 0, stack.apis[0]?.pid ?? 0];
  const before = pids.map(cpuMicros);
  const result = await work();
  const used = pids.map((pid, index) => ms((cpuMicros(pid) - (before[index] ?? NaN)) / 1_000));
  return { result, cpu: used.join(', ') };
}

function growthRows(measured: readonly Measured[]): Row[] {
  return measured.slice(1).map((each, index) => {
    const before = measured[index] ?? each;
    return {
      what: `${before.size} to ${each.size}: rebuild, appended grow by`,
      result: `${times(each.rebuildMs / before.rebuildMs)}, ${times(each.appendedMs / before.appendedMs)}`,
      requested: `rebuild <= ${times(each.size / before.size)}`,
    };
  });
}

/** Idle and busy in turns, so that what disturbs the machine disturbs both. */
async function noticeRows(stack: Stack, owner: Owner): Promise<Row[]> {
  await fetchBulk(owner.client, ['bitcoin']);
  const probe: Probe = createProbe(urlOf(stack), owner.client.token);
  const idle: Noticed = { health: [], read: [] };
  const busy: Noticed = { health: [], read: [] };
  await probe.during({ health: [], read: [] }, () => sleep(3_000));
  for (const endsAt = performance.now() + 2 * watchedMs; performance.now() < endsAt;) {
    const startedAt = performance.now();
    await probe.during(busy, () => owner.rebuild());
    await probe.during(idle, () => sleep(performance.now() - startedAt));
  }
  await probe.close();
  const [quiet, loud] = [p99(idle), p99(busy)];
  return (['health', 'read'] as const).map((each) => ({
    what: `p99 of ${each === 'health' ? '/health' : 'a cached read'} during rebuilds of the largest : idle`,
    result: `${times(loud[each] / quiet[each])} (${ms(loud[each])} : ${ms(quiet[each])})`,
    requested: '<= 2 x',
  }));
}

async function threadRows(knex: Knex, { portfolioId }: Owner): Promise<Row[]> {
  const tasks = await tasksOf(knex, portfolioId);
  const inline = await replayAll(tasks, Infinity);
  const threads = await replayAll(tasks, 0);
  return [
    {
      what: 'replay of the largest, in threads : inline',
      result: `${times(threads.tookMs / inline.tookMs)} (${ms(threads.tookMs)} : ${ms(inline.tookMs)})`,
    },
    {
      what: 'longest standstill of the event loop, in threads : inline',
      result: `${ms(threads.blockedMs)} : ${ms(inline.blockedMs)}`,
      requested: '< 50 ms',
    },
  ];
}

function memoryRows({ workers, apis }: Stack): Row[] {
  const peak = (pid = 0): string => {
    try {
      const kib = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
      return `${(Number(kib) / 1_024).toFixed(0)} MiB`;
    } catch {
      return 'unknown';
    }
  };
  return [
    {
      what: 'peak memory of the worker, of the API',
      result: `${peak(workers[0]?.pid)}, ${peak(apis[0]?.pid)}`,
    },
  ];
}

/** A close a day for every asset, so that performance has what it needs. */
async function storeCloses(knex: Knex): Promise<void> {
  const candles = createCandleQueries(knex);
  const from = startsAt - (startsAt % dayMs);
  await createCandlePartitions(knex).ensure({ granularity: '1d', from, to: today });
  for (const [index, assetId] of tradedAssets.entries()) {
    const points = Array.from({ length: (today - from) / dayMs }, (_, day) => {
      const at = from + day * dayMs;
      const price = 1 + index + Math.sin(day / 40);
      const same = { open: price, high: price, low: price, close: price };
      const facts = { marketCap: null, volume: null, observations: 1, source: 'bench' };
      return { assetId, currency: 'usd', openTime: at, firstAt: at, lastAt: at, ...same, ...facts };
    });
    await candles.storePoints('1d', points);
  }
}
