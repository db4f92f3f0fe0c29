import type { TransactionChange } from './queries/transaction-changes.ts';
import type { Portfolio } from './ledger/portfolio.ts';
import { contentOf, type StoredTransaction } from './ledger/recorded-transaction.ts';

/** Where a portfolio is found. */
export function portfolioUrl(id: string): string {
  return `/api/v1/portfolios/${id}`;
}

/** A portfolio as its owner gets it. */
export function presentPortfolio(portfolio: Portfolio): Record<string, unknown> {
  return {
    id: portfolio.id,
    name: portfolio.name,
    base_currency: portfolio.baseCurrency,
    method: portfolio.method,
    time_zone: portfolio.timeZone,
    version: portfolio.version,
    created_at: portfolio.createdAt,
    updated_at: portfolio.updatedAt,
  };
}

/** A transaction as the owner of its portfolio gets it. */
export function presentTransaction(transaction: StoredTransaction): Record<string, unknown> {
  return {
    id: transaction.id,
    ...contentOf(transaction),
    version: transaction.version,
    created_at: transaction.createdAt,
    updated_at: transaction.updatedAt,
  };
}

/** A row of an audit trail. */
export function presentChange(change: TransactionChange): Record<string, unknown> {
  return {
    id: change.id,
    at: change.at,
    action: change.action,
    transaction_id: change.transactionId,
    actor_id: change.actorId,
    key_id: change.keyId,
    before: change.before,
    after: change.after,
  };
}
