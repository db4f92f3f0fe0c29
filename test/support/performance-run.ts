import { v7 as uuidv7 } from 'uuid';
import { createDailyBooks } from '../../src/features/portfolios/queries/daily-books.ts';
import { createJobQueries, type JobQueries } from '../../src/features/jobs/queries/jobs.ts';
import { createPortfolioQueries } from '../../src/features/portfolios/queries/portfolios.ts';
import { createRunQueries } from '../../src/features/jobs/queries/runs.ts';
import { recordChange } from '../../src/features/portfolios/queries/write-transactions.ts';
import type { JobData } from '../../jobs/registry.ts';
import type { Portfolio } from '../../src/features/portfolios/ledger/portfolio.ts';
import type { Transaction } from '../../src/features/portfolios/ledger/transaction.ts';
import type { JobRecord } from '../../src/domain/job.ts';
import type { createRequestCloses } from '../../src/features/history/request-closes.ts';
import { importExport } from '../../src/features/history/import-export.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import type { QuotedPrice } from '../../src/features/portfolios/performance/performance-tables.ts';
import {
  createPerformanceCompute,
  type PerformanceDeps,
} from '../../workers/processors/portfolios/compute-performance.ts';
import { createCancellations } from '../../workers/processors/jobs/client-run.ts';
import type { JobContext } from '../../workers/runtime/processor.ts';
import { createThreadPool } from '../../workers/runtime/thread-pool.ts';
import { createPerformanceStats } from '../../workers/threads/performance.ts';
import { openHistoryStore, type HistoryStore } from './history.ts';

type Work = JobData<'performance.compute'>;

/** Jobs of performance over a database of one's own: everything is real but the queue, the cache and the clock. */
export interface PerformanceRuns {
  readonly store: HistoryStore;
  readonly userId: string;
  readonly jobs: JobQueries;
  readonly deps: PerformanceDeps;
  readonly cancellations: ReturnType<typeof createCancellations>;
  /** Quotes in the cache. */
  readonly quotes: Map<string, QuotedPrice>;
  /** What prices were asked for. */
  readonly requested: Parameters<ReturnType<typeof createRequestCloses>>[0][];
  /** Events that were told. */
  readonly reported: string[];
  now: number;
  portfolio(fields?: { timeZone?: string }): Promise<Portfolio>;
  /** Books transactions through the write core. */
  record(portfolio: Portfolio, transactions: readonly Transaction[]): Promise<void>;
  importFile(path: string, assetId: string): Promise<void>;
  work(portfolio: Portfolio, different?: Partial<Work>): Work;
  /** Submits a row. */
  submit(work: Work): Promise<JobRecord>;
  /** Runs what was submitted, and returns the row as it is then. */
  run(work: Work, row: JobRecord, context?: Partial<JobContext>): Promise<JobRecord>;
  close(): Promise<void>;
}

const live = new AbortController().signal;

/** Opens a fresh database; `threshold` is that of the threads. */
export async function openPerformanceRuns(threshold?: number): Promise<PerformanceRuns> {
  const store = await openHistoryStore();
  const { knex, candles, partitions } = store;
  const userId = uuidv7();
  await knex('users').insert({ id: userId, username: 'joe', email: 'joe@example.com', password_hash: 'x' });
  const jobs = createJobQueries(knex);
  const portfolios = createPortfolioQueries(knex);
  const threads = createThreadPool();
  const clock = { now: () => runs.now };
  const deps: PerformanceDeps = {
    portfolios,
    readBooks: createDailyBooks(knex),
    closes: (requested) => candles.dailyCloses(requested),
    quotes: () => Promise.resolve(runs.quotes),
    figures: createPerformanceStats(threads, threshold),
    requestCloses: (wanted) => {
      runs.requested.push(wanted);
      return Promise.resolve([]);
    },
  };
  const cancellations = createCancellations();
  const events = {
    append: (_subject: string, list: readonly { type: string }[]) => {
      runs.reported.push(...list.map(({ type }) => type));
      return Promise.resolve();
    },
  };
  const runDeps = {
    jobs,
    runs: createRunQueries(knex),
    clock,
    log: silentLogger(),
    events: events as never,
    deadlineMs: 300_000,
    abandoned: (workKey: string) => cancellations.watch(workKey),
  };
  const runs: PerformanceRuns = {
    store,
    userId,
    jobs,
    deps,
    cancellations,
    quotes: new Map(),
    requested: [],
    reported: [],
    now: Date.UTC(2022, 2, 31, 12),
    portfolio: ({ timeZone = 'UTC' } = {}) =>
      portfolios.insert(userId, { name: 'mine', baseCurrency: 'usd', method: 'fifo', timeZone }, 1_000),
    async record({ id: portfolioId }, transactions) {
      const recorded = transactions.map((each) => ({
        ...each,
        note: null,
        isMarketValue: false,
        isMarketFee: false,
        importId: null,
        fingerprint: null,
      }));
      await knex.transaction((trx) =>
        recordChange(trx, {
          portfolioId,
          limit: 1_000_000,
          add: recorded,
          by: { actorId: userId },
        }),
      );
    },
    async importFile(path, assetId) {
      await importExport({ candles, partitions, clock }, { path, assetId, currency: 'usd' });
    },
    work: ({ id, booksVersion }, different = {}) => ({
      workKey: `work-${uuidv7()}`,
      portfolioId: id,
      currency: 'usd',
      range: 'max',
      benchmark: 'bitcoin',
      riskFreeRate: 0,
      booksVersion: String(booksVersion),
      asOf: new Date(runs.now).toISOString(),
      ...different,
    }),
    async submit({ workKey, ...submission }) {
      const row = await jobs.insert({
        id: uuidv7(),
        userId,
        name: 'performance.compute',
        workKey,
        submission,
        total: 4,
      });
      return row!;
    },
    async run(work, row, context = {}) {
      await createPerformanceCompute(runDeps, deps)(work, {
        jobId: '1',
        addedAt: runs.now,
        start: 1,
        isLastAttempt: true,
        signal: live,
        waitSignal: live,
        callSignal: live,
        releaseDeduplication: () => Promise.resolve(),
        ...context,
      });
      return (await jobs.find(row.id))!;
    },
    async close() {
      await threads.close();
      await store.close();
    },
  };
  return runs;
}
