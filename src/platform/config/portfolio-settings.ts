import { integer } from './setting.ts';

/** Settings of portfolios. */
export const portfolioSettings = {
  PORTFOLIO_TRANSACTION_LIMIT: integer({
    default: '250000',
    min: 1,
    max: 10_000_000,
    description: 'Transactions that one portfolio may have.',
  }),
  PORTFOLIO_JOBS_PER_USER: integer({
    default: '20',
    min: 1,
    max: 10_000,
    description: 'Unfinished jobs on portfolios (performance, imports, rebuilds) that one user may have.',
  }),
} as const;
