/** The same replay in threads and inline, by the same code: how long it takes, and how long the event loop stands still. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
import type { Knex } from 'knex';
import { createLedgerQueries } from '../../src/features/portfolios/queries/ledgers.ts';
import type { ReplayTask } from '../../src/features/portfolios/ledger/replay.ts';
import { sleep } from '../../src/platform/concurrency/sleep.ts';
import { createThreadPool } from '../../workers/runtime/thread-pool.ts';
import { createReplays } from '../../workers/threads/replay-ledger.ts';

export interface Replays {
  readonly tookMs: number;
  /** Longest standstill of the event loop. */
  readonly blockedMs: number;
}

/** All assets of a portfolio, from their first posting. */
export async function tasksOf(knex: Knex, portfolioId: string): Promise<readonly ReplayTask[]> {
  const tasks = await createLedgerQueries(knex).update(portfolioId, 'optimistic', async (update) => {
    const { method, timeZone } = update.portfolio;
    const found: ReplayTask[] = [];
    for (const { asset } of await update.stale(true)) {
      const postings: string[] = [];
      for await (const page of update.postings(asset, null)) postings.push(page);
      found.push({ asset, method, timeZone, checkpoint: null, postings });
    }
    return found;
  });
  return tasks ?? [];
}

/** `threshold`: work from which a thread is used. */
export async function replayAll(tasks: readonly ReplayTask[], threshold: number): Promise<Replays> {
  const pool = createThreadPool();
  const replays = createReplays(pool, threshold);
  const [first] = tasks;
  // Threads start, and both ways warm up.
  if (first !== undefined) for (let i = 0; i < 3; i++) await replays.run(first, 10_000);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  // What happens before its first tick is not noted.
  await sleep(20);
  const startedAt = performance.now();
  // Two at a time and a turn of the event loop in between, as an update does.
  let before: Promise<unknown> = Promise.resolve();
  for (const task of tasks) {
    const replay = replays.run(task, 10_000);
    await setImmediate();
    await before;
    before = replay;
  }
  await before;
  const tookMs = performance.now() - startedAt;
  // The standstill is noted by the next tick of the clock.
  await sleep(20);
  delay.disable();
  await pool.close();
  return { tookMs, blockedMs: delay.max / 1e6 };
}
