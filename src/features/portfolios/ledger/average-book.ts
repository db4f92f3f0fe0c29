/** One pool of all that is held: every unit has the average cost (moving average). */
import type { Posting } from './postings.ts';
import { divide, emptyPile, heap, type AssetBook, type Consumption, type Pile } from './asset-book.ts';
import { OverdrawnError } from './overdrawn-error.ts';

/** A book under the moving average. */
export function createAverageBook(from: Pile = emptyPile): AssetBook<Pile> {
  let pool = from;
  return {
    get holding() {
      return pool.quantity;
    },
    post(posting, settled) {
      if (posting.kind === 'acquire' || posting.kind === 'transfer_in') {
        pool = heap(pool, { quantity: posting.quantity, worth: posting.value });
        return;
      }
      if (posting.quantity > pool.quantity) throw new OverdrawnError(posting, pool.quantity);
      const { taken, rest } = divide(pool, posting.quantity);
      pool = rest;
      settled.push(consumptionOf(posting, taken));
    },
    standing: () => ({ lots: poolLot(pool), provisional: [] }),
    state: () => pool,
  };
}

/** The pool as the only lot there is, or none when it is empty. */
export function poolLot({
  quantity,
  worth,
}: Pile): { transaction: null; acquiredAt: null; quantity: bigint; basis: bigint }[] {
  return quantity === 0n ? [] : [{ transaction: null, acquiredAt: null, quantity, basis: worth }];
}

function consumptionOf({ transaction, kind, isFee, value }: Posting, taken: Pile): Consumption {
  return {
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
  };
}
