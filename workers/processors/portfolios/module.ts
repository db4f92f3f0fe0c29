import { createAssetQueries } from '../../../src/features/assets/queries/assets.ts';
import type { BooksService } from '../../../src/features/portfolios/books-service.ts';
import { createImportRuns } from '../../../src/features/portfolios/queries/import-runs.ts';
import { createSnapshotTaker } from '../../../src/features/portfolios/valuation/snapshot-taker.ts';
import type { QuoteService } from '../../../src/features/quotes/quote-service.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import type { WorkerModule } from '../../runtime/processor.ts';
import { createPerformanceStats } from '../../threads/performance.ts';
import { createReplays } from '../../threads/replay-ledger.ts';
import type { Threads } from '../../threads/threads.ts';
import type { ClientRunDeps } from '../jobs/client-run.ts';
import { createBooksCheck, createBooksRebuild, createBooksUpdate } from './books.ts';
import { createPerformanceCompute } from './compute-performance.ts';
import { createTransactionsImport } from './import-transactions.ts';
import { createPortfolioSnapshot } from './snapshot-portfolio.ts';

/** A portfolio has at most one snapshot of changes in this time (ms), which includes all changes until then. */
const spacingMs = 60_000;

/** Processors of portfolios: books and their snapshots, jobs of clients, and the checks of both. */
export function createPortfolioProcessors(
  { config, knex, queues, clock, log }: Platform,
  {
    books,
    clientRuns,
    quotes,
    threads,
  }: {
    readonly books: BooksService;
    readonly clientRuns: () => ClientRunDeps;
    readonly quotes: Pick<QuoteService, 'cached' | 'want'>;
    readonly threads: Threads;
  },
) {
  const { ledgers, channel, past } = books;
  const replays = createReplays(threads);
  const snapshots = createSnapshotTaker({
    portfolios: books.reading,
    snapshots: books.snapshots,
    cached: quotes.cached,
    want: (wanted) => quotes.want({ ...wanted, urgency: 'backfill' }),
    clock,
  });
  return {
    processors: {
      books: () => ({
        'books.update': createBooksUpdate({
          ledgers,
          replays,
          log,
          // After an update of the books a snapshot is taken within a minute; one that Redis does not accept is never taken.
          channel: {
            async publish(portfolioId) {
              const deduplication = { id: `snapshot-${portfolioId}` };
              await Promise.all([
                channel.publish(portfolioId),
                queues.add('portfolio.snapshot', { portfolioId }, { delay: spacingMs, deduplication }),
              ]);
            },
          },
        }),
        'portfolio.snapshot': createPortfolioSnapshot(snapshots),
      }),
      portfolios: () => {
        const runs = clientRuns();
        return {
          'books.rebuild': createBooksRebuild(runs, { ledgers, replays, channel, log }),
          'performance.compute': createPerformanceCompute(runs, {
            portfolios: books.portfolios,
            readBooks: books.readDailyBooks,
            closes: past.dailyCloses,
            quotes: books.quotedPrices,
            figures: createPerformanceStats(threads),
            requestCloses: past.requestCloses,
          }),
          'transactions.import': createTransactionsImport({
            ...runs,
            imports: books.imports,
            importRuns: createImportRuns(knex),
            symbols: createAssetQueries(knex),
            closes: past.dailyCloses,
            findMarketValues: books.findMarketValues,
            updateBooks: books.update,
            transactionLimit: config.PORTFOLIO_TRANSACTION_LIMIT,
          }),
        };
      },
      maintenance: () => {
        const checkBooks = createBooksCheck({ ledgers, enqueue: books.update });
        return {
          'books.check': async () => ({ added: await checkBooks() }),
          'snapshots.check': async () => ({ stored: await snapshots.ofEndedDays() }),
        };
      },
    },
    retentions: {
      ...books.retentions,
      'snapshots.purge': { changes: () => snapshots.purge(), days: () => books.snapshots.purgeDays() },
    },
  } satisfies WorkerModule;
}
