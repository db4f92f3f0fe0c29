import type { BookPages, BookReading } from './queries/book-reading.ts';
import type { BookNews } from './book-channel.ts';
import { createBell } from '../../platform/concurrency/wake-signal.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { messageOf, NotFoundError, UnavailableError } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import type { BookReader, BookStanding, BookView } from './book-reader.ts';
import { BooksBehindError, readLots } from './lot-reader.ts';

export interface BookReaderDeps {
  readonly reading: Pick<BookReading, 'standing' | 'inSnapshot'>;
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
  const board = createNewsBoard(deps.news);
  const { reading } = deps;
  return {
    standing: ({ id: portfolioId }, waitMs) =>
      untilCurrent(deps, board, { portfolioId, waitMs, look: () => currentOf(reading, portfolioId) }),
    async look({ portfolioId, waitMs }, at) {
      const { told } = await untilCurrent(deps, board, {
        portfolioId,
        waitMs,
        look: () => lookOnce(reading, portfolioId, at),
      });
      return told;
    },
  };
}

interface Wait<T> {
  readonly portfolioId: string;
  readonly waitMs: number;
  /** Undefined when the books are not current. */
  readonly look: () => Promise<T | undefined>;
}

async function untilCurrent<T>(deps: BookReaderDeps, board: NewsBoard, wait: Wait<T>): Promise<T> {
  return (await wait.look()) ?? (await waitForBooks(deps, board, wait));
}

async function waitForBooks<T>(
  { clock, log, askForUpdate }: BookReaderDeps,
  board: NewsBoard,
  { portfolioId, waitMs, look }: Wait<T>,
): Promise<T> {
  const deadline = clock.now() + waitMs;
  const bell = createBell();
  const stop = board.listen(portfolioId, bell.ring);
  try {
    // Whoever changed the transactions asked already; that may have been lost.
    await askForUpdate(portfolioId).catch((error: unknown) => {
      log.debug({ reason: messageOf(error) }, 'an update of books could not be asked for');
    });
    for (;;) {
      const found = await look();
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

async function currentOf(
  pages: Pick<BookPages, 'standing'>,
  portfolioId: string,
): Promise<BookStanding | undefined> {
  const stored = await pages.standing(portfolioId);
  if (stored === undefined) throw new NotFoundError('There is no such portfolio', 'portfolio_not_found');
  const { portfolio, booksVersion, bookedVersion, positions } = stored;
  return booksVersion === bookedVersion ? { portfolio, booksVersion, positions } : undefined;
}

/** Method, versions, marks and rows of different moments do not belong together, so all are read in one snapshot. */
async function lookOnce<T>(
  reading: Pick<BookReading, 'inSnapshot'>,
  portfolioId: string,
  at: (view: BookView) => Promise<T>,
): Promise<{ readonly told: T } | undefined> {
  try {
    return await reading.inSnapshot(async (pages) => {
      const standing = await currentOf(pages, portfolioId);
      return standing && { told: await at(viewOf(pages, standing)) };
    });
  } catch (error) {
    if (error instanceof BooksBehindError) return undefined;
    throw error;
  }
}

function viewOf(pages: BookPages, standing: BookStanding): BookView {
  return {
    standing,
    lots: (query) => readLots(pages, standing, query),
    realised: (query) => pages.realised({ ...query, portfolioId: standing.portfolio.id }),
  };
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
