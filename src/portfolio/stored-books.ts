import type { BookReading, StoredStanding } from '../../db/queries/book-reading.ts';
import type { Portfolio } from '../books/portfolio.ts';
import type { BookNews } from '../events/book-news.ts';
import { createBell } from '../lib/bell.ts';
import type { Clock } from '../lib/clock.ts';
import { messageOf, NotFoundError, UnavailableError } from '../lib/errors.ts';
import type { Logger } from '../lib/logger.ts';
import type { BookReader, BookStanding } from './book-reader.ts';

export interface BookReaderDeps {
  readonly reading: Pick<BookReading, 'standing'>;
  readonly news: Pick<BookNews, 'listen'>;
  /** Has the books of a portfolio updated. It may reject: the sweep of upkeep makes up for it. */
  readonly askForUpdate: (portfolioId: string) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** News may be lost; the tables are the truth and are looked at this often (ms) while somebody waits. */
const lookMs = 200;

/** Builds the {@link BookReader} over the derived tables. */
export function createBookReader(deps: BookReaderDeps): BookReader {
  const waiting = createNewsBoard(deps.news);
  return {
    async standing(portfolio, waitMs) {
      const found = await current(deps, portfolio);
      if (found !== undefined) return found;
      return await waitForBooks(deps, waiting, { portfolio, waitMs });
    },
  };
}

interface Wait {
  readonly portfolio: Portfolio;
  readonly waitMs: number;
}

async function waitForBooks(
  deps: BookReaderDeps,
  board: NewsBoard,
  { portfolio, waitMs }: Wait,
): Promise<BookStanding> {
  const { clock, log, askForUpdate } = deps;
  const deadline = clock.now() + waitMs;
  const bell = createBell();
  const stop = board.listen(portfolio.id, bell.ring);
  try {
    // Whoever changed the transactions asked already; that may have been lost.
    await askForUpdate(portfolio.id).catch((error: unknown) => {
      log.debug({ reason: messageOf(error) }, 'an update of books could not be asked for');
    });
    for (;;) {
      const found = await current(deps, portfolio);
      if (found !== undefined) return found;
      const left = deadline - clock.now();
      if (left <= 0) break;
      await bell.wait(Math.min(left, lookMs));
    }
  } finally {
    stop();
  }
  throw new UnavailableError('The books of this portfolio are still being updated', {
    code: 'books_not_current',
    retryAfterSeconds: 1,
  });
}

async function current({ reading }: BookReaderDeps, portfolio: Portfolio): Promise<BookStanding | undefined> {
  const stored: StoredStanding | undefined = await reading.standing(portfolio.id);
  if (stored === undefined) throw new NotFoundError('There is no such portfolio', 'portfolio_not_found');
  const { booksVersion, bookedVersion, positions } = stored;
  return booksVersion === bookedVersion ? { booksVersion, positions } : undefined;
}

/** One subscription for all who wait. */
interface NewsBoard {
  listen(portfolioId: string, onBooked: () => void): () => void;
}

function createNewsBoard(news: BookReaderDeps['news']): NewsBoard {
  const listeners = new Map<string, Set<() => void>>();
  news.listen((portfolioId) => {
    for (const each of listeners.get(portfolioId) ?? []) each();
  });
  return {
    listen(portfolioId, onBooked) {
      const others = listeners.get(portfolioId) ?? new Set();
      listeners.set(portfolioId, others.add(onBooked));
      return () => {
        others.delete(onBooked);
        if (others.size === 0 && listeners.get(portfolioId) === others) listeners.delete(portfolioId);
      };
    },
  };
}
