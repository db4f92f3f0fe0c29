import type { BookNews } from './book-channel.ts';
import type { Amount } from './ledger/amount.ts';
import type { Lot } from './ledger/asset-book.ts';
import type { Tally } from './ledger/asset-ledger.ts';
import type { Portfolio } from './ledger/portfolio.ts';
import { lotsOfMark } from './ledger/replay.ts';
import type { BookPages, BookReading, LotSpan, RealisedPage, RealisedQuery } from './queries/book-reading.ts';
import { messageOf, NotFoundError, UnavailableError } from '../../domain/errors.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { createBell } from '../../platform/concurrency/wake-signal.ts';
import type { Logger } from '../../platform/observability/logger.ts';

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
interface LotQuery {
  readonly assetId?: string | undefined;
  readonly offset: number;
  readonly limit: number;
}

/** A page of open lots. */
interface LotPage {
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

interface BookReaderDeps {
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

/** Marks do not have the lots that positions count: they are to be made again, by an update of the books. */
class BooksBehindError extends Error {
  override readonly name = 'BooksBehindError';
}

/**
 * Reads open lots of books that are current, in the snapshot that their standing is of. Only the assets that the page lies in
 * are read, and of long lists only the page.
 * @throws {BooksBehindError} the marks are of other books.
 * @throws {UnavailableError} Postgres does not answer.
 */
async function readLots(
  pages: Pick<BookPages, 'lots' | 'lastMarks'>,
  { portfolio, positions }: Pick<BookStanding, 'portfolio' | 'positions'>,
  { assetId, offset, limit }: LotQuery,
): Promise<LotPage> {
  const all = positions.filter((each) => assetId === undefined || each.assetId === assetId);
  const spans = spansOf(all, offset, limit);
  const { method } = portfolio;
  const lots =
    method === 'average' || method === 'uk_pool'
      ? await poolsOf(pages, portfolio, spans)
      : await pages.lots(portfolio, spans);
  if (lots.length !== spans.reduce((sum, span) => sum + span.limit, 0))
    throw new BooksBehindError(`the marks of portfolio ${portfolio.id} are of other books`);
  return { lots, total: all.reduce((sum, each) => sum + each.openLots, 0) };
}

/** What of each asset lies in the page. */
function spansOf(positions: readonly Position[], offset: number, limit: number): LotSpan[] {
  const spans: LotSpan[] = [];
  let before = 0;
  let left = limit;
  for (const { assetId, openLots } of positions) {
    const from = Math.max(0, offset - before);
    const most = Math.min(openLots - from, left);
    before += openLots;
    if (most <= 0) continue;
    left -= most;
    spans.push({ assetId, offset: from, limit: most });
  }
  return spans;
}

async function poolsOf(
  pages: Pick<BookPages, 'lastMarks'>,
  portfolio: BookStanding['portfolio'],
  spans: readonly LotSpan[],
): Promise<AssetLot[]> {
  const marks = await pages.lastMarks(
    portfolio,
    spans.map(({ assetId }) => assetId),
  );
  return spans.flatMap(({ assetId, offset, limit }) => {
    const mark = marks.get(assetId);
    if (mark === undefined) return [];
    const lots = lotsOfMark(mark, portfolio).slice(offset, offset + limit);
    return lots.map((lot) => ({ ...lot, assetId }));
  });
}
