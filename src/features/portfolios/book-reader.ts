/** How handlers and jobs read derived tables: only when these match the current transactions. */
import { messageOf, NotFoundError, UnavailableError } from '../../domain/errors.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { createWakeSignal } from '../../platform/concurrency/wake-signal.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import type { BookChannel } from './book-channel.ts';
import type { Portfolio } from './ledger/portfolio.ts';
import { lotsOfCheckpoint } from './ledger/replay.ts';
import type {
  AssetLot,
  BookedPortfolio,
  BookPages,
  BookReading,
  LotSpan,
  Position,
  RealisedQuery,
} from './queries/book-reading.ts';

/** Books that are current. All reads of a view see the same point in time. */
export type BookView = ReturnType<typeof viewOf>;

/** Messages may be lost, so while somebody waits the tables are polled this often (ms). */
const pollIntervalMs = 200;

/** Builds the reader of derived tables. */
export function createBookReader({
  reading,
  channel,
  requestUpdate,
  clock,
  log,
}: {
  readonly reading: Pick<BookReading, 'find' | 'inSnapshot'>;
  readonly channel: Pick<BookChannel, 'listen'>;
  /** Requests an update of a portfolio's books. It may reject: the periodic sweep then does it. */
  readonly requestUpdate: (portfolioId: string) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}) {
  // One subscription for all waiting readers.
  const waiting = new Map<string, Set<() => void>>();
  channel.listen((portfolioId) => {
    for (const wake of waiting.get(portfolioId) ?? []) wake();
  });

  /** Repeats `read` until it returns a value: undefined means that the books are not current. */
  async function untilCurrent<T>(
    { portfolioId, waitMs }: { readonly portfolioId: string; readonly waitMs: number },
    read: () => Promise<T | undefined>,
  ): Promise<T> {
    const first = await read();
    if (first !== undefined) return first;
    const deadline = clock.now() + waitMs;
    const wakeSignal = createWakeSignal();
    const others = waiting.get(portfolioId) ?? new Set();
    waiting.set(portfolioId, others.add(wakeSignal.wake));
    try {
      // The writer of the transactions has already asked for this, but the request may have been lost.
      await requestUpdate(portfolioId).catch((error: unknown) => {
        log.debug({ reason: messageOf(error) }, 'an update of the books could not be requested');
      });
      for (;;) {
        const found = await read();
        if (found !== undefined) return found;
        const left = deadline - clock.now();
        if (left <= 0) break;
        await wakeSignal.wait(Math.min(left, pollIntervalMs));
      }
    } finally {
      others.delete(wakeSignal.wake);
      if (others.size === 0 && waiting.get(portfolioId) === others) waiting.delete(portfolioId);
    }
    throw new UnavailableError('The books of this portfolio are still being updated', {
      code: 'books_not_current',
      retryAfterSeconds: 1,
    });
  }

  return {
    /**
     * The current figures of the books. When transactions have changed since they were derived, waits for the update (`waitMs`
     * at most) and requests it again.
     * @throws {NotFoundError} (`portfolio_not_found`) there is no such portfolio, or no longer.
     * @throws {UnavailableError} with a Retry-After when the books are not current in time, or Postgres does not answer.
     */
    current: ({ id: portfolioId }: Pick<Portfolio, 'id'>, waitMs: number): Promise<BookedPortfolio> =>
      untilCurrent({ portfolioId, waitMs }, () => currentOf(reading, portfolioId)),

    /**
     * Waits for current books as `current` does, and returns the result of `at`. It may be called again when the books were
     * not current, and holds a connection of the pool, so it must only read the view. Method, versions, checkpoints and rows of
     * different times do not match, so all are read in one snapshot.
     * @throws what `current` throws.
     */
    async read<T>(
      requested: { readonly portfolioId: string; readonly waitMs: number },
      at: (view: BookView) => Promise<T>,
    ): Promise<T> {
      const { reported } = await untilCurrent(requested, async () => {
        try {
          return await reading.inSnapshot(async (pages) => {
            const current = await currentOf(pages, requested.portfolioId);
            return current && { reported: await at(viewOf(pages, current)) };
          });
        } catch (error) {
          if (error instanceof BooksBehindError) return undefined;
          throw error;
        }
      });
      return reported;
    },
  };
}

async function currentOf(
  pages: Pick<BookPages, 'find'>,
  portfolioId: string,
): Promise<BookedPortfolio | undefined> {
  const found = await pages.find(portfolioId);
  if (found === undefined) throw new NotFoundError('Portfolio not found', 'portfolio_not_found');
  return found.portfolio.booksVersion === found.portfolio.bookedVersion ? found : undefined;
}

function viewOf(pages: BookPages, current: BookedPortfolio) {
  return {
    current,
    /** A page of the open lots of one asset or of all, in the order of assets and then of acquisition. */
    lots: (query: {
      readonly assetId?: string | undefined;
      readonly offset: number;
      readonly limit: number;
    }) => readLots(pages, current, query),
    realised: (query: Omit<RealisedQuery, 'portfolioId'>) =>
      pages.realised({ ...query, portfolioId: current.portfolio.id }),
  };
}

/** The checkpoints do not have the lots that positions count: an update of the books must rebuild them. */
class BooksBehindError extends Error {
  override readonly name = 'BooksBehindError';
}

/**
 * Reads open lots of current books, in the same snapshot as their figures. Only the assets on the page are read, and of long
 * lists only the page.
 * @throws {BooksBehindError} the checkpoints belong to another version of the books.
 * @throws {UnavailableError} Postgres does not answer.
 */
async function readLots(
  pages: Pick<BookPages, 'lots' | 'lastCheckpoints'>,
  { portfolio, assets }: BookedPortfolio,
  { assetId, offset, limit }: Parameters<BookView['lots']>[0],
): Promise<{ readonly lots: readonly AssetLot[]; readonly total: number }> {
  const all = assets.filter((each) => assetId === undefined || each.assetId === assetId);
  const spans = spansOf(all, offset, limit);
  const { method } = portfolio;
  const lots =
    method === 'average' || method === 'uk_pool'
      ? await poolsOf(pages, portfolio, spans)
      : await pages.lots(portfolio, spans);
  if (lots.length !== spans.reduce((sum, span) => sum + span.limit, 0))
    throw new BooksBehindError(
      `the checkpoints of portfolio ${portfolio.id} belong to another version of its books`,
    );
  return { lots, total: all.reduce((sum, each) => sum + each.openLots, 0) };
}

/** The part of each asset's lots that is on the page. */
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
  pages: Pick<BookPages, 'lastCheckpoints'>,
  portfolio: Portfolio,
  spans: readonly LotSpan[],
): Promise<AssetLot[]> {
  const checkpoints = await pages.lastCheckpoints(
    portfolio,
    spans.map(({ assetId }) => assetId),
  );
  return spans.flatMap(({ assetId, offset, limit }) => {
    const checkpoint = checkpoints.get(assetId);
    if (checkpoint === undefined) return [];
    const lots = lotsOfCheckpoint(checkpoint, portfolio).slice(offset, offset + limit);
    return lots.map((lot) => ({ ...lot, assetId }));
  });
}
