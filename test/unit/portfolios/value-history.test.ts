import { expect } from 'chai';
import { formatAmount, parseAmount, type Amount } from '../../../src/features/portfolios/ledger/amount.ts';
import { HistorySums, type AssetHistory } from '../../../src/features/portfolios/valuation/value-history.ts';

const amount = (text: string): Amount => parseAmount(text)!;
const byDay = <T>(entries: Readonly<Record<number, T>>) => ({
  days: Object.keys(entries).map(Number),
  values: Object.values(entries),
});
const changes = (entries: Readonly<Record<number, string>>) => {
  const { days, values } = byDay(entries);
  return { days, values: values.map(amount) };
};

const asset = (different: Partial<AssetHistory>): AssetHistory => ({
  assetId: 'bitcoin',
  changes: byDay({}),
  prices: byDay({}),
  priceBefore: undefined,
  transfers: [],
  ...different,
});

function sums(...assets: AssetHistory[]) {
  const all = new HistorySums({ firstDay: 100, days: 5 });
  for (const each of assets) all.addAsset(each);
  const { points, ...rest } = all.history();
  return {
    ...rest,
    points,
    values: points.map(({ value }) => (value === null ? null : formatAmount(value))),
  };
}

describe('HistorySums', () => {
  it('values what is held at the end of each day at the price of that day, exactly', () => {
    const found = sums(
      asset({
        changes: changes({ 99: '0.1', 101: '0.2', 103: '-0.3' }),
        prices: byDay({ 100: 0.1, 101: 0.2, 102: 0.3, 103: 0.4, 104: 0.5 }),
      }),
    );
    expect(found.values).to.deep.equal(['0.01', '0.06', '0.09', '0', '0']);
    expect([found.carriedDays, found.unknownDays, found.gaps]).to.deep.equal([0, 0, []]);
  });

  it('carries the last price forward, counts those days, and knows none before the first price', () => {
    const found = sums(
      asset({ assetId: 'a', changes: changes({ 100: '1' }), prices: byDay({ 101: 7 }) }),
      asset({ assetId: 'b', changes: changes({ 102: '2' }), priceBefore: 3, prices: byDay({ 103: 4 }) }),
    );
    expect(found.values).to.deep.equal([null, '7', '13', '15', '15']);
    expect(found.points.map(({ carried }) => carried)).to.deep.equal([0, 0, 2, 1, 2]);
    expect([found.carriedDays, found.unknownDays]).to.deep.equal([3, 1]);
    expect(found.gaps).to.deep.equal([
      { assetId: 'a', carried: 3, unpriced: 1 },
      { assetId: 'b', carried: 2, unpriced: 0 },
    ]);
  });

  it('takes transfers as flows at the price of their day, with their fees', () => {
    const transfers = (direction: 'in' | 'out', quantity: string, day: number) => ({
      direction,
      ...changes({ [day]: quantity }),
      fees: [amount('1')],
      counts: [2],
    });
    const found = sums(
      asset({
        changes: changes({ 101: '5', 103: '-2' }),
        prices: byDay({ 101: 10, 102: 20 }),
        transfers: [
          transfers('in', '5', 101),
          transfers('out', '2', 103),
          transfers('in', '9', 100),
          // Its fee is more than its worth: what is left over was paid in.
          transfers('out', '0.01', 102),
        ],
      }),
    );
    expect(found.points.map(({ inflow }) => formatAmount(inflow))).to.deep.equal([
      '0',
      '51',
      '0.8',
      '0',
      '0',
    ]);
    expect(found.points.map(({ outflow }) => formatAmount(outflow))).to.deep.equal([
      '0',
      '0',
      '0',
      '39',
      '0',
    ]);
    expect(found.unvaluedTransfers).to.equal(2);
  });

  it('adds cash to the flows of its days, and leaves other days out', () => {
    const all = new HistorySums({ firstDay: 100, days: 2 });
    all.addCash(changes({ 100: '5', 102: '9' }), changes({ 100: '3', 101: '4' }));
    const flows = all.history().points.map(({ inflow, outflow }) => [inflow, outflow].map(formatAmount));
    expect(flows).to.deep.equal([
      ['5', '3'],
      ['0', '4'],
    ]);
  });
});
