/** Books that pool all holdings: the moving average, and the rules of the United Kingdom. */
import type { Amount } from './amount.ts';
import {
  divide,
  emptyLotPool,
  sumOfPools,
  type AssetBook,
  type LotMatch,
  type Lot,
  type MatchRule,
  type LotPool,
} from './asset-book.ts';
import type { DayOf } from './days.ts';
import { OverdrawnError } from './overdrawn-error.ts';
import type { Posting } from './postings.ts';

/** A book under the moving average: one pool of everything held, in which every unit has the average cost. */
export function createAverageBook(from: LotPool = emptyLotPool): AssetBook<LotPool> {
  let pool = from;
  return {
    get holding() {
      return pool.quantity;
    },
    post(posting, settled) {
      const { kind, transaction, isFee, quantity, value } = posting;
      if (kind === 'acquire' || kind === 'transfer_in') {
        pool = sumOfPools(pool, { quantity, worth: value });
        return;
      }
      if (quantity > pool.quantity) throw new OverdrawnError(posting, pool.quantity);
      const { taken, rest } = divide(pool, quantity);
      pool = rest;
      settled.push({
        kind: kind === 'transfer_out' ? 'transfer' : 'disposal',
        transaction: transaction.id,
        isFee,
        at: transaction.at,
        lot: null,
        acquiredAt: null,
        rule: 'average',
        quantity: taken.quantity,
        proceeds: value,
        basis: taken.worth,
      });
    },
    snapshot: () => ({ lots: poolLot(pool), provisional: [] }),
    state: () => pool,
  };
}

/** The pool as the only lot, or none when it is empty. */
function poolLot({ quantity, worth }: LotPool): Lot[] {
  return quantity === 0n ? [] : [{ transaction: null, acquiredAt: null, quantity, basis: worth }];
}

/** Days after a disposal whose acquisitions are matched with it. */
const reachDays = 30;

/** A disposal or transfer out whose day is not settled. */
interface Outflow {
  readonly kind: LotMatch['kind'];
  readonly transaction: string;
  readonly isFee: boolean;
  readonly at: number;
  /** What is not matched yet, with its share of the proceeds. */
  open: LotPool;
  readonly matched: LotMatch[];
}

interface Day {
  readonly day: number;
  /** First acquisition of the day, in milliseconds; null before there is one. */
  acquiredAt: number | null;
  /** Acquired on this day and not matched. */
  acquired: LotPool;
  /** Transferred in on this day. */
  movedIn: LotPool;
  readonly disposals: Outflow[];
  readonly transfers: Outflow[];
}

/** The state of a book by the rules of the United Kingdom. */
export interface UkPoolState {
  readonly pool: LotPool;
  /** Days that are not settled, the last of them not closed. */
  readonly days: readonly Day[];
  readonly holding: Amount;
}

/**
 * A book by the share-matching rules of the United Kingdom (TCGA 1992 s. 104, 105, 106A; HMRC CRYPTO22200 and following): a
 * disposal is matched with acquisitions of the same day, then with those of the 30 days after it, earliest first, then with the
 * pool. All acquisitions of a day count as one, and all its disposals too. Days are those of the portfolio's time zone.
 *
 * A day is closed when a later one starts: its acquisitions are matched with its own disposals, then with open disposals of
 * earlier days, the earliest first. (The statute gives the same result: all windows are 30 days long, so the earliest open
 * disposal that reaches an acquisition is also the one that gets it when each disposal looks for its earliest acquisition.) A
 * day is settled when 30 more days are over and nothing can reach it: the rest of its acquisitions joins the pool, the rest of
 * its disposals leaves it. So the state is the pool as of the last settled day, and the days since; the result of those days if
 * nothing more is acquired is computed on a copy, and is provisional.
 *
 * For the statute, transfers are neither acquisitions nor disposals: they join and leave the pool, and match nothing. They
 * leave last, so that what came in on that day can go out on it.
 *
 * The pool is always large enough: it holds the present holding, plus what went out and was matched with later acquisitions.
 */
export function createUkPoolBook(
  dayOf: DayOf,
  from: UkPoolState = { pool: emptyLotPool, days: [], holding: 0n },
): AssetBook<UkPoolState> {
  let { pool, holding } = from;
  let days = copyOf(from.days);

  const dayAt = (at: number, settled: LotMatch[]): Day => {
    const number = dayOf(at);
    const last = days.at(-1);
    if (last?.day === number) return last;
    if (last !== undefined) close(days);
    const over = days.filter(({ day }) => day + reachDays < number);
    for (const day of over) pool = settle(day, pool, settled);
    days = days.slice(over.length);
    const fresh: Day = {
      day: number,
      acquiredAt: null,
      acquired: emptyLotPool,
      movedIn: emptyLotPool,
      disposals: [],
      transfers: [],
    };
    days.push(fresh);
    return fresh;
  };

  return {
    get holding() {
      return holding;
    },
    post(posting, settled) {
      const goesOut = posting.kind === 'dispose' || posting.kind === 'transfer_out';
      if (goesOut && posting.quantity > holding) throw new OverdrawnError(posting, holding);
      enter(posting, dayAt(posting.transaction.at, settled));
      holding += goesOut ? -posting.quantity : posting.quantity;
    },
    snapshot() {
      const open = copyOf(days);
      const provisional: LotMatch[] = [];
      close(open);
      let rest = pool;
      for (const day of open) rest = settle(day, rest, provisional);
      return { lots: poolLot(rest), provisional };
    },
    state: () => ({ pool, days: copyOf(days), holding }),
  };
}

function enter(posting: Posting, day: Day): void {
  const { kind, transaction, isFee, quantity, value } = posting;
  const lotPool = { quantity, worth: value };
  if (kind === 'acquire') {
    day.acquired = sumOfPools(day.acquired, lotPool);
    day.acquiredAt ??= transaction.at;
  } else if (kind === 'transfer_in') {
    day.movedIn = sumOfPools(day.movedIn, lotPool);
  } else {
    const isTransfer = kind === 'transfer_out';
    (isTransfer ? day.transfers : day.disposals).push({
      kind: isTransfer ? 'transfer' : 'disposal',
      transaction: transaction.id,
      isFee,
      at: transaction.at,
      open: lotPool,
      matched: [],
    });
  }
}

/** Matches the acquisitions of the last day: with its own disposals, then with those of the 30 days before. */
function close(days: readonly Day[]): void {
  const last = days.at(-1);
  if (last === undefined) return;
  matchDay(last, last.disposals, 'same_day');
  for (const day of days) {
    if (last.acquired.quantity === 0n) return;
    if (day !== last && day.day + reachDays >= last.day) matchDay(last, day.disposals, 'thirty_days');
  }
}

function matchDay(day: Day, outflows: readonly Outflow[], rule: MatchRule): void {
  for (const outflow of outflows) {
    const quantity = least(outflow.open.quantity, day.acquired.quantity);
    if (quantity === 0n) continue;
    const { taken, rest } = divide(day.acquired, quantity);
    day.acquired = rest;
    match(outflow, taken, { rule, acquiredAt: day.acquiredAt });
  }
}

/** Moves the rest of a day into the pool and out of it. Returns the pool after that. */
function settle(day: Day, before: LotPool, settled: LotMatch[]): LotPool {
  let pool = sumOfPools(sumOfPools(before, day.movedIn), day.acquired);
  for (const outflow of [...day.disposals, ...day.transfers]) {
    if (outflow.open.quantity > 0n) {
      if (outflow.open.quantity > pool.quantity) throw new Error('the pool is too small');
      const { taken, rest } = divide(pool, outflow.open.quantity);
      pool = rest;
      match(outflow, taken, { rule: 'pool', acquiredAt: null });
    }
    settled.push(...outflow.matched);
  }
  return pool;
}

function match(outflow: Outflow, taken: LotPool, how: Pick<LotMatch, 'rule' | 'acquiredAt'>): void {
  const proceeds = divide(outflow.open, taken.quantity);
  outflow.open = proceeds.rest;
  const { kind, transaction, isFee, at } = outflow;
  outflow.matched.push({
    kind,
    transaction,
    isFee,
    at,
    lot: null,
    ...how,
    quantity: taken.quantity,
    proceeds: proceeds.taken.worth,
    basis: taken.worth,
  });
}

function least(a: Amount, b: Amount): Amount {
  return a < b ? a : b;
}

function copyOf(days: readonly Day[]): Day[] {
  const outflow = (each: Outflow): Outflow => ({ ...each, matched: [...each.matched] });
  return days.map((day) => ({
    ...day,
    disposals: day.disposals.map(outflow),
    transfers: day.transfers.map(outflow),
  }));
}
