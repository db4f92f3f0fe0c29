import { expect } from 'chai';
import {
  formatAmount,
  oneUnit,
  parseAmount,
  type Amount,
} from '../../../src/features/portfolios/ledger/amount.ts';
import { amountOfPrice, valueAt } from '../../../src/features/portfolios/ledger/price.ts';
import {
  shareOf,
  valuationOf,
  type PriceGiven,
} from '../../../src/features/portfolios/valuation/valuation.ts';
import type { Position } from '../../../src/features/portfolios/queries/book-reading.ts';

const amount = (text: string): Amount => parseAmount(text)!;
const worth = (quantity: string, price: number): string => formatAmount(valueAt(amount(quantity), price));

function held(
  assetId: string,
  quantity: string,
  tally: Partial<Record<keyof Position['tally'], string>>,
): Position {
  const { acquired = '0', consumed = '0', left = '0', proceeds = '0' } = tally;
  return {
    assetId,
    quantity: amount(quantity),
    tally: {
      acquired: amount(acquired),
      consumed: amount(consumed),
      left: amount(left),
      proceeds: amount(proceeds),
    },
    openLots: 1,
  };
}

const quote = (price: number, state: PriceGiven['state'] = 'fresh'): PriceGiven => ({
  price,
  state,
  asOf: null,
  receivedAt: '2026-01-01T00:00:00.000Z',
  source: 'test',
});

describe('the value of a quantity at a price', () => {
  it('is exact: a price stands for the shortest decimal that denotes it', () => {
    expect(worth('3', 0.1)).to.equal('0.3');
    expect(worth('1.1', 1.1)).to.equal('1.21');
    expect(worth('0.123456789012345678', 100_000)).to.equal('12345.6789012345678');
    expect(worth('2', 67_187.3358936566)).to.equal('134374.6717873132');
  });

  it('takes prices with an exponent', () => {
    expect(worth('10000000', 1e-7)).to.equal('1');
    expect(worth('3', 1.23e-12)).to.equal('0.00000000000369');
    expect(worth('1', 5e21)).to.equal('5000000000000000000000');
    expect(worth('0.5', 1.5e21)).to.equal('750000000000000000000');
  });

  it('rounds once, at the end: a price below the last digit still counts', () => {
    expect(worth('10000000000000000000', 1e-19)).to.equal('1');
    expect(formatAmount(amountOfPrice(1e-19))).to.equal('0');
    expect(worth('1', 5e-19)).to.equal('0.000000000000000001');
    expect(worth('0.000000000000000001', 0.4)).to.equal('0');
  });

  it('holds the largest quantities and prices', () => {
    expect(worth('99999999999999999999.999999999999999999', 1e6)).to.equal(
      '99999999999999999999999999.999999999999',
    );
  });

  it('is refused of what is no price', () => {
    for (const price of [NaN, Infinity, -1]) expect(() => valueAt(oneUnit, price)).to.throw(RangeError);
  });
});

describe('valuationOf', () => {
  const btc = held('bitcoin', '2', { acquired: '30000', consumed: '10000', proceeds: '15000' });
  const eth = held('ethereum', '10', { acquired: '12000', left: '2000' });
  const sold = held('dogecoin', '0', { acquired: '100', consumed: '100', proceeds: '40' });
  const of = (prices: Record<string, PriceGiven>, assets = [btc, eth, sold]) =>
    valuationOf(assets, (id) => prices[id]);
  const text = (value: Amount | null): string | null => (value === null ? null : formatAmount(value));

  it('adds up: unrealised is value less cost, the total gain has the realised one of what is gone', () => {
    const all = of({ bitcoin: quote(20_000), ethereum: quote(1_500.5) });
    expect(text(all.marketValue)).to.equal('55005');
    expect(text(all.costBasis)).to.equal('30000');
    expect(text(all.unrealised)).to.equal('25005');
    // 15000 − 10000 of bitcoin, 40 − 100 of dogecoin.
    expect(text(all.realised)).to.equal('4940');
    expect(text(all.totalGain)).to.equal('29945');
    expect(all.positions.map(({ assetId }) => assetId)).to.deep.equal(['bitcoin', 'ethereum']);
    expect([all.state, all.missing]).to.deep.equal(['fresh', []]);
  });

  it('names what has no quote, and counts it neither as 0 nor at its cost', () => {
    const part = of({ bitcoin: quote(20_000) });
    expect([part.state, part.missing]).to.deep.equal(['partial', ['ethereum']]);
    expect(text(part.marketValue)).to.equal('40000');
    // The cost of what is missing does not count against the value of the rest.
    expect(text(part.unrealised)).to.equal('20000');
    expect(text(part.costBasis)).to.equal('30000');
    const row = part.positions[1]!;
    expect([row.price, row.marketValue, row.unrealised]).to.deep.equal([null, null, null]);
  });

  it('has no value at all without any quote, and 0 when nothing is held', () => {
    const unknown = of({});
    expect([unknown.marketValue, unknown.unrealised, unknown.totalGain]).to.deep.equal([null, null, null]);
    expect(text(unknown.realised)).to.equal('4940');
    const empty = of({}, [sold]);
    expect([text(empty.marketValue), text(empty.totalGain), empty.state]).to.deep.equal([
      '0',
      '-60',
      'fresh',
    ]);
  });

  it('counts stale quotes and says so; a price of 0 is a price', () => {
    const stale = of({ bitcoin: quote(20_000, 'stale'), ethereum: quote(0) });
    expect([stale.state, text(stale.marketValue), stale.missing]).to.deep.equal(['stale', '40000', []]);
  });

  it('tells shares with 6 digits, and none of nothing', () => {
    expect(formatAmount(shareOf(oneUnit, 3n * oneUnit)!)).to.equal('0.333333');
    expect(formatAmount(shareOf(-2n * oneUnit, 3n * oneUnit)!)).to.equal('-0.666667');
    expect(shareOf(oneUnit, 0n)).to.equal(null);
  });
});
