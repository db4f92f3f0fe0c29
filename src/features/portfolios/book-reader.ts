import type { RealisedPage, RealisedQuery } from './queries/book-reading.ts';
import type { Amount } from './ledger/amount.ts';
import type { Lot } from './ledger/asset-book.ts';
import type { Tally } from './ledger/asset-ledger.ts';
import type { Portfolio } from './ledger/portfolio.ts';

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
  /** As it is at that version: another method or time zone are another version. */
  readonly portfolio: Portfolio;
  readonly booksVersion: number;
  /** Every asset that ever had a posting, by id. */
  readonly positions: readonly Position[];
}

/** An open lot and whose it is. */
export interface AssetLot extends Lot {
  readonly assetId: string;
}

/** Which open lots: of one asset or of all, in the order of assets and then of acquisition. */
export interface LotQuery {
  readonly assetId?: string | undefined;
  readonly offset: number;
  readonly limit: number;
}

/** A page of open lots. */
export interface LotPage {
  readonly lots: readonly AssetLot[];
  readonly total: number;
}

/** Books that are current. Whatever is asked of them is of one moment, that of their standing. */
export interface BookView {
  readonly standing: BookStanding;
  lots(query: LotQuery): Promise<LotPage>;
  realised(query: Omit<RealisedQuery, 'portfolioId'>): Promise<RealisedPage>;
}

/** How handlers and jobs read derived tables. */
export interface BookReader {
  /**
   * The standing of the books. When transactions have changed since they were derived, waits for the update (`waitMs` at
   * most), which it also asks for again.
   * @throws {NotFoundError} (`portfolio_not_found`) there is no such portfolio, or no longer.
   * @throws {UnavailableError} with a Retry-After when the books are not current in time, or Postgres does not answer.
   */
  standing(portfolio: Pick<Portfolio, 'id'>, waitMs: number): Promise<BookStanding>;
  /**
   * Waits for books that are current as `standing` does, and returns what `at` makes of them. It may be called again when they
   * were not, and holds a connection of the pool, so it reads the view and does nothing else.
   * @throws what `standing` throws.
   */
  look<T>(
    asked: { readonly portfolioId: string; readonly waitMs: number },
    at: (view: BookView) => Promise<T>,
  ): Promise<T>;
}
