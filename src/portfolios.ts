import { createBookReading } from './features/portfolios/queries/book-reading.ts';
import { createExportQueries } from './features/portfolios/queries/exports.ts';
import { createImportQueries } from './features/portfolios/queries/imports.ts';
import { createPortfolioQueries } from './features/portfolios/queries/portfolios.ts';
import { createTransactionQueries } from './features/portfolios/queries/transactions.ts';
import type { AssetDirectory } from './features/assets/asset-directory.ts';
import type { Config } from './platform/config/load-config.ts';
import { createBookNews, type BookNews } from './features/portfolios/book-channel.ts';
import type { HistoryReader } from './features/history/history-reader.ts';
import type { AppDeps } from './app-deps.ts';
import { messageOf } from './domain/errors.ts';
import type { Pipeline } from './pipeline.ts';
import { createMarketValues } from './features/portfolios/valuation/market-values.ts';
import { createPortfolioDesk, type PortfolioDesk } from './features/portfolios/portfolio-service.ts';
import { createQuotedPrices } from './features/portfolios/valuation/quoted-prices.ts';
import { createBookReader } from './features/portfolios/stored-books.ts';
import { createTransactionDesk } from './features/portfolios/transactions/transaction-service.ts';
import { createWriteTurns } from './features/portfolios/transactions/write-queue.ts';
import { createBooksKick } from './features/portfolios/enqueue-books.ts';
import { buildValuations, type ValuationParts } from './valuations.ts';

/** Portfolios of the API process, wired. A composition root like the pipeline. */
export interface PortfolioParts extends Omit<ValuationParts, 'pipeline' | 'books' | 'news'> {
  readonly config: Pick<Config, 'PORTFOLIO_TRANSACTION_LIMIT' | 'READ_WAIT_MS'>;
  readonly pipeline: Pick<
    Pipeline,
    'knex' | 'clock' | 'queues' | 'store' | 'redis' | 'subscriber' | 'keys' | 'history'
  >;
  readonly assets: Pick<AssetDirectory, 'isKnown' | 'byId'>;
  readonly history: Pick<HistoryReader, 'dailyCloses'>;
}

type Ports =
  | 'portfolios'
  | 'transactions'
  | 'valuations'
  | 'valueHistories'
  | 'portfolioSnapshots'
  | 'books'
  | 'imports'
  | 'exports';

/** Builds the ports of portfolios. Nothing is waited for. */
export function buildPortfolios(parts: PortfolioParts): Pick<AppDeps, Ports> {
  const { config, log, assets, history } = parts;
  const { knex, clock, queues, store, redis, subscriber, keys } = parts.pipeline;
  const kick = createBooksKick(queues);
  // What is lost here is found by upkeep, by the versions of the books.
  const updateBooks = (portfolioId: string): void => {
    kick(portfolioId).catch((error: unknown) => {
      log.debug({ portfolioId, reason: messageOf(error) }, 'an update of books could not be queued');
    });
  };
  const news = createBookNews({ redis, subscriber, channel: keys.books });
  const takeTurn = createWriteTurns();
  const portfolios = announcingEnds(
    createPortfolioDesk({ portfolios: createPortfolioQueries(knex), takeTurn, updateBooks }),
    news,
  );
  const books = createBookReader({
    reading: createBookReading(knex),
    news,
    askForUpdate: kick,
    clock,
    log,
  });
  const quotes = createQuotedPrices({ store, log });
  const transactions = createTransactionDesk({
    portfolios,
    transactions: createTransactionQueries(knex),
    takeTurn,
    findMarketValues: createMarketValues({
      dailyCloses: (assetIds, currency, span) => history.dailyCloses(assetIds, currency, span),
      quote: async (assetId, currency) => (await quotes(currency, [assetId])).get(assetId),
      clock,
    }),
    isAsset: (id) => !assets.isKnown() || assets.byId(id) !== undefined,
    updateBooks,
    limit: config.PORTFOLIO_TRANSACTION_LIMIT,
    clock,
  });
  return {
    portfolios,
    transactions,
    books,
    imports: createImportQueries(knex),
    exports: createExportQueries(knex),
    ...buildValuations({ ...parts, books, news }),
  };
}

/** Who follows a portfolio hears at once that it is gone; lost news are made up for by looking. */
function announcingEnds(desk: PortfolioDesk, news: Pick<BookNews, 'publish'>): PortfolioDesk {
  return {
    ...desk,
    async remove(removal) {
      await desk.remove(removal);
      await news.publish(removal.id).catch(() => undefined);
    },
  };
}
