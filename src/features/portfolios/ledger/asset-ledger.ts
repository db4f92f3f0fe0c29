/**
 * The postings of one asset and their results, starting from a checkpoint. Checkpoints hold the state of the book at some
 * places: inserting or removing a posting costs a replay from the checkpoint before it. Checkpoints are closer together near
 * the end (distances about double), so the replay is at most about twice as long as what follows the change, and there are only
 * some dozen checkpoints however long the ledger is.
 */
import type { CostBasisMethod } from '../../../domain/bookkeeping.ts';
import type { Amount } from './amount.ts';
import type { AssetBook, LotMatch, LotPool } from './asset-book.ts';
import type { DayOf } from './days.ts';
import { createLotBook, type LotBookState } from './lot-book.ts';
import { createAverageBook, createUkPoolBook, type UkPoolState } from './pool-books.ts';
import type { Posting } from './postings.ts';

/** State of a book, by its method. */
type BookState =
  | { readonly method: 'fifo' | 'lifo' | 'hifo'; readonly state: LotBookState }
  | { readonly method: 'average'; readonly state: LotPool }
  | { readonly method: 'uk_pool'; readonly state: UkPoolState };

/** Sums over all postings of an asset. acquired = basis of open lots + consumed + left, to the last digit. */
export interface Totals {
  /** Cost basis of everything that came in. */
  readonly acquired: Amount;
  /** Cost basis of what was disposed of. */
  readonly consumed: Amount;
  /** Cost basis of what was transferred out. */
  readonly left: Amount;
  /** Proceeds after fees. Realised P&L = proceeds − consumed. */
  readonly proceeds: Amount;
}

/** A place from which a ledger can continue. */
export interface Checkpoint {
  /** Number of postings before it. */
  readonly count: number;
  /** Number of matches that were settled before it. */
  readonly settled: number;
  /** The last posting before it; null at the start. */
  readonly last: Pick<Posting, 'transaction' | 'isFee'> | null;
  readonly tally: Totals;
  /** Null at the start. */
  readonly book: BookState | null;
}

/** Postings between two checkpoints, at the end. */
const checkpointEvery = 256;

/** The checkpoint before the first posting. */
const start: Checkpoint = {
  count: 0,
  settled: 0,
  last: null,
  tally: { acquired: 0n, consumed: 0n, left: 0n, proceeds: 0n },
  book: null,
};

/**
 * An empty ledger of an asset, or one that continues from a checkpoint of an earlier one with the same method.
 * @throws {Error} when the checkpoint was made with another method.
 */
export function createAssetLedger(
  { method, dayOf }: { readonly method: CostBasisMethod; readonly dayOf: DayOf },
  from: Checkpoint = start,
) {
  const book = openBook(method, dayOf, from.book);
  const settled: LotMatch[] = [];
  let { count, last } = from;
  const tally = { ...from.tally };
  let checkpoints: Checkpoint[] = [];

  const end = (): Checkpoint => ({
    count,
    settled: from.settled + settled.length,
    last: last && { transaction: last.transaction, isFee: last.isFee },
    tally: { ...tally },
    book: { method, state: book.state() } as BookState,
  });

  return {
    /**
     * Books postings, which come after all others in the order of the books.
     * @throws {OverdrawnError} when a holding would become negative; the postings before that one are booked then.
     */
    append(postings: readonly Posting[]): void {
      for (const posting of postings) {
        const before = settled.length;
        book.post(posting, settled);
        if (posting.kind === 'acquire' || posting.kind === 'transfer_in') tally.acquired += posting.value;
        addTo(tally, settled, before);
        count += 1;
        last = posting;
        if ((count - from.count) % checkpointEvery > 0) continue;
        checkpoints.push(end());
        const kept = new Set(thinned(checkpoints.map((checkpoint) => checkpoint.count)));
        checkpoints = checkpoints.filter((checkpoint) => kept.has(checkpoint.count));
      }
    },
    /** The result of all postings. */
    snapshot() {
      const { lots, provisional } = book.snapshot();
      const sums = { ...tally };
      addTo(sums, provisional);
      return {
        holding: book.holding,
        lots,
        /** Settled matches since the checkpoint that the ledger started at, then provisional ones. */
        lotMatches: [...settled, ...provisional],
        /** Number of provisional ones: only uk_pool has any. */
        provisional: provisional.length,
        tally: sums,
      };
    },
    /** Places to continue from, earliest first; the last one is the end. */
    checkpoints: (): readonly Checkpoint[] => [...checkpoints, end()],
  };
}

function openBook(method: CostBasisMethod, dayOf: DayOf, from: BookState | null): AssetBook {
  if (from !== null && from.method !== method)
    throw new Error(`a book by ${method} cannot go on from a state by ${from.method}`);
  if (method === 'average') return createAverageBook(from?.method === 'average' ? from.state : undefined);
  if (method === 'uk_pool')
    return createUkPoolBook(dayOf, from?.method === 'uk_pool' ? from.state : undefined);
  const isOfLots = from !== null && from.method !== 'average' && from.method !== 'uk_pool';
  return createLotBook(method, isOfLots ? from.state : undefined);
}

/** Adds matches to the sums, from a place on. */
function addTo(
  tally: { -readonly [sum in keyof Totals]: Amount },
  lotMatches: readonly LotMatch[],
  from = 0,
): void {
  for (let place = from; place < lotMatches.length; place++) {
    const lotMatch = lotMatches[place];
    if (lotMatch === undefined) return;
    const { kind, basis, proceeds } = lotMatch;
    if (kind === 'transfer') tally.left += basis;
    else tally.consumed += basis;
    tally.proceeds += proceeds;
  }
}

/** Given counts from the earliest to the last: drops those that are too close together for their distance from the end. */
export function thinned(counts: readonly number[]): number[] {
  const end = counts.at(-1) ?? 0;
  const kept: number[] = [];
  for (const count of counts.toReversed()) {
    const [middle, after] = [kept.at(-1), kept.at(-2)];
    const reach = after === undefined ? 0 : 2 * (end - after);
    if (middle !== undefined && end - count <= reach) kept.pop();
    kept.push(count);
  }
  return kept.reverse();
}
