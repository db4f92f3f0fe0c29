import type { Knex } from 'knex';
import { createPortfolioQueries } from '../../../db/queries/portfolios.ts';
import { createTransactionQueries } from '../../../db/queries/transactions.ts';
import type { AssetDirectory } from '../../../src/assets/asset-directory.ts';
import type { Config } from '../../../src/config/load-config.ts';
import type { AppDeps } from '../../../src/http/deps.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { createMarketValues, type MarketValueDeps } from '../../../src/portfolio/market-values.ts';
import { createPortfolioDesk } from '../../../src/portfolio/portfolio-desk.ts';
import { createTransactionDesk } from '../../../src/portfolio/transaction-desk.ts';

/** What they stand on. */
export interface RealPortfoliosRequest {
  readonly config: Pick<Config, 'PORTFOLIO_TRANSACTION_LIMIT'>;
  readonly knex: Knex;
  readonly assets: Pick<AssetDirectory, 'isKnown' | 'byId'>;
  /** Prices; none are known when absent. */
  readonly prices?: Omit<MarketValueDeps, 'clock'>;
  readonly updateBooks?: (portfolioId: string) => void;
}

const noPrices: Omit<MarketValueDeps, 'clock'> = {
  dailyCloses: () => Promise.resolve(new Map()),
  quote: () => Promise.resolve(undefined),
};

/** The real desks of portfolios and transactions over a database; what they would have updated is told to the test. */
export function realPortfolios({
  config,
  knex,
  assets,
  prices = noPrices,
  updateBooks = () => undefined,
}: RealPortfoliosRequest): Pick<AppDeps, 'portfolios' | 'transactions'> {
  const portfolios = createPortfolioDesk({ portfolios: createPortfolioQueries(knex), updateBooks });
  const transactions = createTransactionDesk({
    portfolios,
    transactions: createTransactionQueries(knex),
    findMarketValues: createMarketValues({ ...prices, clock: systemClock }),
    isAsset: (id) => !assets.isKnown() || assets.byId(id) !== undefined,
    updateBooks,
    limit: config.PORTFOLIO_TRANSACTION_LIMIT,
    clock: systemClock,
  });
  return { portfolios, transactions };
}
