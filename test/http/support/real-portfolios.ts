import type { Knex } from 'knex';
import { createBookReading } from '../../../src/features/portfolios/queries/book-reading.ts';
import { createLedgerQueries } from '../../../src/features/portfolios/queries/ledgers.ts';
import { createPortfolioQueries } from '../../../src/features/portfolios/queries/portfolios.ts';
import { createTransactionQueries } from '../../../src/features/portfolios/queries/transactions.ts';
import type { AssetDirectory } from '../../../src/features/assets/asset-directory.ts';
import type { Config } from '../../../src/platform/config/load-config.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createBookReader } from '../../../src/features/portfolios/book-reader.ts';
import { createBooksUpdate } from '../../../workers/processors/portfolios/books.ts';
import { createThreadPool } from '../../../workers/runtime/thread-pool.ts';
import { createReplays } from '../../../workers/threads/replay-ledger.ts';
import { jobContext } from '../../support/job-context.ts';
import {
  createMarketValues,
  type MarketValueDeps,
} from '../../../src/features/portfolios/valuation/market-values.ts';
import {
  createPortfolioOperations,
  type PortfolioService,
} from '../../../src/features/portfolios/portfolio-service.ts';
import {
  createTransactionOperations,
  createWriteLocks,
  type WithWriteLock,
} from '../../../src/features/portfolios/transactions/transaction-service.ts';

/** What they stand on. */
export interface RealPortfoliosRequest {
  readonly config: Pick<Config, 'PORTFOLIO_TRANSACTION_LIMIT'>;
  readonly knex: Knex;
  readonly assets: Pick<AssetDirectory, 'isKnown' | 'byId'>;
  /** Prices; none are known when absent. */
  readonly prices?: Omit<MarketValueDeps, 'clock'>;
  readonly updateBooks?: (portfolioId: string) => void;
  readonly withWriteLock?: WithWriteLock;
}

const noPrices: Omit<MarketValueDeps, 'clock'> = {
  dailyCloses: () => Promise.resolve(new Map()),
  quotedPrices: () => Promise.resolve(new Map()),
};

/** The real desks of portfolios and transactions over a database; what they would have updated is told to the test. */
export function realPortfolios({
  config,
  knex,
  assets,
  prices = noPrices,
  updateBooks = () => undefined,
  withWriteLock = createWriteLocks(),
}: RealPortfoliosRequest): Pick<PortfolioService, 'portfolios' | 'transactions' | 'books'> {
  const portfolios = createPortfolioOperations({
    portfolios: createPortfolioQueries(knex),
    withWriteLock,
    updateBooks,
  });
  const transactions = createTransactionOperations({
    portfolios,
    transactions: createTransactionQueries(knex),
    withWriteLock,
    findMarketValues: createMarketValues({ ...prices, clock: systemClock }),
    isAsset: (id) => !assets.isKnown() || assets.byId(id) !== undefined,
    updateBooks,
    limit: config.PORTFOLIO_TRANSACTION_LIMIT,
    clock: systemClock,
  });
  return {
    portfolios,
    transactions,
    books: createBookReader({
      reading: createBookReading(knex),
      channel: { listen: () => () => undefined },
      requestUpdate: updatesOf(knex),
      clock: systemClock,
      log: silentLogger(),
    }),
  };
}

/** Books are updated when somebody reads them, by what a worker does. */
function updatesOf(knex: Knex): (portfolioId: string) => Promise<void> {
  const update = createBooksUpdate({
    ledgers: createLedgerQueries(knex),
    replays: createReplays(createThreadPool(), Infinity),
    channel: { publish: () => Promise.resolve() },
    log: silentLogger(),
  });
  return async (portfolioId) => {
    await update({ portfolioId }, jobContext());
  };
}
