import type { Transaction } from '../../src/books/transaction.ts';

/** Transactions of portfolios in Postgres. */
export interface TransactionQueries {
  /**
   * All transactions of a portfolio as the books count them, in their order, some thousand at a time, from one snapshot of
   * the database.
   */
  inOrder(portfolioId: string): AsyncIterable<readonly Transaction[]>;
}
