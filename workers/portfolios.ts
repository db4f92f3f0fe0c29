/** The workers of portfolios, wired: books and their updates, performance, imports. A composition root like the main one. */
import { createCandleQueries } from '../src/features/history/queries/candles.ts';
import { createDailyBooks } from '../src/features/portfolios/queries/daily-books.ts';
import { createHistoryAsks } from '../src/features/history/queries/history-requests.ts';
import { createImportRuns } from '../src/features/portfolios/queries/import-runs.ts';
import { createImportQueries } from '../src/features/portfolios/queries/imports.ts';
import { createLedgerQueries } from '../src/features/portfolios/queries/ledgers.ts';
import { createPortfolioQueries } from '../src/features/portfolios/queries/portfolios.ts';
import { createSymbolLookup } from '../src/features/assets/queries/symbol-lookup.ts';
import { createBookNews } from '../src/features/portfolios/book-channel.ts';
import { createJobEventLog } from '../src/features/jobs/job-events.ts';
import { createControlChannel } from '../src/features/jobs/control-channel.ts';
import { createAskForCloses } from '../src/features/history/request-closes.ts';
import { createMarketValues } from '../src/features/portfolios/valuation/market-values.ts';
import { createQuotedPrices } from '../src/features/portfolios/valuation/quoted-prices.ts';
import { createBooksKick } from '../src/features/portfolios/enqueue-books.ts';
import { createHistoryKick } from '../src/features/history/enqueue-backfill.ts';
import { createSnapshotKick } from '../src/features/portfolios/enqueue-snapshot.ts';
import { buildSnapshots } from '../src/valuations.ts';
import type { UpkeepDeps } from './processors/jobs/upkeep.ts';
import type { WorkerParts } from './parts.ts';
import { failRows, type ClientRunDeps } from './processors/jobs/client-run.ts';
import { createPortfolioSnapshot } from './processors/portfolios/snapshot-portfolio.ts';
import { createBooksRebuild } from './processors/portfolios/rebuild-books.ts';
import { createBooksUpdate, type BooksUpdateDeps } from './processors/portfolios/update-books.ts';
import {
  createPerformanceCompute,
  type PerformanceDeps,
} from './processors/portfolios/compute-performance.ts';
import { createTransactionsImport, type ImportDeps } from './processors/portfolios/import-transactions.ts';
import { createAbandonments } from './runtime/cancellations.ts';
import { createWorker, type RunningWorker } from './runtime/create-worker.ts';
import { createFigures } from './threads/performance.ts';
import { createReplays } from './threads/replay-ledger.ts';

/** Portfolios whose books one process updates at once. */
const booksConcurrency = 4;
/** Client jobs on portfolios that one process runs at once: each may hold a long history in memory. */
const portfoliosConcurrency = 2;

/** Keeps derived tables up to date. */
export function startBooks(parts: WorkerParts): RunningWorker {
  const { log, pipeline } = parts;
  return createWorker({
    queue: 'books',
    processors: {
      'books.update': createBooksUpdate(withSnapshots(booksDepsOf(parts), parts)),
      'portfolio.snapshot': createPortfolioSnapshot(buildSnapshots(parts)),
    },
    redis: pipeline.openRedis('blocking', 'books'),
    prefix: pipeline.keys.queues,
    concurrency: booksConcurrency,
    log,
  });
}

/** Runs the jobs of clients on portfolios. */
export function startPortfolios(parts: WorkerParts): RunningWorker {
  const { log, pipeline } = parts;
  const runDeps = clientRunsOf(parts);
  return createWorker({
    queue: 'portfolios',
    processors: {
      'books.rebuild': createBooksRebuild(runDeps, booksDepsOf(parts)),
      'performance.compute': createPerformanceCompute(runDeps, performanceDepsOf(parts)),
      'transactions.import': createTransactionsImport({ ...runDeps, ...importDepsOf(parts) }),
    },
    redis: pipeline.openRedis('blocking', 'portfolios'),
    prefix: pipeline.keys.queues,
    concurrency: portfoliosConcurrency,
    log,
    onDead: async (_name, data, reason) => {
      const { workKey } = data as { workKey: string };
      const message = reason.includes('stalled')
        ? 'The job ended its worker process repeatedly'
        : 'The job failed';
      await failRows(runDeps, workKey, { code: 'job_failed', message });
    },
  });
}

function clientRunsOf({ log, pipeline }: WorkerParts): ClientRunDeps {
  const { jobs, runs, clock, redis, keys, subscriber } = pipeline;
  const abandonments = createAbandonments();
  const control = createControlChannel({ redis, subscriber, channel: keys.control });
  control.listen(({ abandon }) => abandonments.abandon(abandon));
  return {
    jobs,
    runs,
    clock,
    log,
    events: createJobEventLog(redis, keys.jobEvents),
    abandoned: (workKey) => abandonments.watch(workKey),
  };
}

function performanceDepsOf({ log, threads, pipeline }: WorkerParts): PerformanceDeps {
  const { knex, clock, queues, store } = pipeline;
  const candles = createCandleQueries(knex);
  return {
    portfolios: createPortfolioQueries(knex),
    readBooks: createDailyBooks(knex),
    closes: (asked) => candles.dailyCloses(asked),
    quotes: createQuotedPrices({ store, log }),
    figures: createFigures(threads),
    askFor: createAskForCloses({
      candles,
      asks: createHistoryAsks(knex),
      kick: createHistoryKick(queues),
      clock,
      log,
    }),
  };
}

function importDepsOf({ config, log, pipeline }: WorkerParts): Omit<ImportDeps, keyof ClientRunDeps> {
  const { knex, clock, queues, store } = pipeline;
  const candles = createCandleQueries(knex);
  const quotes = createQuotedPrices({ store, log });
  return {
    imports: createImportQueries(knex),
    importRuns: createImportRuns(knex),
    symbols: createSymbolLookup(knex),
    closes: (asked) => candles.dailyCloses(asked),
    findMarketValues: createMarketValues({
      dailyCloses: (assetIds, currency, span) => candles.dailyCloses({ assetIds, currency, ...span }),
      quote: async (assetId, currency) => (await quotes(currency, [assetId])).get(assetId),
      clock,
    }),
    updateBooks: createBooksKick(queues),
    transactionLimit: config.PORTFOLIO_TRANSACTION_LIMIT,
  };
}

/** Deletes what nobody will read any more of uploads, for workers of the `upkeep` queue. */
export function buildImportKeeping({ config, pipeline }: WorkerParts): Pick<UpkeepDeps, 'purgeImports'> {
  const imports = createImportQueries(pipeline.knex);
  return { purgeImports: () => imports.purge(config.JOB_RETENTION) };
}

function booksDepsOf({ log, threads, pipeline }: WorkerParts): BooksUpdateDeps {
  const { knex, redis, subscriber, keys } = pipeline;
  return {
    ledgers: createLedgerQueries(knex),
    replays: createReplays(threads),
    news: createBookNews({ redis, subscriber, channel: keys.books }),
    log,
  };
}

/** Updated books are noted with what they are worth. */
function withSnapshots(deps: BooksUpdateDeps, { pipeline: { queues } }: WorkerParts): BooksUpdateDeps {
  const kick = createSnapshotKick(queues);
  return {
    ...deps,
    news: {
      async publish(portfolioId) {
        await Promise.all([deps.news.publish(portfolioId), kick(portfolioId)]);
      },
    },
  };
}

/** What keeps snapshots, for workers of the `upkeep` queue. */
export function buildSnapshotKeeping(parts: WorkerParts): Pick<UpkeepDeps, 'keepSnapshots'> {
  const snapshots = buildSnapshots(parts);
  return {
    keepSnapshots: async () => ({
      stored: await snapshots.ofEndedDays(),
      deleted: await snapshots.purge(),
    }),
  };
}
