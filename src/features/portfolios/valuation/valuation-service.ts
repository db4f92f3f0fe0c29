import type { BookedPortfolio, BookedPortfolios } from '../queries/booked-portfolios.ts';
import { valuationOf, type Valuation, priceGiven } from './valuation.ts';
import type { QuoteReading } from '../../../domain/cached-quote.ts';
import type { Viewer } from '../../../domain/job.ts';
import type { Requester } from '../../../domain/requester.ts';
import { NotFoundError } from '../../../domain/errors.ts';
import type { BookReader } from '../book-reader.ts';
import type { BooksWatch, BooksWatcher } from '../books-watch.ts';

/** Reads quotes: as the market reader of an API process does. */
export type ReadQuotes = (asked: {
  readonly currency: string;
  readonly assetIds: readonly string[];
  readonly waitMs: number;
  readonly requester?: Requester | undefined;
}) => Promise<ReadonlyMap<string, QuoteReading>>;

/** Where handlers find what portfolios are worth. */
export interface ValuationDesk {
  /**
   * A portfolio of the viewer, and what its books say: one statement when they are current, else the update is waited for.
   * @throws {NotFoundError} (`portfolio_not_found`) it does not exist or is not the viewer's.
   * @throws {UnavailableError} the books are not current in time, or Postgres does not answer.
   */
  books(id: string, viewer: Viewer): Promise<BookedPortfolio>;
  /**
   * What is held, at the quotes of this moment. Quotes that this process holds fresh cost nothing; what is missing is wanted,
   * all at once, and waited for a bounded time.
   */
  value(books: Books, requester: Requester): Promise<Valuation>;
  /** The same at quotes that are given. */
  valueAt(books: Books, readings: readonly QuoteReading[]): Valuation;
  /** Tells of changes in the books of a portfolio, and of its end. Returns how to stop. */
  follow(id: string, watcher: BooksWatcher): () => void;
}

/** What a valuation is made of. */
export interface Books extends Pick<BookedPortfolio, 'assets'> {
  readonly portfolio: Pick<BookedPortfolio['portfolio'], 'baseCurrency'>;
}

interface DeskDeps {
  readonly portfolios: Pick<BookedPortfolios, 'find'>;
  readonly reader: Pick<BookReader, 'standing'>;
  readonly quotes: ReadQuotes;
  readonly watch: BooksWatch;
  /** Longest wait (ms) for quotes that are not cached. */
  readonly quotesWaitMs: number;
  /** Longest wait (ms) for books that are not current. */
  readonly booksWaitMs: number;
}

/** Assets of one portfolio that quotes are wanted of; of those beyond it, what is cached counts. */
export const mostWanted = 1_000;

/** Builds the {@link ValuationDesk} of an API process. */
export function createValuationDesk(deps: DeskDeps): ValuationDesk {
  return {
    async books(id, viewer) {
      const found = await deps.portfolios.find(id);
      // Books are private: an admin is not their owner.
      if (found?.portfolio.userId !== viewer.userId)
        throw new NotFoundError(
          'There is no such portfolio, or it is somebody else’s',
          'portfolio_not_found',
        );
      const { portfolio } = found;
      if (portfolio.bookedVersion === portfolio.booksVersion) return found;
      const standing = await deps.reader.standing(portfolio, deps.booksWaitMs);
      return { portfolio: standing.portfolio, assets: standing.positions };
    },
    async value(books, requester) {
      const held = heldOf(books);
      const ask = (assetIds: readonly string[], waitMs: number) =>
        assetIds.length === 0
          ? []
          : deps.quotes({ currency: books.portfolio.baseCurrency, assetIds, waitMs, requester });
      const [wanted, further] = await Promise.all([
        ask(held.slice(0, mostWanted), deps.quotesWaitMs),
        ask(held.slice(mostWanted), 0),
      ]);
      return valueAt(
        books,
        [...wanted, ...further].map(([, reading]) => reading),
      );
    },
    valueAt,
    follow: (id, watcher) => deps.watch.watch(id, watcher),
  };
}

/** Ids of what is held, in the order of the books. */
export function heldOf({ assets }: Pick<Books, 'assets'>): readonly string[] {
  return assets.filter(({ quantity }) => quantity !== 0n).map(({ assetId }) => assetId);
}

function valueAt({ assets }: Books, readings: readonly QuoteReading[]): Valuation {
  const byAsset = new Map(readings.map((reading) => [reading.assetId, reading]));
  return valuationOf(assets, (assetId) => priceGiven(byAsset.get(assetId)));
}
