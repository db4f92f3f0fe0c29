import type { PortfolioService } from '../../../src/features/portfolios/portfolio-service.ts';
import { NotFoundError } from '../../../src/domain/errors.ts';

const none = (): Promise<never> =>
  Promise.reject(new NotFoundError('Portfolio not found', 'portfolio_not_found'));

/** Nothing has a value where a test brings no portfolios. */
export const fakeValuations: Pick<PortfolioService, 'valuations' | 'valueHistory' | 'portfolioSnapshots'> = {
  valuations: {
    books: none,
    value: none,
    valueAt: () => {
      throw new Error('values are no part of this test');
    },
    follow: () => () => undefined,
  },
  valueHistory: { daily: none },
  portfolioSnapshots: { list: () => Promise.resolve([]) },
};
