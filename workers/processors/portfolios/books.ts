/**
 * Brings derived tables up to date with their postings. Only assets whose last checkpoint does not cover their last posting are
 * replayed, from that checkpoint on. Short updates lock the portfolio for a few milliseconds; long ones read a snapshot, and
 * are repeated when the portfolio has changed by their end, the third time with the lock, so that they end. Repeating any of it
 * gives the same result.
 */
import { rebuildSteps } from '../../../jobs/registry.ts';
import { messageOf, NotFoundError } from '../../../src/domain/errors.ts';
import type { BookChannel } from '../../../src/features/portfolios/book-channel.ts';
import type { StoredCheckpoint } from '../../../src/features/portfolios/ledger/replay.ts';
import type { KnownCheckpoints, StaleAsset } from '../../../src/features/portfolios/queries/books-writer.ts';
import {
  BooksBusyError,
  BooksChangedError,
  type BooksUpdate,
  type LedgerQueries,
  type UpdateMode,
} from '../../../src/features/portfolios/queries/ledgers.ts';
import type { Logger } from '../../../src/platform/observability/logger.ts';
import type { Processor } from '../../runtime/processor.ts';
import { Requeue } from '../../runtime/requeue.ts';
import type { Replays } from '../../threads/replay-ledger.ts';
import { type ClientRunDeps, type RunControl, runForClients } from '../jobs/client-run.ts';

/** What updates and rebuilds need. */
interface BooksUpdateDeps {
  readonly ledgers: LedgerQueries;
  readonly replays: Replays;
  readonly channel: Pick<BookChannel, 'publish'>;
  readonly log: Logger;
}

/** Another update of the portfolio gets this much time (ms) to end. */
const busyMs = 100;

/** Brings the derived tables of a portfolio up to date with its transactions. */
export function createBooksUpdate(deps: BooksUpdateDeps): Processor<'books.update'> {
  return async ({ portfolioId }, context) => {
    // Changes from here on add a job of their own.
    await context.releaseDeduplication();
    try {
      await updateBooks(deps, portfolioId, context.signal);
    } catch (error) {
      if (error instanceof BooksBusyError) throw new Requeue(messageOf(error), busyMs);
      deps.log.error(
        { portfolio: portfolioId, reason: messageOf(error) },
        'the derived tables of a portfolio could not be updated: it shows old values; retried within seconds',
      );
      throw error;
    }
    await reported(deps, portfolioId);
    return null;
  };
}

/** Announces that books are current. Waiting readers also poll, so the message may be lost. */
async function reported(
  { channel, log }: Pick<BooksUpdateDeps, 'channel' | 'log'>,
  portfolioId: string,
): Promise<void> {
  await channel.publish(portfolioId).catch((error: unknown) => {
    log.debug({ reason: messageOf(error) }, 'the update of the books could not be published');
  });
}

async function updateBooks(deps: BooksUpdateDeps, portfolioId: string, signal: AbortSignal): Promise<void> {
  const isLong =
    (await deps.ledgers.update(portfolioId, 'locked', (update) => shortly(deps, update))) === 'long';
  if (!isLong) return;
  await withRetries(deps.ledgers, portfolioId, async (update) => {
    await project({ ...deps, signal }, { update, stale: await update.stale() });
    await update.finish();
  });
}

/** Does a short update; returns `long` without doing anything when it would take longer. */
async function shortly(deps: ProjectionDeps, update: BooksUpdate): Promise<'done' | 'long'> {
  const { booksVersion, bookedVersion } = update.portfolio;
  if (booksVersion === bookedVersion) return 'done';
  const stale: readonly StaleAsset[] = await update.stale();
  if (workOf(stale) > longestLocked) return 'long';
  await project(deps, { update, stale });
  await update.finish();
  return 'done';
}

const updateModes: readonly UpdateMode[] = ['optimistic', 'optimistic', 'locked'];

/** Repeats a long update until the portfolio has not changed meanwhile. Undefined when there is no such portfolio. */
async function withRetries<T>(
  ledgers: Pick<LedgerQueries, 'update'>,
  portfolioId: string,
  work: (update: BooksUpdate) => Promise<T>,
): Promise<T | undefined> {
  for (const [attempt, mode] of updateModes.entries()) {
    try {
      return await ledgers.update(portfolioId, mode, work);
    } catch (error) {
      if (!(error instanceof BooksChangedError) || attempt === updateModes.length - 1) throw error;
    }
  }
  return undefined;
}

interface ProjectionDeps {
  readonly replays: Replays;
  /** Aborts when the work is no longer wanted; then nothing is stored. */
  readonly signal?: AbortSignal;
  /** Called with the number of assets done. */
  readonly onAsset?: (done: number) => void;
}

/** An update of more work than this reads a snapshot instead of locking the portfolio. */
const longestLocked = 2_000;
/** Characters of a checkpoint that take as long to read as replaying one posting. */
const charactersPerPosting = 200;

/** The estimated work, as a number of replayed postings. */
function workOf(stale: readonly StaleAsset[]): number {
  return stale.reduce((sum, each) => sum + workOfOne(each), 0);
}

function workOfOne({ behind, checkpointSize }: StaleAsset): number {
  return behind + Math.floor(checkpointSize / charactersPerPosting);
}

/** While one asset is written, the next one is read and replayed. */
async function project(
  deps: ProjectionDeps,
  work: {
    readonly update: BooksUpdate;
    readonly stale: readonly StaleAsset[];
    /** Replays from the first posting on, ignoring checkpoints. */
    readonly isFromBeginning?: boolean;
  },
): Promise<void> {
  const { update, stale } = work;
  const checkpoints: { asset: string; checkpoints: readonly StoredCheckpoint[]; known: KnownCheckpoints }[] =
    [];
  const gone = stale.filter(({ hasPostings }) => !hasPostings);
  const left = stale.filter(({ hasPostings }) => hasPostings);
  let next = left[0] === undefined ? undefined : await begin(deps, work, left[0]);
  for (let done = 0; next !== undefined; done++) {
    deps.signal?.throwIfAborted();
    const current: NonNullable<typeof next> = next;
    const following = left[done + 1];
    next = following === undefined ? undefined : await begin(deps, work, following);
    const replayed = await current.replayed;
    await update.write(current.asset, replayed);
    checkpoints.push({ asset: current.asset, checkpoints: replayed.checkpoints, known: current.known });
    deps.onAsset?.(done + 1);
  }
  await update.lock();
  for (const { asset } of gone) await update.drop(asset);
  for (const each of checkpoints) await update.writeCheckpoints(each.asset, each.checkpoints, each.known);
}

async function begin(deps: ProjectionDeps, work: Parameters<typeof project>[1], stale: StaleAsset) {
  const { update, isFromBeginning = false } = work;
  const { asset } = stale;
  const known = isFromBeginning ? noCheckpoints : await update.checkpointsOf(asset);
  const postings: string[] = [];
  for await (const page of update.postings(asset, known.last?.key ?? null)) postings.push(page);
  const { method, timeZone } = update.portfolio;
  const task = { asset, method, timeZone, checkpoint: known.last?.state ?? null, postings };
  const replayed = deps.replays.run(task, workOfOne(stale));
  // It may fail before it is awaited.
  replayed.catch(() => undefined);
  return { asset, known, replayed };
}

const noCheckpoints: KnownCheckpoints = { last: null, sizes: [] };

/** If a portfolio changes all the time, the rebuild is retried after this time (ms). */
const rebuildBusyMs = 500;

/** Deletes the derived tables of a portfolio and rebuilds them from its transactions. */
export function createBooksRebuild(runs: ClientRunDeps, deps: BooksUpdateDeps): Processor<'books.rebuild'> {
  return ({ workKey, portfolioId }, context) =>
    runForClients(runs, { run: { workKey, total: rebuildSteps }, context }, async (control) => {
      const rebuilt = await rebuild(deps, portfolioId, control);
      await reported(deps, portfolioId);
      const took = (runs.clock.now() - control.startedAt.getTime()) / 1000;
      return JSON.stringify({ ...rebuilt, took_seconds: Number(took.toFixed(3)) });
    });
}

async function rebuild(deps: BooksUpdateDeps, portfolioId: string, control: RunControl) {
  try {
    const rebuilt = await withRetries(deps.ledgers, portfolioId, (update) =>
      rebuildIn(deps, update, control),
    );
    if (rebuilt !== undefined) return rebuilt;
  } catch (error) {
    if (error instanceof BooksBusyError || error instanceof BooksChangedError)
      throw new Requeue(messageOf(error), rebuildBusyMs);
    throw error;
  }
  throw new NotFoundError('The portfolio was deleted', 'portfolio_not_found');
}

async function rebuildIn(
  { replays, log }: BooksUpdateDeps,
  update: BooksUpdate,
  { signal, progress }: RunControl,
) {
  const { id, booksVersion, bookedVersion } = update.portfolio;
  const before = booksVersion === bookedVersion ? await update.digest() : undefined;
  const stale = await update.stale(true);
  await update.clear();
  const onAsset = (done: number): void => progress.reached(Math.floor((done / stale.length) * rebuildSteps));
  await project({ replays, signal, onAsset }, { update, stale, isFromBeginning: true });
  const { digest, ...counts } = await update.digest();
  await update.finish();
  // Null when the stored books were not current, so that they cannot be compared.
  const identical = before === undefined ? null : before.digest === digest;
  if (identical === false)
    log.error(
      { portfolio: id },
      'a rebuild corrected the derived tables of a portfolio: the stored ones were wrong (please report it as a bug)',
    );
  return { ...counts, identical };
}

/** Portfolios per check; the next check continues after them, so that one that cannot be updated hides nothing. */
const pageSize = 200;

/**
 * Finds portfolios whose derived tables are behind and requests their updates. Most of them already have one queued, and the
 * queue drops equal ones; the others lost theirs. Returns how many were found.
 */
export function createBooksCheck({
  ledgers,
  enqueue,
}: {
  readonly ledgers: Pick<LedgerQueries, 'unbooked'>;
  /** Requests an update of the books of a portfolio. */
  readonly enqueue: (portfolioId: string) => Promise<void>;
}): () => Promise<number> {
  let after: string | undefined;
  return async () => {
    const behind = await ledgers.unbooked({ after, limit: pageSize });
    after = behind.length < pageSize ? undefined : behind.at(-1);
    await Promise.all(behind.map(enqueue));
    return behind.length;
  };
}
