/** Which prices the guard lets into the cache, over a real Redis. */
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { createDeviationGuard, type DeviationGuard } from '../../src/features/quotes/deviation-guard.ts';
import { createQuoteStore, type QuoteStore } from '../../src/features/quotes/quote-store.ts';
import { toCachedQuote } from '../../src/domain/cached-quote.ts';
import type { Quote } from '../../src/domain/quote.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { createRedisKeys, type RedisKeys } from '../../src/platform/redis/keys.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';

const start = Date.UTC(2026, 4, 1);
const secondMs = 1_000;

describe('the guard against prices far from the last one', () => {
  let redis: Redis;
  let keys: RedisKeys;
  let store: QuoteStore;
  let guard: DeviationGuard;

  before(async () => {
    redis = new Redis((await services()).redisUrl);
  });
  beforeEach(() => {
    keys = createRedisKeys(uniquePrefix());
    store = createQuoteStore({ redis, clock: systemClock, keys, retentionSeconds: 60 });
    guard = createDeviationGuard({ redis, keys, store, log: silentLogger() });
  });
  afterEach(() => flushPrefix(redis, keys.prefix));
  after(() => redis.quit());

  /** Received `seconds` after the first; without `asOf` the source does not say when it observed it. */
  const quote = (assetId: string, price: number, seconds: number): Quote => ({
    assetId,
    symbol: assetId,
    name: assetId,
    currency: 'usd',
    price,
    marketCap: null,
    rank: null,
    change24h: null,
    changePercent24h: null,
    volume24h: null,
    source: 'coingecko',
    asOf: null,
    receivedAt: start + seconds * secondMs,
  });
  const asOf = (seconds: number): { asOf: string } => ({
    asOf: new Date(start + seconds * secondMs).toISOString(),
  });
  const hold = (...quotes: Quote[]): Promise<void> => store.write('usd', quotes.map(toCachedQuote));
  /** The assets whose new price is doubted. */
  const doubtsOf = async (...quotes: Quote[]): Promise<readonly string[]> => {
    const { taken, doubted } = await guard.sort('usd', quotes);
    expect([...taken.map(({ assetId }) => assetId), ...doubted]).to.have.members(
      quotes.map(({ assetId }) => assetId),
    );
    return doubted;
  };

  it('judges each asset by its own last price and its own doubt', async () => {
    await hold(quote('a', 100, 0), quote('b', 2, 0), quote('c', 100, 0), quote('d', 1, 0));
    const first = [quote('a', 101, 10), quote('b', 100, 10), quote('new', 7, 10), quote('c', 2, 10)];
    expect(await doubtsOf(...first)).to.deep.equal(['b', 'c']);
    // Far from its last price for the first time, beside two that say again what they said.
    const again = [quote('d', 50, 100), quote('b', 100, 100), quote('c', 2, 100)];
    expect(await doubtsOf(...again)).to.deep.equal(['d']);
    expect(await redis.hgetall(keys.guarded)).to.deep.equal({ doubted: '3', confirmed: '2' });
  });

  it('lets the first of equal observations be confirmed by a later one', async () => {
    await hold(quote('a', 100, 0));
    const doubts = [];
    for (const seconds of [10, 40, 69]) doubts.push(await doubtsOf(quote('a', 1, seconds)));
    expect(doubts).to.deep.equal([['a'], ['a'], ['a']]);
    expect(await doubtsOf(quote('a', 1, 70))).to.deep.equal([]);
  });

  it('is confirmed neither by an equal observation nor by one from before it', async () => {
    await hold({ ...quote('a', 100, 0), ...asOf(0) });
    expect(await doubtsOf({ ...quote('a', 1, 100), ...asOf(90) })).to.deep.equal(['a']);
    expect(await doubtsOf({ ...quote('a', 1, 300), ...asOf(90) })).to.deep.equal(['a']);
    expect(await doubtsOf({ ...quote('a', 1, 400), ...asOf(30) })).to.deep.equal(['a']);
    expect(await doubtsOf({ ...quote('a', 1, 500), ...asOf(91) })).to.deep.equal([]);
  });

  it('is confirmed by another source at once', async () => {
    await hold(quote('a', 100, 0));
    await doubtsOf(quote('a', 1, 10));
    expect(await doubtsOf({ ...quote('a', 1, 11), source: 'defillama' })).to.deep.equal([]);
  });

  it('doubts again what was confirmed once', async () => {
    await hold(quote('a', 100, 0));
    await doubtsOf(quote('a', 1, 10));
    expect(await doubtsOf(quote('a', 1, 100))).to.deep.equal([]);
    // The market is back; now one answer alone says the same as before.
    await hold(quote('a', 100, 200));
    expect(await doubtsOf(quote('a', 1, 210))).to.deep.equal(['a']);
  });

  it('forgets within an hour what nobody confirms', async () => {
    await hold(quote('a', 100, 0));
    await doubtsOf(quote('a', 1, 10));
    expect(await redis.ttl(`${keys.suspects}usd:a`)).to.be.within(3_500, 3_600);
  });

  it('keeps currencies apart', async () => {
    await hold(quote('a', 100, 0));
    await doubtsOf(quote('a', 1, 10));
    const euro = { currency: 'eur' };
    await store.write('eur', [toCachedQuote({ ...quote('a', 100, 0), ...euro })]);
    expect((await guard.sort('eur', [{ ...quote('a', 1, 100), ...euro }])).doubted).to.deep.equal(['a']);
  });

  it('takes everything while it cannot compare', async () => {
    const readMany = (): Promise<never> => Promise.reject(new Error('Redis is away'));
    guard = createDeviationGuard({ redis, keys, store: { readMany }, log: silentLogger() });
    expect(await doubtsOf(quote('a', 1, 0))).to.deep.equal([]);
  });
});
