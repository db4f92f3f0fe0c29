import type { BookedPortfolio, BookReading } from '../queries/book-reading.ts';
import { valuationOf, type Valuation, priceGiven } from './valuation.ts';
import type { QuoteReading } from '../../../domain/cached-quote.ts';
import type { Viewer } from '../../../domain/job.ts';
import type { Requester } from '../../../domain/requester.ts';
import { NotFoundError } from '../../../domain/errors.ts';
import type { createBookReader } from '../book-reader.ts';
import type { createBooksWatch, BooksWatcher } from '../books-watch.ts';

/** Reads quotes, as the quote reader of an API process does. */
export type ReadQuotes = (requested: {
  readonly currency: string;
  readonly assetIds: readonly string[];
  readonly waitMs: number;
  readonly requester?: Requester | undefined;
}) => Promise<ReadonlyMap<string, QuoteReading>>;

/** The input of a valuation. */
interface Books extends Pick<BookedPortfolio, 'assets'> {
  readonly portfolio: Pick<BookedPortfolio['portfolio'], 'baseCurrency'>;
}

/** Most assets of one portfolio for which quotes are requested; for the others only cached quotes are used. */
export const maxWanted = 1_000;

/** Builds the operations with which handlers read the values of portfolios, in an API process. */
export function createValuations({
  portfolios,
  reader,
  quotes,
  watch,
  quotesWaitMs,
  booksWaitMs,
}: {
  readonly portfolios: Pick<BookReading, 'find'>;
  readonly reader: Pick<ReturnType<typeof createBookReader>, 'current'>;
  readonly quotes: ReadQuotes;
  readonly watch: Pick<ReturnType<typeof createBooksWatch>, 'watch'>;
  /** Longest wait (ms) for quotes that are not cached. */
  readonly quotesWaitMs: number;
  /** Longest wait (ms) for books that are not current. */
  readonly booksWaitMs: number;
}) {
  return {
    /**
     * A portfolio of the viewer with its books: one statement when they are current, otherwise it waits for the update.
     * @throws {NotFoundError} (`portfolio_not_found`) it does not exist or is not the viewer's.
     * @throws {UnavailableError} the books are not current in time, or Postgres does not answer.
     */
    async books(id: string, viewer: Viewer): Promise<BookedPortfolio> {
      const found = await portfolios.find(id);
      // Books are private: an admin is not their owner.
      if (found?.portfolio.userId !== viewer.userId)
        throw new NotFoundError('Portfolio not found', 'portfolio_not_found');
      const { portfolio } = found;
      if (portfolio.bookedVersion === portfolio.booksVersion) return found;
      return await reader.current(portfolio, booksWaitMs);
    },
    /**
     * The value of the holdings at the current quotes. Fresh quotes in this process cost nothing; missing ones are requested
     * together and waited for a limited time.
     */
    async value(books: Books, requester: Requester): Promise<Valuation> {
      const held = heldOf(books);
      const ask = (assetIds: readonly string[], waitMs: number) =>
        assetIds.length === 0
          ? []
          : quotes({ currency: books.portfolio.baseCurrency, assetIds, waitMs, requester });
      const [wanted, further] = await Promise.all([
        ask(held.slice(0, maxWanted), quotesWaitMs),
        ask(held.slice(maxWanted), 0),
      ]);
      return valueAt(
        books,
        [...wanted, ...further].map(([, reading]) => reading),
      );
    },
    /** The same at given quotes. */
    valueAt,
    /** Notifies of changes in the books of a portfolio, and of its deletion. Returns a function that stops this. */
    follow: (id: string, watcher: BooksWatcher): (() => void) => watch.watch(id, watcher),
  };
}

/** Ids of the assets held, in the order of the books. */
export function heldOf({ assets }: Pick<Books, 'assets'>): readonly string[] {
  return assets.filter(({ quantity }) => quantity !== 0n).map(({ assetId }) => assetId);
}

function valueAt({ assets }: Books, readings: readonly QuoteReading[]): Valuation {
  const byAsset = new Map(readings.map((reading) => [reading.assetId, reading]));
  return valuationOf(assets, (assetId) => priceGiven(byAsset.get(assetId)));
}
