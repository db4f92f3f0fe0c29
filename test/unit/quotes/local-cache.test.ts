import { expect } from 'chai';
import { createLocalCache } from '../../../src/features/quotes/local-cache.ts';
import type { CachedQuote } from '../../../src/domain/cached-quote.ts';

const quote = (assetId: string, receivedAt: number): CachedQuote => ({
  assetId,
  currency: 'usd',
  receivedAt,
  head: `{"id":"${assetId}","price":1`,
});

describe('quote mirror', () => {
  it('follows ticks and keeps the newest', () => {
    const localCache = createLocalCache();
    localCache.onTick({ currency: 'usd', quotes: [quote('bitcoin', 2)], failures: [] });
    localCache.onTick({ currency: 'usd', quotes: [quote('bitcoin', 1)], failures: [] });
    expect(localCache.get('usd', 'bitcoin')?.receivedAt).to.equal(2);
    expect(localCache.get('eur', 'bitcoin')).to.equal(undefined);
  });

  it('keeps a good value beside a failure, and forgets the failure with the next value', () => {
    const localCache = createLocalCache();
    const failure = { assetId: 'bitcoin', state: 'unavailable', reason: 'down', until: 100 } as const;
    localCache.onTick({ currency: 'usd', quotes: [quote('bitcoin', 1)], failures: [] });
    localCache.onTick({ currency: 'usd', quotes: [], failures: [failure] });
    expect(localCache.get('usd', 'bitcoin')).to.not.equal(undefined);
    expect(localCache.failure('usd', 'bitcoin', 99)).to.equal(failure);
    expect(localCache.failure('usd', 'bitcoin', 100)).to.equal(undefined);
    localCache.onTick({ currency: 'usd', quotes: [quote('bitcoin', 2)], failures: [] });
    expect(localCache.failure('usd', 'bitcoin', 99)).to.equal(undefined);
  });

  it('forgets everything when it may have missed a clearing', () => {
    const localCache = createLocalCache();
    localCache.put(quote('a', 1));
    localCache.putRanking('usd', { assetIds: ['a'], receivedAt: 1 });
    localCache.putFailure('usd', { assetId: 'b', state: 'not_found', reason: 'unknown', until: 9 });
    localCache.onGap();
    expect([...localCache.quotes()]).to.deep.equal([]);
    expect(localCache.ranking('usd')).to.equal(undefined);
    expect(localCache.failure('usd', 'b', 1)).to.equal(undefined);
  });

  it('drops what came first at its limit', () => {
    const localCache = createLocalCache(2);
    for (const id of ['a', 'b', 'c']) localCache.put(quote(id, 1));
    expect([...localCache.quotes()].map(({ assetId }) => assetId)).to.deep.equal(['b', 'c']);
  });

  it('keeps what was renewed at its limit, and drops what came before it', () => {
    const localCache = createLocalCache(2);
    for (const id of ['a', 'b']) localCache.put(quote(id, 1));
    localCache.put(quote('a', 2));
    localCache.put(quote('c', 2));
    expect([...localCache.quotes()].map(({ assetId }) => assetId)).to.deep.equal(['a', 'c']);
  });

  it('forgets what was cleared, and only that', () => {
    const localCache = createLocalCache();
    for (const id of ['a', 'b']) localCache.put(quote(id, 1));
    for (const assetId of ['a', 'c', 'd'])
      localCache.putFailure('usd', { assetId, state: 'not_found', reason: 'unknown', until: 9 });
    localCache.onClear(['a', 'c']);
    expect([...localCache.quotes()].map(({ assetId }) => assetId)).to.deep.equal(['b']);
    expect(['a', 'c', 'd'].map((id) => localCache.failure('usd', id, 1)?.state)).to.deep.equal([
      undefined,
      undefined,
      'not_found',
    ]);
    localCache.onClear(null);
    expect([...localCache.quotes()]).to.deep.equal([]);
  });
});
