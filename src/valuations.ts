import { createBookedPortfolios } from './features/portfolios/queries/booked-portfolios.ts';
import { createDailyBooks } from './features/portfolios/queries/daily-books.ts';
import { createPortfolioSnapshots } from './features/portfolios/queries/portfolio-snapshots.ts';
import type { Config } from './platform/config/load-config.ts';
import { freshness, type QuoteReading } from './domain/cached-quote.ts';
import type { BookNews } from './features/portfolios/book-channel.ts';
import type { AppDeps } from './app-deps.ts';
import type { Logger } from './platform/observability/logger.ts';
import type { Shutdown } from './platform/observability/shutdown.ts';
import type { Pipeline } from './pipeline.ts';
import type { BookReader } from './features/portfolios/book-reader.ts';
import { createBooksWatch } from './features/portfolios/books-watch.ts';
import { createSnapshotTaker, type SnapshotTaker } from './features/portfolios/valuation/snapshot-taker.ts';
import { createValuationDesk } from './features/portfolios/valuation/valuation-service.ts';
import { createValueHistories } from './features/portfolios/valuation/value-histories.ts';

/** What portfolios are worth, wired: for API processes, and for the workers that take snapshots. A composition root like main. */
export interface ValuationParts {
  readonly config: Pick<Config, 'READ_WAIT_MS'>;
  readonly log: Logger;
  readonly shutdown: Shutdown;
  readonly pipeline: Pick<Pipeline, 'knex' | 'clock' | 'history'>;
  readonly market: Pick<AppDeps['market'], 'quotes'>;
  readonly books: BookReader;
  readonly news: Pick<BookNews, 'listen'>;
}

/** Longest wait (ms) for books that are not current. */
const booksWaitMs = 5_000;

/** The reading side, for API processes. */
export function buildValuations({
  config,
  log,
  shutdown,
  pipeline: { knex, clock, history },
  market,
  books,
  news,
}: ValuationParts): Pick<AppDeps, 'valuations' | 'valueHistories' | 'portfolioSnapshots'> {
  const portfolios = createBookedPortfolios(knex);
  const quotes: typeof market.quotes = (asked) => market.quotes(asked);
  const watch = createBooksWatch({ news, versions: (ids) => portfolios.versions(ids), log });
  shutdown.add('queues', 'watched books', () => watch.close());
  return {
    valuations: createValuationDesk({
      portfolios,
      reader: books,
      quotes,
      watch,
      quotesWaitMs: config.READ_WAIT_MS,
      booksWaitMs,
    }),
    valueHistories: createValueHistories({
      readBooks: createDailyBooks(knex),
      closes: history.dailyCloses,
      closesBefore: history.closesBefore,
      quotes,
      askFor: history.askForCloses,
      clock,
    }),
    portfolioSnapshots: createPortfolioSnapshots(knex),
  };
}

/** Assets whose quotes are read from the cache at once. */
const quotesBatch = 500;

/** What takes snapshots, for workers. */
export function buildSnapshots({
  config,
  pipeline,
}: {
  readonly config: Pick<Config, 'QUOTE_FRESH_SECONDS'>;
  readonly pipeline: Pick<Pipeline, 'knex' | 'clock' | 'store' | 'demand' | 'kick'>;
}): SnapshotTaker {
  const { knex, clock, store, demand, kick } = pipeline;
  const freshMs = config.QUOTE_FRESH_SECONDS * 1000;
  return createSnapshotTaker({
    portfolios: createBookedPortfolios(knex),
    snapshots: createPortfolioSnapshots(knex),
    async cached(currency, assetIds) {
      const readings = new Map<string, QuoteReading>();
      for (let begin = 0; begin < assetIds.length; begin += quotesBatch) {
        const stored = await store.readMany(currency, assetIds.slice(begin, begin + quotesBatch));
        const now = clock.now();
        for (const { quote } of stored) {
          if (quote === undefined) continue;
          const { assetId } = quote;
          readings.set(assetId, { assetId, state: freshness(quote, now, freshMs), quote });
        }
      }
      return readings;
    },
    async want({ currency, assetIds, requester }) {
      const urgency = 'backfill';
      const freshAfter = clock.now() - freshMs;
      const { settled } = await demand.want({ currency, assetIds, urgency, freshAfter, requester });
      const underWay = assetIds.length - settled.length;
      if (underWay > 0) await kick.quotes(currency, urgency);
      return underWay;
    },
    clock,
  });
}
