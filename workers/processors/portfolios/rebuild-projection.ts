/** Replays assets and stores what came of it, inside an update of derived tables. */
import type { KnownMarks, StaleAsset } from '../../../src/features/portfolios/queries/books-writer.ts';
import type { BooksUpdate } from '../../../src/features/portfolios/queries/ledgers.ts';
import type { Replayed, StoredMark } from '../../../src/features/portfolios/ledger/replay.ts';
import type { Replays } from '../../threads/replay-ledger.ts';

export interface RederiveDeps {
  readonly replays: Replays;
  /** Aborts when the work is not wanted any more; then nothing is stored. */
  readonly signal?: AbortSignal;
  /** Told how many assets are done. */
  readonly onAsset?: (done: number) => void;
}

/** What is to be done. */
interface Rederivation {
  readonly update: BooksUpdate;
  readonly stale: readonly StaleAsset[];
  /** Replays from the first posting on, whatever marks there are. */
  readonly isFromBeginning?: boolean;
}

/** An update of more work than this reads a snapshot instead of locking the portfolio. */
export const longestLocked = 2_000;
/** Characters of a mark that take as long to read as a posting to replay. */
const charactersPerPosting = 200;

/** How many postings replaying takes about as long as. */
export function workOf(stale: readonly StaleAsset[]): number {
  return stale.reduce((sum, each) => sum + workOfOne(each), 0);
}

function workOfOne({ behind, markSize }: StaleAsset): number {
  return behind + Math.floor(markSize / charactersPerPosting);
}

interface Under {
  readonly asset: string;
  readonly known: KnownMarks;
  readonly replayed: Promise<Replayed>;
}

/** While one asset is written, the next one is read and replayed. */
export async function rederive(deps: RederiveDeps, work: Rederivation): Promise<void> {
  const { update, stale } = work;
  const marks: { asset: string; marks: readonly StoredMark[]; known: KnownMarks }[] = [];
  const gone = stale.filter(({ hasPostings }) => !hasPostings);
  const left = stale.filter(({ hasPostings }) => hasPostings);
  let next = left[0] === undefined ? undefined : await begin(deps, work, left[0]);
  for (let done = 0; next !== undefined; done++) {
    deps.signal?.throwIfAborted();
    const current: Under = next;
    const following = left[done + 1];
    next = following === undefined ? undefined : await begin(deps, work, following);
    const replayed = await current.replayed;
    await update.write(current.asset, replayed);
    marks.push({ asset: current.asset, marks: replayed.marks, known: current.known });
    deps.onAsset?.(done + 1);
  }
  await update.lock();
  for (const { asset } of gone) await update.drop(asset);
  for (const each of marks) await update.writeMarks(each.asset, each.marks, each.known);
}

async function begin(deps: RederiveDeps, work: Rederivation, stale: StaleAsset): Promise<Under> {
  const { update, isFromBeginning = false } = work;
  const { asset } = stale;
  const known = isFromBeginning ? noMarks : await update.marksOf(asset);
  const postings: string[] = [];
  for await (const page of update.postings(asset, known.last?.key ?? null)) postings.push(page);
  const { method, timeZone } = update.portfolio;
  const task = { asset, method, timeZone, mark: known.last?.state ?? null, postings };
  const replayed = deps.replays.run(task, workOfOne(stale));
  // It may fail before anybody waits for it.
  replayed.catch(() => undefined);
  return { asset, known, replayed };
}

const noMarks: KnownMarks = { last: null, sizes: [] };
