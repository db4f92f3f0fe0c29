/**
 * What an aggregation costs the event loop of a worker, inline and handed to a thread, by the number of holdings. The loop is
 * what counts: while it computes, no job of the process starts, ends or renews its lock.
 */
import { createThreadPool } from '../workers/runtime/thread-pool.ts';
import { createAggregator } from '../workers/threads/aggregate.ts';
import type { AggregateInput } from '../src/features/quotes/aggregate.ts';
import { toCachedQuote } from '../src/domain/cached-quote.ts';
import { runBench, type Row } from './support/bench.ts';
import { madeUp, ms, percentile } from './support/figures.ts';

const sizes = [10, 100, 250, 500, 1_000, 2_000, 3_000, 5_000, 10_000];
const repetitions = 21;
const warmUps = 10;
const maxAssets = 250;
/** Longest time (ms) that one job may keep the event loop to itself. */
const blockingLimitMs = 10;

function inputOf(rows: number): AggregateInput {
  const assets = madeUp(1, Math.min(rows, maxAssets));
  const now = Date.now();
  const readings = assets.map((assetId, index) => {
    const quote = toCachedQuote({
      assetId,
      symbol: `s${index}`,
      name: `Simulated ${index}`,
      currency: 'usd',
      price: 1 / (index + 1) + 0.123456789,
      marketCap: 1e9 + index,
      rank: index + 1,
      change24h: 0.5,
      changePercent24h: 1.5,
      volume24h: 1e6,
      source: 'simulated',
      asOf: new Date(now).toISOString(),
      receivedAt: now,
    });
    return { assetId, state: 'fresh' as const, quote };
  });
  const holdings = Array.from({ length: rows }, (_, index) => ({
    asset: assets[index % assets.length] ?? '',
    quantity: `${index + 1}.${String(index).padStart(18, '1')}`,
  }));
  return { readings, holdings, fetchMs: 12 };
}

interface Cost {
  /** Until the result is there. */
  readonly wholeMs: number;
  /** CPU time of this thread until then, the longest piece of which keeps the loop. */
  readonly loopMs: number;
}

/** `run` blocks from its call to its return; what a thread does in between does not. */
async function costOf(run: () => Promise<unknown>): Promise<Cost> {
  const costs: Cost[] = [];
  for (let count = 0; count < warmUps + repetitions; count++) {
    const startedAt = performance.now();
    const utilised = performance.eventLoopUtilization();
    const running = run();
    const blockedMs = performance.now() - startedAt;
    await running;
    const wholeMs = performance.now() - startedAt;
    // Piecewise the loop is also busy with taking the result; active time says how much in all.
    const activeMs = performance.eventLoopUtilization(utilised).active;
    if (count >= warmUps) costs.push({ wholeMs, loopMs: Math.max(blockedMs, Math.min(activeMs, wholeMs)) });
  }
  // The lower quartile: what else the machine does can only add.
  return {
    wholeMs: percentile(
      costs.map((cost) => cost.wholeMs),
      0.25,
    ),
    loopMs: percentile(
      costs.map((cost) => cost.loopMs),
      0.25,
    ),
  };
}

await runBench('Aggregation of holdings: inline and in a thread', async (bench) => {
  const pool = createThreadPool();
  bench.onEnd(() => pool.close());
  const inline = createAggregator(pool, Infinity);
  const threads = createAggregator(pool, 0);
  const rows: Row[] = [];
  for (const size of sizes) {
    const input = inputOf(size);
    const here = await costOf(() => inline.run(input));
    const there = await costOf(() => threads.run(input));
    rows.push({
      what: `${size} rows: loop kept inline / with a thread; result after inline / thread`,
      result: `${ms(here.loopMs)} / ${ms(there.loopMs)}; ${ms(here.wholeMs)} / ${ms(there.wholeMs)}`,
      requested: here.loopMs > blockingLimitMs ? `a thread (> ${blockingLimitMs} ms)` : 'inline',
    });
  }
  return rows;
});
