import { expect } from 'chai';
import { freshness, priceOf, readingJson, toCachedQuote } from '../../../src/domain/cached-quote.ts';
import type { Quote } from '../../../src/domain/quote.ts';

const quote: Quote = {
  assetId: 'bitcoin',
  symbol: 'btc',
  name: 'Bitcoin "B"',
  currency: 'usd',
  price: 49_357,
  marketCap: 0,
  rank: 1,
  change24h: -3.5,
  changePercent24h: null,
  volume24h: null,
  source: 'replay',
  asOf: '2021-05-01T00:00:00.000Z',
  receivedAt: Date.UTC(2026, 0, 1),
};

describe('cached quotes', () => {
  it('write everything that the source gave, and null for what it did not', () => {
    const json = JSON.parse(readingJson({ assetId: 'bitcoin', state: 'fresh', quote: toCachedQuote(quote) }));
    expect(json).to.deep.equal({
      id: 'bitcoin',
      symbol: 'btc',
      name: 'Bitcoin "B"',
      currency: 'usd',
      price: 49357,
      market_cap: 0,
      rank: 1,
      change_24h: -3.5,
      change_percent_24h: null,
      volume_24h: null,
      source: 'replay',
      as_of: '2021-05-01T00:00:00.000Z',
      received_at: '2026-01-01T00:00:00.000Z',
      fetched_at: '2026-01-01T00:00:00.000Z',
      state: 'fresh',
    });
  });

  it('are judged by when they were received, not by when they were observed', () => {
    const cached = toCachedQuote(quote);
    expect(freshness(cached, quote.receivedAt + 59_999, 60_000)).to.equal('fresh');
    expect(freshness(cached, quote.receivedAt + 60_000, 60_000)).to.equal('stale');
  });

  it('say why a stale value was not renewed', () => {
    const reading = {
      assetId: 'bitcoin',
      state: 'stale',
      quote: toCachedQuote(quote),
      reason: 'source is down',
    } as const;
    const json = JSON.parse(readingJson(reading));
    expect(json).to.deep.include({
      price: 49357,
      state: 'stale',
      error: { code: 'stale', message: 'source is down' },
    });
  });

  it('give their price back as it was sent', () => {
    expect(priceOf(toCachedQuote({ ...quote, price: 1.2e-13 }))).to.equal(1.2e-13);
  });
});
