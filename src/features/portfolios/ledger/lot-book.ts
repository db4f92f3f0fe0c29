/**
 * Lots that are consumed one after the other: the oldest first (FIFO), the newest first (LIFO), or the one with the highest
 * unit cost at its acquisition first, the oldest of equal ones (HIFO). Lots are replaced, never changed, so that states can
 * share them.
 */
import { oneUnit, type Amount } from './amount.ts';
import type { Posting } from './postings.ts';
import { divide, type AssetBook, type LotMatch } from './asset-book.ts';
import { OverdrawnError } from './overdrawn-error.ts';

/** A lot in its book. */
export interface BookLot {
  /** Number in the order of all acquisitions of the asset. */
  readonly number: number;
  readonly transaction: string;
  readonly at: number;
  /** Unit cost at acquisition, in units of 10^-36: HIFO sorts by it, whatever was taken since. */
  readonly unitCost: Amount;
  readonly quantity: Amount;
  readonly basis: Amount;
}

/** The state of a lot book. */
export interface LotBookState {
  readonly lots: readonly BookLot[];
  /** Number of the next lot. */
  readonly next: number;
}

/** Open lots in the order in which they are consumed. */
interface LotQueue {
  push(lot: BookLot): void;
  /** The lot to consume next. */
  peek(): BookLot | undefined;
  /** Replaces the lot to consume next with what is left of it. */
  replace(lot: BookLot): void;
  drop(): void;
  /** All lots; a queue built from them is equal to this one. */
  all(): BookLot[];
}

/** A book for one of the methods that consume lots one after the other. */
export function createLotBook(
  method: 'fifo' | 'lifo' | 'hifo',
  from: LotBookState = { lots: [], next: 0 },
): AssetBook<LotBookState> {
  const queue = queues[method](from.lots);
  let next = from.next;
  let holding = from.lots.reduce((sum, { quantity }) => sum + quantity, 0n);

  const acquire = ({ transaction, quantity, value }: Posting): void => {
    const unitCost = (value * oneUnit * oneUnit) / quantity;
    const { id, at } = transaction;
    queue.push({ number: next, transaction: id, at, unitCost, quantity, basis: value });
    next += 1;
    holding += quantity;
  };

  const consume = (posting: Posting, settled: LotMatch[]): void => {
    if (posting.quantity > holding) throw new OverdrawnError(posting, holding);
    const { kind, transaction, isFee } = posting;
    let proceeds = { quantity: posting.quantity, worth: posting.value };
    while (proceeds.quantity > 0n) {
      const lot = queue.peek();
      if (lot === undefined) throw new Error(`lots of ${posting.asset} do not add up to the holding`);
      const quantity = lot.quantity < proceeds.quantity ? lot.quantity : proceeds.quantity;
      const basis = divide({ quantity: lot.quantity, worth: lot.basis }, quantity);
      const share = divide(proceeds, quantity);
      proceeds = share.rest;
      if (quantity === lot.quantity) queue.drop();
      else queue.replace({ ...lot, quantity: basis.rest.quantity, basis: basis.rest.worth });
      settled.push({
        kind: kind === 'transfer_out' ? 'transfer' : 'disposal',
        transaction: transaction.id,
        isFee,
        at: transaction.at,
        lot: lot.transaction,
        acquiredAt: lot.at,
        rule: 'lot',
        quantity,
        proceeds: share.taken.worth,
        basis: basis.taken.worth,
      });
    }
    holding -= posting.quantity;
  };

  return {
    get holding() {
      return holding;
    },
    post(posting, settled) {
      if (posting.kind === 'acquire' || posting.kind === 'transfer_in') acquire(posting);
      else consume(posting, settled);
    },
    snapshot() {
      const lots = queue.all().sort((a, b) => a.number - b.number);
      return {
        lots: lots.map(({ transaction, at, quantity, basis }) => ({
          transaction,
          acquiredAt: at,
          quantity,
          basis,
        })),
        provisional: [],
      };
    },
    state: () => ({ lots: queue.all(), next }),
  };
}

const queues = { fifo: oldestFirst, lifo: newestFirst, hifo: dearestFirst } as const;

/** Consumed lots at the front are removed when they are most of the array. */
const minCut = 1_024;

function oldestFirst(from: readonly BookLot[]): LotQueue {
  let lots = [...from];
  let head = 0;
  return {
    push: (lot) => void lots.push(lot),
    peek: () => lots[head],
    replace: (lot) => void (lots[head] = lot),
    drop() {
      head += 1;
      if (head < minCut || head * 2 < lots.length) return;
      lots = lots.slice(head);
      head = 0;
    },
    all: () => lots.slice(head),
  };
}

function newestFirst(from: readonly BookLot[]): LotQueue {
  const lots = [...from];
  return {
    push: (lot) => void lots.push(lot),
    peek: () => lots.at(-1),
    replace: (lot) => void (lots[lots.length - 1] = lot),
    drop: () => void lots.pop(),
    all: () => [...lots],
  };
}

function isDearer(a: BookLot, b: BookLot): boolean {
  return a.unitCost > b.unitCost || (a.unitCost === b.unitCost && a.number < b.number);
}

/** A binary heap; `from` is already in heap order, or empty. */
function dearestFirst(from: readonly BookLot[]): LotQueue {
  const lots = [...from];
  return {
    push(lot) {
      lots.push(lot);
      rise(lots, lots.length - 1);
    },
    peek: () => lots[0],
    // The order depends only on the cost at acquisition, which does not change.
    replace: (lot) => void (lots[0] = lot),
    drop() {
      const last = lots.pop();
      if (last === undefined || lots.length === 0) return;
      lots[0] = last;
      sink(lots);
    },
    all: () => [...lots],
  };
}

function rise(lots: BookLot[], from: number): void {
  let place = from;
  while (place > 0) {
    const parent = (place - 1) >> 1;
    if (!swapIfDearer(lots, place, parent)) return;
    place = parent;
  }
}

function sink(lots: BookLot[]): void {
  let place = 0;
  for (;;) {
    const left = 2 * place + 1;
    const right = left + 1;
    const [a, b] = [lots[left], lots[right]];
    if (a === undefined) return;
    const child = b !== undefined && isDearer(b, a) ? right : left;
    if (!swapIfDearer(lots, child, place)) return;
    place = child;
  }
}

function swapIfDearer(lots: BookLot[], lower: number, upper: number): boolean {
  const [low, up] = [lots[lower], lots[upper]];
  if (low === undefined || up === undefined || !isDearer(low, up)) return false;
  lots[lower] = up;
  lots[upper] = low;
  return true;
}
