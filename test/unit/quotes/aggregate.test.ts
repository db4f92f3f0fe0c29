import { expect } from 'chai';
import fc from 'fast-check';
import { aggregate } from '../../../src/features/quotes/aggregate.ts';
import { toCachedQuote, type QuoteReading } from '../../../src/domain/cached-quote.ts';

function fresh(assetId: string, price: number): QuoteReading {
  const quote = toCachedQuote({
    assetId,
    symbol: 'x',
    name: 'X',
    currency: 'usd',
    price,
    marketCap: null,
    rank: null,
    change24h: null,
    changePercent24h: null,
    volume24h: null,
    source: 'test',
    asOf: '2022-03-31T00:00:00.000Z',
    receivedAt: 1_800_000_000_000,
  });
  return { assetId, state: 'fresh', quote };
}

const missing: QuoteReading = {
  assetId: 'gone',
  state: 'unavailable',
  quote: undefined,
  reason: 'source is down',
};

describe('aggregate', () => {
  it('counts usable quotes and errors, and totals nothing where no quantity was given', () => {
    const result = JSON.parse(aggregate({ readings: [fresh('a', 2), missing], fetchMs: 124 }));
    expect(result).to.include({ success_count: 1, error_count: 1, fetch_time: '0.12s' });
    expect(result).to.not.have.any.keys('total_value', 'complete', 'missing');
    expect(result.portfolio[1]).to.deep.equal({
      id: 'gone',
      state: 'unavailable',
      error: { code: 'unavailable', message: 'source is down' },
    });
  });

  it('multiplies and sums without rounding', () => {
    const holdings = [
      { asset: 'a', quantity: '12345678901234567890.123456789012345678' },
      { asset: 'b', quantity: '0.1' },
      { asset: 'b', quantity: '0.2' },
    ];
    const result = JSON.parse(aggregate({ readings: [fresh('a', 1), fresh('b', 3)], holdings, fetchMs: 0 }));
    expect(result.portfolio[1]).to.include({ quantity: '0.3', value: '0.9' });
    expect(result.total_value).to.equal('12345678901234567891.023456789012345678');
    expect(result.complete).to.equal(true);
  });

  it('writes very small values in plain notation', () => {
    const holdings = [{ asset: 'a', quantity: '0.000000000000000001' }];
    const result = JSON.parse(aggregate({ readings: [fresh('a', 1e-9)], holdings, fetchMs: 0 }));
    expect(result.total_value).to.equal('0.000000000000000000000000001');
  });

  it('names what a total lacks instead of counting it as nothing', () => {
    const holdings = [
      { asset: 'a', quantity: '1' },
      { asset: 'gone', quantity: '5' },
    ];
    const result = JSON.parse(aggregate({ readings: [fresh('a', 2), missing], holdings, fetchMs: 0 }));
    expect(result).to.deep.include({ total_value: '2', complete: false, missing: ['gone'] });
    expect(result.portfolio[1]).to.include({ quantity: '5', value: null });
  });

  it('gives no total when nothing has a price', () => {
    const holdings = [{ asset: 'gone', quantity: '5' }];
    const result = JSON.parse(aggregate({ readings: [missing], holdings, fetchMs: 0 }));
    expect(result).to.deep.include({ total_value: null, complete: false, missing: ['gone'] });
  });

  it('makes the total the exact sum of the values, for any holdings', () => {
    const cents = fc.integer({ min: 0, max: 1_000_000_000 });
    fc.assert(
      fc.property(fc.array(fc.tuple(cents, cents), { minLength: 1, maxLength: 30 }), (rows) => {
        const readings = rows.map(([price], index) => fresh(`asset-${index}`, price / 100));
        const holdings = rows.map(([, quantity], index) => ({
          asset: `asset-${index}`,
          quantity: String(quantity),
        }));
        const result = JSON.parse(aggregate({ readings, holdings, fetchMs: 0 }));
        const exact = rows.reduce((sum, [price, quantity]) => sum + BigInt(price) * BigInt(quantity), 0n);
        const [whole = '', fraction = ''] = (result.total_value as string).split('.');
        expect(BigInt(whole + fraction.padEnd(2, '0'))).to.equal(exact);
      }),
    );
  });
});
