import { expect } from 'chai';
import fc from 'fast-check';
import { BookWalk, type BookMovement } from '../../../src/features/portfolios/ledger/book-walk.ts';
import { generatedRuns } from '../../support/generated-runs.ts';

/** What a new transaction (or, with id null, one that is there) moves. */
type Moves = readonly [id: string | null, moves: Readonly<Record<string, bigint>>];

const refusedOf = (history: readonly Moves[]): ReturnType<BookWalk['refused']> => {
  const walk = new BookWalk();
  for (const [transactionId, moves] of history)
    for (const [asset, moved] of Object.entries(moves)) walk.add({ transactionId, asset, moved });
  return walk.refused();
};

/** The least that is ever held of any asset. */
const minHeld = (movements: readonly BookMovement[]): bigint => {
  const held = new Map<string, bigint>();
  let least = 0n;
  for (const { asset, moved } of movements) {
    const now = (held.get(asset) ?? 0n) + moved;
    held.set(asset, now);
    if (now < least) least = now;
  }
  return least;
};

describe('new transactions', () => {
  it('are refused where what is there already would not stay covered; the earlier gets what is left', () => {
    const refused = refusedOf([
      [null, { token: 10n }],
      ['fits', { token: -3n }],
      ['too much', { token: -2n }],
      [null, { token: -6n }],
      ['fits too', { token: -1n }],
      ['nothing left', { token: -1n }],
    ]);
    expect([...refused]).to.deep.equal([
      ['too much', { asset: 'token', wanted: 2n, available: 1n }],
      ['nothing left', { asset: 'token', wanted: 1n, available: 0n }],
    ]);
  });

  it('are refused with the swap that they needed, and take nothing then', () => {
    const refused = refusedOf([
      ['buy', { fuel: 2n }],
      ['swap', { fuel: -2n, token: -1n, other: 5n }],
      ['sale', { other: -5n }],
      ['fee', { fuel: -2n }],
    ]);
    expect([...refused.keys()]).to.deep.equal(['swap', 'sale']);
  });

  it('that sold ahead of a swap that is refused are refused after all', () => {
    const history: Moves[] = [
      [null, { token: 10n }],
      ['sale', { token: -3n }],
      ['swap', { nothing: -1n, token: 3n }],
      ['late', { token: -1n }],
      [null, { token: -10n }],
    ];
    expect([...refusedOf(history).keys()]).to.have.members(['sale', 'swap', 'late']);
    // With something to swap, the same sale is covered.
    expect([...refusedOf([['buy', { nothing: 1n }], ...history]).keys()]).to.deep.equal(['late']);
  });

  it('that lean on each other deeper than it is followed are refused rather than let in', () => {
    const depth = 30;
    const names = Array.from({ length: depth + 1 }, (_, n) => `a${n}`);
    const history: Moves[] = names.map((name) => [null, { [name]: 1n }]);
    // Each gives what only the next one brings back before what is there sells it; the last has nothing to give.
    for (let n = 1; n <= depth; n++) history.push([`swap${n}`, { [`a${n}`]: -1n, [`a${n - 1}`]: 1n }]);
    history.push(['last', { missing: -1n, [`a${depth}`]: 1n }]);
    for (const name of names) history.push([null, { [name]: -1n }]);
    const refused = refusedOf(history);
    expect(refused.size).to.equal(depth + 1);
  });

  it('without a past are let in as far as holdings go at their time', () => {
    const asset = fc.constantFrom('a', 'b', 'c');
    const moves = fc.dictionary(asset, fc.bigInt({ min: -5n, max: 7n }), { maxKeys: 3 });
    fc.assert(
      fc.property(fc.array(moves, { minLength: 15, maxLength: 40 }), (all) => {
        const held = new Map<string, bigint>();
        const expected = all.flatMap((each, n) => {
          const after = Object.entries(each).map(
            ([name, moved]) => [name, (held.get(name) ?? 0n) + moved] as const,
          );
          if (after.some(([name, now]) => now < 0n && each[name]! < 0n)) return [`t${n}`];
          for (const [name, now] of after) held.set(name, now);
          return [];
        });
        expect([...refusedOf(all.map((each, n) => [`t${n}`, each])).keys()]).to.deep.equal(expected);
      }),
    );
  });

  it('that are let in always fit together with what is there', () => {
    const asset = fc.constantFrom('a', 'b', 'c');
    const change = fc.record({
      isNew: fc.boolean(),
      moves: fc.dictionary(asset, fc.bigInt({ min: -5n, max: 6n }), { maxKeys: 3 }),
    });
    fc.assert(
      fc.property(fc.array(change, { minLength: 15, maxLength: 60 }), (changes) => {
        const all = changes.flatMap(({ isNew, moves }, n) =>
          Object.entries(moves).map(([name, moved]) => ({ id: `t${n}`, isNew, asset: name, moved })),
        );
        const movementsOf = (those: typeof all): BookMovement[] =>
          those.map(({ id, asset: name, moved }) => ({ transactionId: id, asset: name, moved }));
        const refusedIn = (movements: readonly BookMovement[]) => {
          const walk = new BookWalk();
          for (const each of movements) walk.add(each);
          return walk.refused();
        };
        // Books are never negative: what would make them so is not in them.
        const unfit = refusedIn(movementsOf(all.filter(({ isNew }) => !isNew)));
        const movements = movementsOf(all.filter(({ id }) => !unfit.has(id)));
        const isOld = new Set(all.filter(({ isNew }) => !isNew).map(({ id }) => id));
        const refused = refusedIn(
          movements.map((each) => (isOld.has(each.transactionId!) ? { ...each, transactionId: null } : each)),
        );
        expect(minHeld(movements.filter(({ transactionId }) => !refused.has(transactionId!))) >= 0n).to.equal(
          true,
        );
      }),
      { numRuns: generatedRuns(500) },
    );
  });

  it('may feed each other by the ten thousands with nothing held', function () {
    const count = 50_000;
    const chain: Moves[] = Array.from({ length: count }, (_, n) => [
      `t${n}`,
      { [`a${n}`]: -1n, [`a${n + 1}`]: 1n },
    ]);
    expect(refusedOf(chain).size).to.equal(count);
    const pair: Moves[] = Array.from({ length: count }, (_, n) => [
      `t${n}`,
      n % 2 ? { a: -1n, b: 1n } : { b: -1n, a: 1n },
    ]);
    expect(refusedOf(pair).size).to.equal(count);
  });
});
