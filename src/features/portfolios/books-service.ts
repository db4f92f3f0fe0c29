/**
 * What every process needs of portfolios: their tables, the channel of their books, and the prices for valuing them. API
 * processes build their services on it (portfolio-service.ts), workers their processors (workers/processors/portfolios).
 */
import { priceOf } from '../../domain/cached-quote.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Platform } from '../../platform/platform.ts';
import type { HistoryService } from '../history/history-service.ts';
import type { QuoteService } from '../quotes/quote-service.ts';
import { createBookChannel } from './book-channel.ts';
import type { QuotedPrice, ReadQuotes } from './performance/performance-tables.ts';
import { createBookReading } from './queries/book-reading.ts';
import { createDailyBooks } from './queries/daily-books.ts';
import { createImportQueries } from './queries/imports.ts';
import { createLedgerQueries } from './queries/ledgers.ts';
import { purgePortfolios } from './queries/portfolio-purge.ts';
import { purgeChanges } from './queries/transaction-changes.ts';
import { createPortfolioSnapshots } from './queries/portfolio-snapshots.ts';
import { createPortfolioQueries } from './queries/portfolios.ts';
import { createMarketValues } from './valuation/market-values.ts';

/** Daily prices of the past, from the history feature. */
export type PastCloses = Pick<HistoryService, 'dailyCloses' | 'closesBefore' | 'requestCloses'>;

/** See {@link createBooksService}. */
export type BooksService = ReturnType<typeof createBooksService>;

/** Builds the part of portfolios that every process has. `past` provides the daily prices. */
export function createBooksService(
  { knex, redis, subscriber, keys, queues, clock, log, config }: Platform,
  { quotes, past }: { readonly quotes: Pick<QuoteService, 'cached'>; readonly past: PastCloses },
) {
  /** Prices of cached quotes. Without the cache there are none: statistics then end with the last stored day. */
  const quotedPrices: ReadQuotes = async (currency, assetIds) => {
    const prices = new Map<string, QuotedPrice>();
    try {
      for (const [assetId, { quote }] of await quotes.cached(currency, assetIds)) {
        if (quote === undefined) continue;
        const price = priceOf(quote);
        if (Number.isFinite(price)) prices.set(assetId, { price, receivedAt: quote.receivedAt });
      }
    } catch (error) {
      log.warn(
        { reason: messageOf(error) },
        'current prices could not be read from Redis: portfolio statistics end with the last stored day',
      );
    }
    return prices;
  };

  const imports = createImportQueries(knex);
  return {
    past,
    portfolios: createPortfolioQueries(knex),
    /** The derived tables, for readers. */
    reading: createBookReading(knex),
    snapshots: createPortfolioSnapshots(knex),
    imports,
    /** The derived tables, for updates. */
    ledgers: createLedgerQueries(knex),
    readDailyBooks: createDailyBooks(knex),
    channel: createBookChannel({ redis, subscriber, channel: keys.books }),
    quotedPrices,
    findMarketValues: createMarketValues({ dailyCloses: past.dailyCloses, quotedPrices, clock }),

    /**
     * Makes sure that a job brings the derived tables of a portfolio up to date with its transactions; at most one such job
     * waits. Rejects when Redis does not accept it: the periodic sweep then does it.
     */
    update: (portfolioId: string): Promise<void> =>
      queues.add('books.update', { portfolioId }, { deduplication: { id: `books-${portfolioId}` } }),

    /**
     * Deletes the remains of portfolios that were deleted long ago, and uploads and results of imports that are past
     * JOB_RETENTION. Returns the number of rows.
     * @throws {UnavailableError} Postgres does not answer.
     */
    retentions: {
      'portfolios.purge': { portfolios: () => purgePortfolios(knex) },
      'changes.purge': { transaction_changes: () => purgeChanges(knex) },
      'imports.purge': { imports: () => imports.purge(config.JOB_RETENTION) },
    },
  };
}
