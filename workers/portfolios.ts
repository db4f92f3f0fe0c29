/** The workers of portfolios, wired: books and their updates, performance, imports. A composition root like the main one. */
import { createDailyBooks } from '../src/features/portfolios/queries/daily-books.ts';
import { createImportRuns } from '../src/features/portfolios/queries/import-runs.ts';
import { createImportQueries } from '../src/features/portfolios/queries/imports.ts';
import { createLedgerQueries } from '../src/features/portfolios/queries/ledgers.ts';
import { createPortfolioPurge } from '../src/features/portfolios/queries/portfolio-purge.ts';
import { createPortfolioQueries } from '../src/features/portfolios/queries/portfolios.ts';
import { createAssetQueries } from '../src/features/assets/queries/assets.ts';
import { createBookNews } from '../src/features/portfolios/book-channel.ts';
import { createMarketValues } from '../src/features/portfolios/valuation/market-values.ts';
import { createQuotedPrices } from '../src/features/portfolios/valuation/quoted-prices.ts';
import { createBooksKick } from '../src/features/portfolios/enqueue-books.ts';
import { createSnapshotKick } from '../src/features/portfolios/enqueue-snapshot.ts';
import { buildSnapshots } from '../src/valuations.ts';
import type { WorkerParts } from './parts.ts';
import type { ClientRunDeps } from './processors/jobs/client-run.ts';
import { createPortfolioSnapshot } from './processors/portfolios/snapshot-portfolio.ts';
import { createBooksCheck } from './processors/portfolios/check-books.ts';
import { createBooksRebuild } from './processors/portfolios/rebuild-books.ts';
import { createBooksUpdate, type BooksUpdateDeps } from './processors/portfolios/update-books.ts';
import {
  createPerformanceCompute,
  type PerformanceDeps,
} from './processors/portfolios/compute-performance.ts';
import { createTransactionsImport, type ImportDeps } from './processors/portfolios/import-transactions.ts';
import type { WorkerModule } from './runtime/processor.ts';
import { createFigures } from './threads/performance.ts';
import { createReplays } from './threads/replay-ledger.ts';

/** Keeps derived tables up to date, runs the jobs of clients on portfolios, and looks after both. */
export function portfoliosModule(parts: WorkerParts) {
  const { config, pipeline, clientRuns } = parts;
  const { knex, queues } = pipeline;
  return {
    processors: {
      books: () => ({
        'books.update': createBooksUpdate(withSnapshots(booksDepsOf(parts), parts)),
        'portfolio.snapshot': createPortfolioSnapshot(buildSnapshots(parts)),
      }),
      portfolios: () => {
        const runs = clientRuns();
        return {
          'books.rebuild': createBooksRebuild(runs, booksDepsOf(parts)),
          'performance.compute': createPerformanceCompute(runs, performanceDepsOf(parts)),
          'transactions.import': createTransactionsImport({ ...runs, ...importDepsOf(parts) }),
        };
      },
      upkeep: () => {
        const check = createBooksCheck({ ledgers: createLedgerQueries(knex), kick: createBooksKick(queues) });
        const snapshots = buildSnapshots(parts);
        return {
          'books.check': async () => ({ added: await check() }),
          'snapshots.check': async () => ({
            stored: await snapshots.ofEndedDays(),
            deleted: await snapshots.purge(),
          }),
        };
      },
    },
    purges: [
      () => createPortfolioPurge(knex).purge(),
      () => createImportQueries(knex).purge(config.JOB_RETENTION),
    ],
  } satisfies WorkerModule;
}

function performanceDepsOf({ log, threads, pipeline }: WorkerParts): PerformanceDeps {
  const { knex, history, store } = pipeline;
  const { candles } = history;
  return {
    portfolios: createPortfolioQueries(knex),
    readBooks: createDailyBooks(knex),
    closes: (asked) => candles.dailyCloses(asked),
    quotes: createQuotedPrices({ store, log }),
    figures: createFigures(threads),
    askFor: history.askForCloses,
  };
}

function importDepsOf({ config, log, pipeline }: WorkerParts): Omit<ImportDeps, keyof ClientRunDeps> {
  const { knex, clock, queues, store } = pipeline;
  const { candles } = pipeline.history;
  const quotes = createQuotedPrices({ store, log });
  return {
    imports: createImportQueries(knex),
    importRuns: createImportRuns(knex),
    symbols: createAssetQueries(knex),
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
