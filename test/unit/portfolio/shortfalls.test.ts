import { expect } from 'chai';
import fc from 'fast-check';
import { BookWalk } from '../../../src/books/book-walk.ts';
import { HoldingLine } from '../../../src/books/shortfalls.ts';

const change = fc.record({
  isNew: fc.boolean(),
  moved: fc.bigInt({ min: -6n, max: 6n }).filter((moved) => moved !== 0n),
});

describe('what a holding cannot cover', () => {
  it('is told of the movements of one asset as of whole books', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), (given) => {
        let held = 0n;
        // Books are never negative: what would make them so is not in them.
        const changes = given.filter(({ isNew, moved }) => {
          if (isNew) return true;
          if (held + moved < 0n) return false;
          held += moved;
          return true;
        });
        const [walk, line] = [new BookWalk(), new HoldingLine()];
        for (const [index, { isNew, moved }] of changes.entries()) {
          walk.add({ transactionId: isNew ? String(index) : null, asset: 'coin', moved });
          line.add({ moved, isFresh: isNew });
        }
        const told = line.shortfalls().map(({ index, wanted, available }) => {
          return [String(index), { asset: 'coin', wanted, available }];
        });
        expect(told).to.deep.equal([...walk.refused()]);
      }),
    );
  });
});
