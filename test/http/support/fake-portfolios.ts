import type { PortfolioService } from '../../../src/features/portfolios/portfolio-service.ts';
import { NotFoundError } from '../../../src/domain/errors.ts';

const none = (): Promise<never> =>
  Promise.reject(new NotFoundError('Portfolio not found', 'portfolio_not_found'));

// eslint-disable-next-line @typescript-eslint/require-await
async function* nothing(): AsyncGenerator<never> {
  yield* [];
}

/** Nobody has a portfolio where a test brings none. */
export const fakePortfolios: Pick<
  PortfolioService,
  'portfolios' | 'transactions' | 'books' | 'imports' | 'exports'
> = {
  portfolios: {
    get: none,
    create: none,
    page: () => Promise.resolve({ portfolios: [], total: 0 }),
    change: none,
    remove: none,
  },
  books: { current: none, read: none },
  imports: {
    open: none,
    addChunk: none,
    complete: none,
    discard: none,
    find: none,
    list: () => Promise.resolve({ imports: [], total: 0 }),
  },
  exports: { transactions: nothing, gains: nothing },
  transactions: { create: none, get: none, page: none, replace: none, remove: none, changes: none },
};
