/**
 * The postings of one asset with what came of them, kept up to date posting by posting. Marks hold the state of the book at
 * some places: a posting that comes in between, or goes, costs a replay from the mark before it. Marks lie the closer the
 * nearer they are to the end (distances about double), so the replay is at most about twice as long as what follows the
 * change, and there are only some dozen marks however long the ledger is.
 *
 * A change is staged first and committed then, because a transaction concerns several assets, and all of them or none change.
 */
import type { Amount } from './amount.ts';
import { comparePostings, type Posting } from './postings.ts';
import type { AssetBook, Consumption, Lot } from './asset-book.ts';
import { openBook, stateOf, type BookOptions, type BookState } from './open-book.ts';
import { OverdrawnError } from './overdrawn-error.ts';

/** Sums over all postings of an asset. acquired = basis of open lots + consumed + left, to the last digit. */
export interface Tally {
  /** Cost basis of all that came in. */
  readonly acquired: Amount;
  /** Cost basis of what was disposed of. */
  readonly consumed: Amount;
  /** Cost basis of what was transferred out. */
  readonly left: Amount;
  /** Proceeds after fees. Realised P&L = proceeds − consumed. */
  readonly proceeds: Amount;
}

/** A place from which a ledger can go on. */
export interface Mark {
  /** Postings before it. */
  readonly count: number;
  /** Consumptions that were settled before it. */
  readonly settled: number;
  /** The last posting before it; null at the beginning. */
  readonly last: Pick<Posting, 'transaction' | 'isFee'> | null;
  readonly tally: Tally;
  /** Null at the beginning. */
  readonly book: BookState | null;
}

/** What an asset's postings come to. */
export interface AssetStanding {
  readonly holding: Amount;
  readonly lots: readonly Lot[];
  /** Settled consumptions since the mark that the ledger began at, then provisional ones. */
  readonly consumptions: readonly Consumption[];
  /** How many of them are provisional: only uk_pool has such. */
  readonly provisional: number;
  readonly tally: Tally;
}

/** What changes in one asset. */
export interface AssetChange {
  readonly added: readonly Posting[];
  /** Ids of transactions whose postings go. */
  readonly removed: ReadonlySet<string>;
}

/** The ledger of one asset. */
export interface AssetLedger {
  readonly holding: Amount;
  /**
   * Works out a change without making it; the function returned makes it. Nothing else may be staged in between.
   * @throws {OverdrawnError} when a holding would become negative.
   * @throws {RangeError} when it lies before the mark that the ledger began at.
   */
  stage(change: AssetChange): () => void;
  standing(): AssetStanding;
  /** Places to go on from, earliest first; the last one is the end. */
  marks(): readonly Mark[];
}

/** Postings between two marks, at the end. */
const markEvery = 256;

/** The mark before the first posting. */
const beginning: Mark = {
  count: 0,
  settled: 0,
  last: null,
  tally: { acquired: 0n, consumed: 0n, left: 0n, proceeds: 0n },
  book: null,
};

/** What came of a row of postings since a mark. */
interface Run {
  readonly from: Mark;
  book: AssetBook;
  readonly postings: Posting[];
  readonly settled: Consumption[];
  tally: Tally;
  /** Marks inside. */
  marks: Mark[];
}

/** An empty ledger of an asset, or one that goes on from a mark of an earlier one. */
export function createAssetLedger(options: BookOptions, from: Mark = beginning): AssetLedger {
  const run = begin(options, from);

  const append = (added: readonly Posting[]): (() => void) => {
    checkHoldings(added, run.book.holding);
    return () => added.forEach((posting) => book(options, run, posting));
  };

  const rewrite = (change: AssetChange, at: number): (() => void) => {
    const mark = run.marks.findLast(({ count }) => count <= at) ?? from;
    const kept = run.postings
      .slice(mark.count - from.count)
      .filter(({ transaction }) => !change.removed.has(transaction.id));
    const fresh = begin(options, mark);
    for (const posting of merge(kept, change.added)) book(options, fresh, posting);
    return () => replaceTail(run, fresh);
  };

  return {
    get holding() {
      return run.book.holding;
    },
    stage({ added, removed }) {
      const change = { added: [...added].sort(comparePostings), removed };
      const at = firstChange(run, change);
      if (at < from.count) throw new RangeError('the change lies before the beginning of this ledger');
      return at === from.count + run.postings.length ? append(change.added) : rewrite(change, at);
    },
    standing: () => standingOf(run),
    marks: () => [...run.marks, markOf(options, run)],
  };
}

function begin(options: BookOptions, from: Mark): Run {
  const opened = openBook(options, from.book ?? undefined);
  return { from, book: opened, postings: [], settled: [], tally: from.tally, marks: [] };
}

function book(options: BookOptions, run: Run, posting: Posting): void {
  const settledBefore = run.settled.length;
  run.book.post(posting, run.settled);
  run.postings.push(posting);
  const comesIn = posting.kind === 'acquire' || posting.kind === 'transfer_in';
  if (comesIn) run.tally = { ...run.tally, acquired: run.tally.acquired + posting.value };
  if (run.settled.length > settledBefore) run.tally = tallied(run.tally, run.settled.slice(settledBefore));
  if (run.postings.length % markEvery === 0) run.marks = thinned([...run.marks, markOf(options, run)]);
}

function markOf({ method }: BookOptions, run: Run): Mark {
  const last = run.postings.at(-1);
  return {
    count: run.from.count + run.postings.length,
    settled: run.from.settled + run.settled.length,
    last: last === undefined ? run.from.last : { transaction: last.transaction, isFee: last.isFee },
    tally: run.tally,
    book: stateOf(method, run.book),
  };
}

/** Drops a mark where the one before it is not twice as far from the end as the one after. */
function thinned(marks: readonly Mark[]): Mark[] {
  const end = marks.at(-1)?.count ?? 0;
  const kept: Mark[] = [];
  for (const mark of marks.toReversed()) {
    const [middle, after] = [kept.at(-1), kept.at(-2)];
    const reach = after === undefined ? 0 : 2 * (end - after.count);
    if (middle !== undefined && after !== undefined && end - mark.count <= reach) kept.pop();
    kept.push(mark);
  }
  return kept.reverse();
}

function tallied(tally: Tally, consumptions: readonly Consumption[]): Tally {
  let { consumed, left, proceeds } = tally;
  for (const each of consumptions) {
    if (each.kind === 'transfer') left += each.basis;
    else consumed += each.basis;
    proceeds += each.proceeds;
  }
  return { acquired: tally.acquired, consumed, left, proceeds };
}

function standingOf({ book: current, settled, tally }: Run): AssetStanding {
  const { lots, provisional } = current.standing();
  return {
    holding: current.holding,
    lots,
    consumptions: [...settled, ...provisional],
    provisional: provisional.length,
    tally: tallied(tally, provisional),
  };
}

/** Number of the first posting that a change touches. */
function firstChange(run: Run, { added, removed }: AssetChange): number {
  const { count, last } = run.from;
  const [first] = added;
  const removedAt =
    removed.size === 0 ? -1 : run.postings.findIndex((each) => removed.has(each.transaction.id));
  if (removed.size > 0 && removedAt === -1) return count - 1;
  const gone = removedAt === -1 ? run.postings.length : removedAt;
  if (first === undefined) return count + gone;
  if (last !== null && compareKeys(first, last) < 0) return count - 1;
  return count + Math.min(gone, placeOf(run.postings, first));
}

function compareKeys(a: Posting, b: Pick<Posting, 'transaction' | 'isFee'>): number {
  return comparePostings(a, { ...a, ...b });
}

/** Number of postings that come before one. */
function placeOf(postings: readonly Posting[], posting: Posting): number {
  let low = 0;
  let high = postings.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = postings[middle];
    if (other !== undefined && comparePostings(other, posting) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function merge(a: readonly Posting[], b: readonly Posting[]): Posting[] {
  return b.length === 0 ? [...a] : [...a, ...b].sort(comparePostings);
}

function checkHoldings(added: readonly Posting[], before: Amount): void {
  let holding = before;
  for (const posting of added) {
    const comesIn = posting.kind === 'acquire' || posting.kind === 'transfer_in';
    if (!comesIn && posting.quantity > holding) throw new OverdrawnError(posting, holding);
    holding += comesIn ? posting.quantity : -posting.quantity;
  }
}

/** Puts a run that began at a mark inside another one in place of what followed that mark. */
function replaceTail(run: Run, fresh: Run): void {
  const { count, settled } = fresh.from;
  run.postings.length = count - run.from.count;
  run.settled.length = settled - run.from.settled;
  for (const posting of fresh.postings) run.postings.push(posting);
  for (const consumption of fresh.settled) run.settled.push(consumption);
  run.tally = fresh.tally;
  run.book = fresh.book;
  run.marks = thinned([...run.marks.filter((mark) => mark.count <= count), ...fresh.marks]);
}
