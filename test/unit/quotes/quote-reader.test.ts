import { expect } from 'chai';
import { QuoteReader } from '../../../src/features/quotes/quote-reader.ts';
import { createLocalCache, type LocalCache } from '../../../src/features/quotes/local-cache.ts';
import type { QuoteStore, StoredQuote } from '../../../src/features/quotes/quote-store.ts';
import {
  toCachedQuote,
  unpricedKeptMs,
  type CachedQuote,
  type QuoteReading,
} from '../../../src/domain/cached-quote.ts';
import { UnavailableError } from '../../../src/domain/errors.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';

const nowMs = 1_000_000;
const freshMs = 60_000;
const requested = { assetId: 'bitcoin', currency: 'usd', waitMs: 100 };

function quoteOf(assetId: string, ageMs: number): CachedQuote {
  const nothing = { marketCap: null, rank: null, change24h: null, changePercent24h: null, volume24h: null };
  const names = { assetId, symbol: assetId, name: assetId, currency: 'usd' };
  const receivedAt = nowMs - ageMs;
  return toCachedQuote({ ...names, ...nothing, price: 1, source: 'simulated', asOf: null, receivedAt });
}

describe('the quote reader while Redis is away', () => {
  function readerWithout(error: Error) {
    const local = createLocalCache();
    const fail = () => Promise.reject(error);
    const store: Pick<QuoteStore, 'readMany' | 'readRanking' | 'clear'> = {
      readMany: (_currency, assetIds) => (assetIds.length === 0 ? Promise.resolve([]) : fail()),
      readRanking: fail,
      clear: fail,
    };
    const reader = new QuoteReader({
      local,
      store,
      rowStore: { read: fail },
      ticks: { listen: () => () => undefined },
      publisher: { publishClearing: fail },
      collect: fail,
      clock: { now: () => nowMs },
      freshMs,
      want: fail,
      enqueue: { markets: fail },
      log: silentLogger(),
      reads: { asset: () => undefined, page: () => undefined },
      pendingState: () => Promise.resolve('pending'),
    });
    return { local, reader };
  }
  const rejection = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => undefined,
      (error: unknown) => error,
    );

  it('serves the last good quote as stale, with the reason', async () => {
    const { local, reader } = readerWithout(new Error('Connection is closed.'));
    local.put(quoteOf('bitcoin', 2 * freshMs));
    const reading = await reader.get(requested);
    expect(reading).to.include({ state: 'stale', reason: 'the cache cannot be reached' });
    expect(reading.quote?.assetId).to.equal('bitcoin');
  });

  it('says that it cannot serve what it does not hold', async () => {
    const { reader } = readerWithout(new Error('Connection is closed.'));
    for (const reading of [
      reader.get(requested),
      reader.popular({ currency: 'usd', limit: 10, waitMs: 100 }),
      reader.clear(),
    ]) {
      expect(await rejection(reading))
        .to.be.instanceOf(UnavailableError)
        .with.property('code', 'cache_unavailable');
    }
  });

  it('serves the ranking it holds', async () => {
    const { local, reader } = readerWithout(new Error('Connection is closed.'));
    local.put(quoteOf('bitcoin', 2 * freshMs));
    local.putRanking('usd', { assetIds: ['bitcoin', 'solana'], receivedAt: nowMs - 2 * freshMs });
    const { state, readings } = await reader.popular({ currency: 'usd', limit: 2, waitMs: 100 });
    expect(state).to.equal('stale');
    expect(readings.map((reading) => reading.state)).to.deep.equal(['stale', 'pending']);
  });

  it('does not take a bug for an outage', async () => {
    const { local, reader } = readerWithout(new TypeError('x is not a function'));
    local.put(quoteOf('bitcoin', 2 * freshMs));
    expect(await rejection(reader.get(requested))).to.be.instanceOf(TypeError);
  });
});

describe('the quote reader over the copy of its process', () => {
  /** What Redis holds, and what a collection brings. */
  let stored: Map<string, StoredQuote>;
  let collected: string[];
  let renewed: string[];
  let asks: number;
  let now: number;
  let localCache: LocalCache;
  let reader: QuoteReader;

  beforeEach(() => {
    [stored, collected, renewed, asks, now] = [new Map(), [], [], 0, nowMs];
    localCache = createLocalCache();
    const nothing = () => Promise.resolve();
    const store: Pick<QuoteStore, 'readMany' | 'readRanking' | 'clear'> = {
      readMany: (_currency, ids) => {
        asks += 1;
        return Promise.resolve(ids.map((id) => stored.get(id) ?? { quote: undefined, failure: undefined }));
      },
      readRanking: () => Promise.resolve(undefined),
      clear: () => Promise.resolve(0),
    };
    reader = new QuoteReader({
      local: localCache,
      store,
      ticks: { listen: () => () => undefined },
      publisher: { publishClearing: nothing },
      collect: ({ currency, assetIds }) => {
        collected.push(...assetIds);
        const fresh = (assetId: string): [string, QuoteReading] => [
          assetId,
          { assetId, state: 'fresh', quote: { ...quoteOf(assetId, 0), currency } },
        ];
        return Promise.resolve(new Map(assetIds.map(fresh)));
      },
      clock: { now: () => now },
      freshMs,
      want: ({ assetIds }) => {
        renewed.push(...assetIds);
        return Promise.resolve(assetIds.length);
      },
      rowStore: { read: () => Promise.resolve(new Map()) },
      enqueue: { markets: nothing },
      log: silentLogger(),
      reads: { asset: () => undefined, page: () => undefined },
      pendingState: () => Promise.resolve('pending'),
    });
  });

  const stateIn = (json: string | undefined): unknown =>
    (JSON.parse(json ?? '{}') as { state?: string }).state;

  it('answers from it while a quote is fresh, and not a moment longer', async () => {
    localCache.put(quoteOf('bitcoin', 0));
    now = nowMs + freshMs - 1;
    expect(stateIn(reader.peekFreshJson('bitcoin', 'usd'))).to.equal('fresh');
    expect((await reader.get(requested)).state).to.equal('fresh');
    expect(asks).to.equal(0);
    now = nowMs + freshMs;
    expect(reader.peekFreshJson('bitcoin', 'usd')).to.equal(undefined);
    await reader.get(requested);
    expect(asks).to.equal(1);
  });

  it('serves what is old here and in Redis as stale, and has it renewed', async () => {
    localCache.put(quoteOf('bitcoin', freshMs));
    stored.set('bitcoin', { quote: quoteOf('bitcoin', freshMs), failure: undefined });
    expect((await reader.get(requested)).state).to.equal('stale');
    expect(renewed).to.deep.equal(['bitcoin']);
    expect(collected).to.deep.equal([]);
  });

  it('takes the newer quote that Redis has, and holds it from then on', async () => {
    localCache.put(quoteOf('bitcoin', 2 * freshMs));
    stored.set('bitcoin', { quote: quoteOf('bitcoin', 10), failure: undefined });
    expect((await reader.get(requested)).quote?.receivedAt).to.equal(nowMs - 10);
    expect(stateIn(reader.peekFreshJson('bitcoin', 'usd'))).to.equal('fresh');
  });

  it('answers that an asset does not exist as long as that is remembered, and no price is held', async () => {
    const failure = { assetId: 'bitcoin', state: 'not_found', reason: 'unknown', until: nowMs + 10 } as const;
    localCache.putFailure('usd', failure);
    expect((await reader.get(requested)).state).to.equal('not_found');
    now = nowMs + 10;
    expect((await reader.get(requested)).state).to.equal('fresh');
    expect(collected).to.deep.equal(['bitcoin']);
  });

  it('says of an asset without a price that it has none, at once, and asks again behind the reader', async () => {
    const failure = { assetId: 'bitcoin', state: 'unpriced', reason: 'none', until: nowMs + 10 } as const;
    stored.set('bitcoin', { quote: undefined, failure });
    const unpriced = { assetId: 'bitcoin', state: 'unpriced', quote: undefined, reason: 'none' };
    expect(await reader.get(requested)).to.deep.equal(unpriced);
    expect(await reader.get(requested)).to.deep.equal(unpriced);
    expect((await reader.getMany({ ...requested, assetIds: ['bitcoin'] })).get('bitcoin')).to.deep.equal(
      unpriced,
    );
    expect([asks, renewed], 'from this process').to.deep.equal([1, []]);
    now = nowMs + 10;
    for (let times = 0; times < 3; times += 1) {
      expect(await reader.get(requested)).to.deep.equal(unpriced);
      expect((await reader.getMany({ ...requested, assetIds: ['bitcoin'] })).get('bitcoin')).to.deep.equal(
        unpriced,
      );
    }
    expect([renewed, collected]).to.deep.equal([['bitcoin'], []]);
    now = nowMs + 10 + unpricedKeptMs;
    expect((await reader.get(requested)).state).to.equal('fresh');
    expect(collected).to.deep.equal(['bitcoin']);
  });

  it('keeps the last price of an asset that the source has none of now, as stale and with the reason', async () => {
    const failure = { assetId: 'bitcoin', state: 'unpriced', reason: 'none', until: nowMs + 10 } as const;
    stored.set('bitcoin', { quote: quoteOf('bitcoin', 2 * freshMs), failure });
    expect(await reader.get(requested)).to.include({ state: 'stale', reason: 'none' });
  });

  it('answers two who ask for one coin at once, each in his currency', async () => {
    const both = ['usd', 'eur'].map((currency) => reader.get({ ...requested, currency }));
    expect((await Promise.all(both)).map(({ quote }) => quote?.currency)).to.deep.equal(['usd', 'eur']);
    expect(asks).to.equal(2);
  });

  it('tells how old its quotes are: those in the middle, the oldest but one in a hundred, and the oldest', () => {
    expect(reader.stats().age_seconds).to.deep.equal({ p50: null, p99: null, max: null });
    for (let age = 100; age >= 1; age -= 1) localCache.put(quoteOf(`id-${age}`, age * 1_000));
    expect(reader.stats().age_seconds).to.deep.equal({ p50: 50, p99: 99, max: 100 });
  });

  it('serves the last price of an asset that is said not to exist any more', async () => {
    const failure = { assetId: 'bitcoin', state: 'not_found', reason: 'unknown', until: nowMs + 10 } as const;
    localCache.put(quoteOf('bitcoin', 2 * freshMs));
    localCache.putFailure('usd', failure);
    stored.set('bitcoin', { quote: quoteOf('bitcoin', 2 * freshMs), failure });
    const reading = await reader.get(requested);
    expect(reading).to.include({ state: 'stale', reason: 'unknown' });
    expect(reading.quote?.assetId).to.equal('bitcoin');
  });
});

describe('a read of one quote', () => {
  /** A reader over a cache that holds a quote of this age (ms); what it wants and counts is noted. */
  function readerOver(ageMs: number) {
    const wanted: unknown[] = [];
    const counted: string[] = [];
    let asks = 0;
    const reader = new QuoteReader({
      local: createLocalCache(),
      store: {
        readMany: (_currency, assetIds) => {
          asks += 1;
          return Promise.resolve(assetIds.map((id) => ({ quote: quoteOf(id, ageMs), failure: undefined })));
        },
        readRanking: () => Promise.resolve(undefined),
        clear: () => Promise.resolve(0),
      },
      rowStore: { read: () => Promise.resolve(new Map()) },
      ticks: { listen: () => () => undefined },
      publisher: { publishClearing: () => Promise.resolve() },
      collect: () => Promise.reject(new Error('there is nothing to wait for')),
      want: (request) => Promise.resolve(wanted.push(request)),
      enqueue: { markets: () => Promise.resolve() },
      clock: { now: () => nowMs },
      log: silentLogger(),
      freshMs,
      pendingState: () => Promise.resolve('pending'),
      reads: { asset: (currency, assetId) => counted.push(`${currency}:${assetId}`), page: () => undefined },
    });
    return { reader, wanted, counted, asks: () => asks };
  }

  it('asks the fleet once, then answers from this process, and counts both', async () => {
    const { reader, asks, counted } = readerOver(1_000);
    expect((await reader.get(requested)).state).to.equal('fresh');
    expect((await reader.get(requested)).state).to.equal('fresh');
    expect(reader.peekFreshJson('bitcoin', 'usd')).to.include('"state":"fresh"');
    expect(asks()).to.equal(1);
    expect(reader.stats()).to.include({ hits: 2, misses: 1 });
    expect(counted).to.deep.equal(['usd:bitcoin', 'usd:bitcoin']);
  });

  it('returns a stale quote at once and has it renewed, also when it may not wait, but not twice in a second', async () => {
    const { reader, wanted } = readerOver(2 * freshMs);
    for (const waitMs of [0, 100]) {
      expect((await reader.get({ ...requested, waitMs })).state).to.equal('stale');
      expect(wanted).to.have.length(1);
    }
    expect(reader.peekFreshJson('bitcoin', 'usd')).to.equal(undefined);
    expect(wanted[0]).to.deep.include({ assetIds: ['bitcoin'], urgency: 'interactive', isPatient: true });
  });

  it('of many, without time to wait, wants nothing', async () => {
    const { reader, wanted } = readerOver(2 * freshMs);
    const readings = await reader.getMany({ currency: 'usd', assetIds: ['a', 'b'], waitMs: 0 });
    expect([...readings.values()].map(({ state }) => state)).to.deep.equal(['stale', 'stale']);
    expect(wanted).to.deep.equal([]);
  });
});
