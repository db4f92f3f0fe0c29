import { expect } from 'chai';
import fc from 'fast-check';
import { createAssetIndex, fold, searchable } from '../../../src/features/assets/asset-index.ts';
import { byRank, judgeList, type Asset } from '../../../src/domain/asset.ts';

function asset(id: string, symbol: string, more: Partial<Asset> = {}): Asset {
  return { id, symbol, name: id, rank: null, image: null, active: true, platformsJson: '{}', ...more };
}

const assets = [
  asset('batcat', 'btc', { name: 'batcat' }),
  asset('bitcoin', 'btc', { name: 'Bitcoin', rank: 1 }),
  asset('another-btc', 'BTC', { name: 'Another' }),
  asset('bitcoin-cash', 'bch', { name: 'Bitcoin Cash', rank: 20 }),
  asset('wrapped-bitcoin', 'wbtc', { name: 'Wrapped Bitcoin', rank: 15 }),
  asset('xaave', 'xAAVEa', { name: 'xAAVE' }),
  asset('pokemon', 'poke', { name: 'Pokémon', rank: 900 }),
  asset('gone', 'btc', { name: 'Gone', rank: 2, active: false }),
];
const index = createAssetIndex(assets.map(searchable));
const ids = (found: readonly Asset[]): string[] => found.map(({ id }) => id);

describe('the index of assets', () => {
  it('orders the assets of a symbol by rank, those without one last, ties by id, and leaves out what is gone', () => {
    for (const symbol of ['btc', 'BTC', ' Btc ']) {
      expect(ids(index.bySymbol(symbol)), symbol).to.deep.equal(['bitcoin', 'another-btc', 'batcat']);
    }
    expect(ids(index.bySymbol('XaaveA'))).to.deep.equal(['xaave']);
    expect(index.bySymbol('nothing')).to.deep.equal([]);
    expect(index.bySymbol('')).to.deep.equal([]);
  });

  it('finds by name whatever the case and the diacritics', () => {
    expect(ids(index.byName('bitcoin CASH'))).to.deep.equal(['bitcoin-cash']);
    expect(ids(index.byName('pokemon'))).to.deep.equal(['pokemon']);
    expect(ids(index.byName('POKÉMON'))).to.deep.equal(['pokemon']);
  });

  it('finds inactive assets by id, and lists them apart', () => {
    expect(index.byId('gone')).to.include({ active: false });
    expect(index.byId('Bitcoin')).to.equal(undefined);
    expect(ids(index.listed('inactive'))).to.deep.equal(['gone']);
    expect(ids(index.listed('active'))).to.deep.equal(ids(assets.slice(0, 7)));
    expect(index.size()).to.equal(7);
  });

  it('puts the very symbol first, then the very name or id, then beginnings, then the rest, each by rank', () => {
    expect(ids(index.search('BTC', 10))).to.deep.equal([
      'bitcoin',
      'another-btc',
      'batcat',
      'wrapped-bitcoin',
    ]);
    expect(ids(index.search('bitcoin', 10))).to.deep.equal(['bitcoin', 'bitcoin-cash', 'wrapped-bitcoin']);
    expect(ids(index.search('bit', 10))).to.deep.equal(['bitcoin', 'bitcoin-cash', 'wrapped-bitcoin']);
    expect(ids(index.search('ｂｉｔcoin  cash', 10))).to.deep.equal(['bitcoin-cash']);
    expect(ids(index.search('bitcoin', 2))).to.deep.equal(['bitcoin', 'bitcoin-cash']);
  });

  it('finds nothing for nothing, for what is too long, and across symbol and name', () => {
    for (const text of ['', '   ', 'x'.repeat(201), 'btc\nbitcoin', '\u0301']) {
      expect(index.search(text, 10), JSON.stringify(text)).to.deep.equal([]);
    }
  });

  it('finds what a plain walk over symbol, name and id finds', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'B', 'é', '-', ' ', '1', 'ß'), maxLength: 5 });
    const row = fc.record({ symbol: word, name: word, rank: fc.option(fc.integer({ min: 1, max: 9 })) });
    fc.assert(
      fc.property(fc.array(row, { maxLength: 20 }), word, (rows, text) => {
        const all = rows.map(({ symbol, name, rank }, n) => asset(`id-${n}`, symbol, { name, rank }));
        const found = createAssetIndex(all.map(searchable)).search(text, 100);
        const query = fold(text);
        const expected = all.filter(
          ({ id, symbol, name }) =>
            query !== '' && [id, symbol, name].some((each) => fold(each).includes(query)),
        );
        expect(ids(found).toSorted()).to.deep.equal(ids(expected).toSorted());
        const exact = found.filter(({ symbol }) => fold(symbol) === query);
        expect(found.slice(0, exact.length)).to.deep.equal(exact.toSorted(byRank));
      }),
    );
  });
});

describe('a list of assets that has arrived', () => {
  const cases: [string, Parameters<typeof judgeList>[0], string][] = [
    ['the first one', { held: 0, arrived: 3, suspect: null }, 'take'],
    ['one that lost half', { held: 10, arrived: 5, suspect: null }, 'take'],
    ['one that lost more', { held: 10, arrived: 4, suspect: null }, 'confirm'],
    ['a second one like it', { held: 100, arrived: 41, suspect: 40 }, 'take'],
    ['a second one unlike it', { held: 100, arrived: 20, suspect: 40 }, 'confirm'],
    ['an empty one', { held: 10, arrived: 0, suspect: 0 }, 'refuse'],
    ['an empty first one', { held: 0, arrived: 0, suspect: null }, 'refuse'],
  ];
  for (const [what, sizes, verdict] of cases) {
    it(`is judged: ${what}: ${verdict}`, () => expect(judgeList(sizes)).to.equal(verdict));
  }
});
