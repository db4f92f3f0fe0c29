import { integer } from './setting.ts';

/** Settings of portfolios. */
export const portfolioSettings = {
  PORTFOLIO_TRANSACTION_LIMIT: integer({
    default: '250000',
    min: 1,
    max: 10_000_000,
    description: 'Transactions that one portfolio may have.',
  }),
} as const;
