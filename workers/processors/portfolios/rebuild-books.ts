import { rebuildSteps } from '../../../jobs/portfolios.ts';
import type { LedgerQueries, BooksUpdate } from '../../../src/features/portfolios/queries/ledgers.ts';
import { BooksBusyError, BooksMovedError } from '../../../src/features/portfolios/queries/ledgers.ts';
import { messageOf, NotFoundError } from '../../../src/domain/errors.ts';
import type { Logger } from '../../../src/platform/observability/logger.ts';
import type { BookNews } from '../../../src/features/portfolios/book-channel.ts';
import type { Processor } from '../../runtime/processor.ts';
import { PutBack } from '../../runtime/requeue.ts';
import type { Replays } from '../../threads/replay-ledger.ts';
import { runForClients, type ClientRunDeps, type RunControl } from '../jobs/client-run.ts';
import { rederive } from './rebuild-projection.ts';
import { told, withTurns } from './update-books.ts';

export interface BooksRebuildDeps {
  readonly ledgers: LedgerQueries;
  readonly replays: Replays;
  readonly news: Pick<BookNews, 'publish'>;
  readonly log: Logger;
}

/** What a rebuild came to. */
interface Rebuilt {
  readonly positions: number;
  readonly postings: number;
  readonly consumptions: number;
  /** Whether what was stored before was the same; null when it was not current, so that nothing can be said. */
  readonly identical: boolean | null;
}

/** A portfolio that changes all the time gets this long (ms) until the rebuild is tried again. */
const busyMs = 500;

/** Throws the derived tables of a portfolio away and builds them anew from its transactions. */
export function createBooksRebuild(runs: ClientRunDeps, deps: BooksRebuildDeps): Processor<'books.rebuild'> {
  return ({ workKey, portfolioId }, context) =>
    runForClients(runs, { run: { workKey, total: rebuildSteps }, context }, async (control) => {
      const rebuilt = await rebuild(deps, portfolioId, control);
      await told(deps, portfolioId);
      const took = (runs.clock.now() - control.startedAt.getTime()) / 1000;
      return JSON.stringify({ ...rebuilt, took_seconds: Number(took.toFixed(3)) });
    });
}

async function rebuild(deps: BooksRebuildDeps, portfolioId: string, control: RunControl): Promise<Rebuilt> {
  try {
    const rebuilt = await withTurns(deps.ledgers, portfolioId, (update) => rebuildIn(deps, update, control));
    if (rebuilt !== undefined) return rebuilt;
  } catch (error) {
    if (error instanceof BooksBusyError || error instanceof BooksMovedError)
      throw new PutBack(messageOf(error), busyMs);
    throw error;
  }
  throw new NotFoundError('The portfolio was deleted', 'portfolio_not_found');
}

async function rebuildIn(
  { replays, log }: BooksRebuildDeps,
  update: BooksUpdate,
  { signal, progress }: RunControl,
): Promise<Rebuilt> {
  const { id, booksVersion, bookedVersion } = update.portfolio;
  const before = booksVersion === bookedVersion ? await update.digest() : undefined;
  const stale = await update.stale(true);
  await update.clear();
  const onAsset = (done: number): void => progress.reached(Math.floor((done / stale.length) * rebuildSteps));
  await rederive({ replays, signal, onAsset }, { update, stale, isFromBeginning: true });
  const { digest, ...counts } = await update.digest();
  await update.finish();
  const identical = before === undefined ? null : before.digest === digest;
  if (identical === false) log.error({ portfolio: id }, 'a rebuild came to other books than were stored');
  return { ...counts, identical };
}
