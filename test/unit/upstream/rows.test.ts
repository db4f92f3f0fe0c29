import { expect } from 'chai';
import { quoteOf } from '../../../src/features/upstream/coingecko/coingecko-provider.ts';

const origin = { currency: 'usd', source: 'coingecko', receivedAt: 1 };
const row = { id: 'dead-coin', symbol: 'dead', name: 'Dead', current_price: 0 };

describe('a price of 0', () => {
  it('is a price when nothing in the row speaks against it', () => {
    expect(quoteOf({ ...row, market_cap: 0 }, origin)?.price).to.equal(0);
    expect(quoteOf({ ...row, market_cap: null }, origin)?.price).to.equal(0);
  });

  it('is none when the same row has a market capitalisation', () => {
    expect(quoteOf({ ...row, market_cap: 1_000_000 }, origin)).to.equal(undefined);
  });
});
