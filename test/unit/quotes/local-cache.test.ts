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
    const mirror = createLocalCache();
    mirror.onTick({ currency: 'usd', quotes: [quote('bitcoin', 2)], failures: [] });
    mirror.onTick({ currency: 'usd', quotes: [quote('bitcoin', 1)], failures: [] });
    expect(mirror.get('usd', 'bitcoin')?.receivedAt).to.equal(2);
    expect(mirror.get('eur', 'bitcoin')).to.equal(undefined);
  });

  it('keeps a good value beside a failure, and forgets the failure with the next value', () => {
    const mirror = createLocalCache();
    const failure = { assetId: 'bitcoin', state: 'unavailable', reason: 'down', until: 100 } as const;
    mirror.onTick({ currency: 'usd', quotes: [quote('bitcoin', 1)], failures: [] });
    mirror.onTick({ currency: 'usd', quotes: [], failures: [failure] });
    expect(mirror.get('usd', 'bitcoin')).to.not.equal(undefined);
    expect(mirror.failure('usd', 'bitcoin', 99)).to.equal(failure);
    expect(mirror.failure('usd', 'bitcoin', 100)).to.equal(undefined);
    mirror.onTick({ currency: 'usd', quotes: [quote('bitcoin', 2)], failures: [] });
    expect(mirror.failure('usd', 'bitcoin', 99)).to.equal(undefined);
  });

  it('forgets everything when it may have missed a clearing', () => {
    const mirror = createLocalCache();
    mirror.put(quote('a', 1));
    mirror.putRanking('usd', { assetIds: ['a'], receivedAt: 1 });
    mirror.putFailure('usd', { assetId: 'b', state: 'not_found', reason: 'unknown', until: 9 });
    mirror.onGap();
    expect([...mirror.quotes()]).to.deep.equal([]);
    expect(mirror.ranking('usd')).to.equal(undefined);
    expect(mirror.failure('usd', 'b', 1)).to.equal(undefined);
  });

  it('drops what came first at its limit', () => {
    const mirror = createLocalCache(2);
    for (const id of ['a', 'b', 'c']) mirror.put(quote(id, 1));
    expect([...mirror.quotes()].map(({ assetId }) => assetId)).to.deep.equal(['b', 'c']);
  });

  it('keeps what was renewed at its limit, and drops what came before it', () => {
    const mirror = createLocalCache(2);
    for (const id of ['a', 'b']) mirror.put(quote(id, 1));
    mirror.put(quote('a', 2));
    mirror.put(quote('c', 2));
    expect([...mirror.quotes()].map(({ assetId }) => assetId)).to.deep.equal(['a', 'c']);
  });

  it('forgets what was cleared, and only that', () => {
    const mirror = createLocalCache();
    for (const id of ['a', 'b']) mirror.put(quote(id, 1));
    for (const assetId of ['a', 'c', 'd'])
      mirror.putFailure('usd', { assetId, state: 'not_found', reason: 'unknown', until: 9 });
    mirror.onClear(['a', 'c']);
    expect([...mirror.quotes()].map(({ assetId }) => assetId)).to.deep.equal(['b']);
    expect(['a', 'c', 'd'].map((id) => mirror.failure('usd', id, 1)?.state)).to.deep.equal([
      undefined,
      undefined,
      'not_found',
    ]);
    mirror.onClear(null);
    expect([...mirror.quotes()]).to.deep.equal([]);
  });
});
