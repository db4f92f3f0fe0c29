import type { Amount } from '../books/amount.ts';
import type { Tally } from '../books/ledger/asset-ledger.ts';
import type { Portfolio } from '../books/portfolio.ts';

/** What the books say of one asset. */
export interface Position {
  readonly assetId: string;
  /** Held now; 0 of what was given away. */
  readonly quantity: Amount;
  /** Sums over all postings, in the base currency. Cost basis of the open lots = acquired − consumed − left. */
  readonly tally: Tally;
  readonly openLots: number;
}

/** The derived state of a portfolio at one version of its books. */
export interface BookStanding {
  readonly booksVersion: number;
  /** Every asset that ever had a posting, by id. */
  readonly positions: readonly Position[];
}

/** How handlers and jobs read derived tables. */
export interface BookReader {
  /**
   * The standing of the books. When transactions have changed since they were derived, waits for the update (`waitMs` at
   * most), which it also asks for again.
   * @throws {UnavailableError} with a Retry-After when the books are not current in time, or Postgres does not answer.
   */
  standing(portfolio: Portfolio, waitMs: number): Promise<BookStanding>;
}
