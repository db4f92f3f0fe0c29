import type { Portfolio } from '../ledger/portfolio.ts';
import type { PortfolioRow } from '../../../../db/models/portfolio.ts';

/** A row as the rest of the program knows it. */
export function toPortfolio(row: PortfolioRow): Portfolio {
  return {
    id: row.id,
    userId: row.user_id,
    name: row.name,
    baseCurrency: row.base_currency,
    method: row.method,
    timeZone: row.time_zone,
    version: row.version,
    booksVersion: row.books_version,
    bookedVersion: row.booked_version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
