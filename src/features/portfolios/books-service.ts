/**
 * What portfolios stand on in every process: their tables, the news of their books, and the prices that they are valued at. API
 * processes put their services over it (portfolio-service.ts), workers their processors (workers/processors/portfolios).
 */
import { freshness, priceOf, type QuoteReading } from '../../domain/cached-quote.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Platform } from '../../platform/platform.ts';
import type { HistoryService } from '../history/history-service.ts';
import type { QuoteStore } from '../quotes/quote-store.ts';
import { createBookNews } from './book-channel.ts';
import type { QuotedPrice, ReadQuotes } from './performance/performance-tables.ts';
import { createBookReading } from './queries/book-reading.ts';
import { createDailyBooks } from './queries/daily-books.ts';
import { createImportQueries } from './queries/imports.ts';
import { createLedgerQueries } from './queries/ledgers.ts';
import { purgePortfolios } from './queries/portfolio-purge.ts';
import { createPortfolioSnapshots } from './queries/portfolio-snapshots.ts';
import { createPortfolioQueries } from './queries/portfolios.ts';
import { createMarketValues } from './valuation/market-values.ts';

/** Daily prices of the past, of the feature that keeps them. */
export type PastCloses = Pick<HistoryService, 'dailyCloses' | 'closesBefore' | 'askForCloses'>;

/** See {@link createBooksService}. */
export type BooksService = ReturnType<typeof createBooksService>;

/** Assets whose quotes are read from the cache at once. */
const quotesBatch = 500;

/** Builds what every process has of portfolios. `store` is the fleet's cache of quotes. */
export function createBooksService(
  { knex, redis, subscriber, keys, queues, clock, log, config }: Platform,
  { store, past }: { readonly store: Pick<QuoteStore, 'readMany'>; readonly past: PastCloses },
) {
  const freshMs = config.QUOTE_FRESH_SECONDS * 1000;

  /** What is cached of assets, however old. Rejects when Redis does not answer. */
  async function cachedQuotes(
    currency: string,
    assetIds: readonly string[],
  ): Promise<ReadonlyMap<string, QuoteReading>> {
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
  }

  /** Prices of cached quotes. Without the cache there are none: statistics then end with the last stored day. */
  const quotedPrices: ReadQuotes = async (currency, assetIds) => {
    const prices = new Map<string, QuotedPrice>();
    try {
      for (const [assetId, { quote }] of await cachedQuotes(currency, assetIds)) {
        if (quote === undefined) continue;
        const price = priceOf(quote);
        if (Number.isFinite(price)) prices.set(assetId, { price, receivedAt: quote.receivedAt });
      }
    } catch (error) {
      log.warn({ reason: messageOf(error) }, 'the prices of today could not be read from the cache');
    }
    return prices;
  };

  const imports = createImportQueries(knex);
  return {
    past,
    portfolios: createPortfolioQueries(knex),
    /** The derived tables, as readers see them. */
    reading: createBookReading(knex),
    snapshots: createPortfolioSnapshots(knex),
    imports,
    /** The derived tables, as their updates see them. */
    ledgers: createLedgerQueries(knex),
    readDailyBooks: createDailyBooks(knex),
    news: createBookNews({ redis, subscriber, channel: keys.books }),
    cachedQuotes,
    quotedPrices,
    findMarketValues: createMarketValues({ dailyCloses: past.dailyCloses, quotedPrices, clock }),

    /**
     * Makes sure that a job brings the derived tables of a portfolio up to its transactions; at most one of them waits. Rejects
     * when Redis does not take it: the sweep of upkeep makes up for it.
     */
    update: (portfolioId: string): Promise<void> =>
      queues.add('books.update', { portfolioId }, { deduplication: { id: `books-${portfolioId}` } }),

    /**
     * Deletes what is left of portfolios that were deleted long ago, and uploads and results of imports that are past
     * JOB_RETENTION. Returns the number of rows.
     * @throws {UnavailableError} Postgres does not answer.
     */
    purge: async (): Promise<number> =>
      (await purgePortfolios(knex)) + (await imports.purge(config.JOB_RETENTION)),
  };
}
