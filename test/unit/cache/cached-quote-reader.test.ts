import { expect } from 'chai';
import { createQuoteReader } from '../../../src/cache/cached-quote-reader.ts';
import { createQuoteMirror } from '../../../src/cache/quote-mirror.ts';
import type { QuoteStore } from '../../../src/cache/quote-store.ts';
import { toCachedQuote, type CachedQuote } from '../../../src/domain/cached-quote.ts';
import { UnavailableError } from '../../../src/lib/errors.ts';

const nowMs = 1_000_000;
const freshMs = 60_000;
const asked = { assetId: 'bitcoin', currency: 'usd', waitMs: 100 };

function quoteOf(assetId: string, ageMs: number): CachedQuote {
  const nothing = { marketCap: null, rank: null, change24h: null, changePercent24h: null, volume24h: null };
  const names = { assetId, symbol: assetId, name: assetId, currency: 'usd' };
  const receivedAt = nowMs - ageMs;
  return toCachedQuote({ ...names, ...nothing, price: 1, source: 'simulated', asOf: null, receivedAt });
}

describe('the quote reader while Redis is away', () => {
  function readerWithout(error: Error) {
    const mirror = createQuoteMirror();
    const fail = () => Promise.reject(error);
    const store: QuoteStore = {
      readMany: (_currency, assetIds) => (assetIds.length === 0 ? Promise.resolve([]) : fail()),
      write: fail,
      writeFailures: fail,
      readRanking: fail,
      writeRanking: fail,
      clear: fail,
    };
    const reader = createQuoteReader({
      mirror,
      store,
      ticks: { listen: () => () => undefined },
      publisher: { publish: fail, publishClearing: fail },
      collect: fail,
      clock: { now: () => nowMs },
      freshMs,
      renew: fail,
      kickMarkets: fail,
      pendingState: () => Promise.resolve('pending'),
    });
    return { mirror, reader };
  }
  const rejection = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => undefined,
      (error: unknown) => error,
    );

  it('serves the last good quote as stale, with the reason', async () => {
    const { mirror, reader } = readerWithout(new Error('Connection is closed.'));
    mirror.put(quoteOf('bitcoin', 2 * freshMs));
    const reading = await reader.read(asked);
    expect(reading).to.include({ state: 'stale', reason: 'the cache cannot be reached' });
    expect(reading.quote?.assetId).to.equal('bitcoin');
  });

  it('says that it cannot serve what it does not hold', async () => {
    const { reader } = readerWithout(new Error('Connection is closed.'));
    for (const reading of [reader.read(asked), reader.readPopular('usd', 10, 100), reader.clear()]) {
      expect(await rejection(reading))
        .to.be.instanceOf(UnavailableError)
        .with.property('code', 'cache_unavailable');
    }
  });

  it('serves the ranking it holds', async () => {
    const { mirror, reader } = readerWithout(new Error('Connection is closed.'));
    mirror.put(quoteOf('bitcoin', 2 * freshMs));
    mirror.putRanking('usd', { assetIds: ['bitcoin', 'solana'], receivedAt: nowMs - 2 * freshMs });
    const { state, readings } = await reader.readPopular('usd', 2, 100);
    expect(state).to.equal('stale');
    expect(readings.map((reading) => reading.state)).to.deep.equal(['stale', 'pending']);
  });

  it('does not take a bug for an outage', async () => {
    const { mirror, reader } = readerWithout(new TypeError('x is not a function'));
    mirror.put(quoteOf('bitcoin', 2 * freshMs));
    expect(await rejection(reader.read(asked))).to.be.instanceOf(TypeError);
  });
});
