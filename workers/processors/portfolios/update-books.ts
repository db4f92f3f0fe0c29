/**
 * Brings derived tables up to their postings. Only assets whose last mark does not cover their last posting are replayed, from
 * that mark on. Short updates lock the portfolio for their few milliseconds; long ones read a snapshot, and are done again
 * when the portfolio has changed by their end, the third time with the lock, so that they end. Doing any of it twice gives
 * the same.
 */
import {
  BooksBusyError,
  BooksMovedError,
  type BooksUpdate,
  type LedgerQueries,
  type UpdateMode,
} from '../../../src/features/portfolios/queries/ledgers.ts';
import type { StaleAsset } from '../../../src/features/portfolios/queries/books-writer.ts';
import type { BookNews } from '../../../src/features/portfolios/book-channel.ts';
import { messageOf } from '../../../src/domain/errors.ts';
import type { Logger } from '../../../src/platform/observability/logger.ts';
import type { Processor } from '../../runtime/processor.ts';
import { PutBack } from '../../runtime/requeue.ts';
import type { Replays } from '../../threads/replay-ledger.ts';
import { longestLocked, rederive, workOf, type RederiveDeps } from './rebuild-projection.ts';

export interface BooksUpdateDeps {
  readonly ledgers: LedgerQueries;
  readonly replays: Replays;
  readonly news: Pick<BookNews, 'publish'>;
  readonly log: Logger;
}

/** Another update of the portfolio gets this long (ms) to end. */
const busyMs = 100;

/** Brings the derived tables of a portfolio up to its transactions. */
export function createBooksUpdate(deps: BooksUpdateDeps): Processor<'books.update'> {
  return async ({ portfolioId }, context) => {
    // What changes from here on adds a job of its own.
    await context.releaseDeduplication();
    try {
      await updateBooks(deps, portfolioId, context.signal);
    } catch (error) {
      if (error instanceof BooksBusyError) throw new PutBack(messageOf(error), busyMs);
      deps.log.error(
        { portfolio: portfolioId, reason: messageOf(error) },
        'the books of a portfolio could not be updated',
      );
      throw error;
    }
    await told(deps, portfolioId);
    return null;
  };
}

/** Says that books are current. Whoever waits looks too, so that it may be lost. */
export async function told(
  { news, log }: Pick<BooksUpdateDeps, 'news' | 'log'>,
  portfolioId: string,
): Promise<void> {
  await news.publish(portfolioId).catch((error: unknown) => {
    log.debug({ reason: messageOf(error) }, 'that books are current was not told');
  });
}

async function updateBooks(deps: BooksUpdateDeps, portfolioId: string, signal: AbortSignal): Promise<void> {
  const isLong =
    (await deps.ledgers.update(portfolioId, 'locked', (update) => shortly(deps, update))) === 'long';
  if (!isLong) return;
  await withTurns(deps.ledgers, portfolioId, async (update) => {
    await rederive({ ...deps, signal }, { update, stale: await update.stale() });
    await update.finish();
  });
}

/** Updates what takes a moment; `long` when it would take longer, and then nothing was done. */
async function shortly(deps: RederiveDeps, update: BooksUpdate): Promise<'done' | 'long'> {
  const { booksVersion, bookedVersion } = update.portfolio;
  if (booksVersion === bookedVersion) return 'done';
  const stale: readonly StaleAsset[] = await update.stale();
  if (workOf(stale) > longestLocked) return 'long';
  await rederive(deps, { update, stale });
  await update.finish();
  return 'done';
}

const turns: readonly UpdateMode[] = ['optimistic', 'optimistic', 'locked'];

/** Runs a long update until the portfolio has not changed meanwhile. Undefined when there is no such portfolio. */
export async function withTurns<T>(
  ledgers: Pick<LedgerQueries, 'update'>,
  portfolioId: string,
  work: (update: BooksUpdate) => Promise<T>,
): Promise<T | undefined> {
  for (const [turn, mode] of turns.entries()) {
    try {
      return await ledgers.update(portfolioId, mode, work);
    } catch (error) {
      if (!(error instanceof BooksMovedError) || turn === turns.length - 1) throw error;
    }
  }
  return undefined;
}
