import { expect } from 'chai';
import fc from 'fast-check';
import { admissible } from '../../../src/books/admissible.ts';
import { comparePostings, postingsOf } from '../../../src/books/postings.ts';
import { HoldingLine } from '../../../src/books/shortfalls.ts';
import type { Transaction } from '../../../src/books/transaction.ts';

const rest = { sequence: 0, value: 1n, fee: null } as const;

/** A purchase, or a sale of less than nothing. */
function moved(id: string, at: number, quantity: bigint): Transaction {
  const leg = { asset: 'coin', quantity: quantity < 0n ? -quantity : quantity };
  return quantity < 0n
    ? { ...rest, id, at, type: 'sell', received: null, given: leg }
    : { ...rest, id, at, type: 'buy', received: leg, given: null };
}

const change = fc.record({
  at: fc.integer({ min: 0, max: 20 }),
  quantity: fc.bigInt({ min: -6n, max: 6n }).filter((quantity) => quantity !== 0n),
});

describe('what a holding cannot cover', () => {
  it('is told of movements as of whole transactions', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 15 }), fc.array(change, { maxLength: 15 }), (old, fresh) => {
        const given = old.map(({ at, quantity }, n) => moved(`a${n}`, at, quantity));
        // Books are never negative: what would make them so is not in them.
        const existing = admissible([], given).admitted;
        const news = fresh.map(({ at, quantity }, n) => moved(`b${n}`, at, quantity));
        const expected = admissible(existing, news).refused;
        const postings = [...existing, ...news].flatMap(postingsOf).sort(comparePostings);
        const line = new HoldingLine();
        for (const { kind, quantity, transaction } of postings)
          line.add({
            moved: kind === 'dispose' ? -quantity : quantity,
            isFresh: transaction.id.startsWith('b'),
          });
        const told = line.shortfalls().map(({ index, available, wanted }) => {
          return { id: postings[index]!.transaction.id, available, wanted };
        });
        expect(told).to.have.deep.members(
          expected.map(({ transaction: { id }, available, wanted }) => ({ id, available, wanted })),
        );
      }),
    );
  });
});
