/** Methods to choose which lots a disposal consumes. */
export const costBasisMethods = ['fifo', 'lifo', 'hifo', 'average', 'uk_pool'] as const;
export type CostBasisMethod = (typeof costBasisMethods)[number];

/**
 * Kinds of transactions. Their fields and meaning are described at `Transaction`
 * (features/portfolios/ledger/transaction.ts).
 */
export const transactionTypes = [
  'buy',
  'sell',
  'swap',
  'transfer_in',
  'transfer_out',
  'reward',
  'fee',
] as const;
export type TransactionType = (typeof transactionTypes)[number];
