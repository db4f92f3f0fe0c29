import { expect } from 'chai';
import { createQuoteMirror } from '../../../src/cache/quote-mirror.ts';
import type { CachedQuote } from '../../../src/domain/cached-quote.ts';

const quote = (assetId: string, receivedAt: number): CachedQuote => ({
  assetId,
  currency: 'usd',
  receivedAt,
  head: `{"id":"${assetId}","price":1`,
});

describe('quote mirror', () => {
  it('follows ticks and keeps the newest', () => {
    const mirror = createQuoteMirror();
    mirror.onTick({ currency: 'usd', quotes: [quote('bitcoin', 2)], failures: [] });
    mirror.onTick({ currency: 'usd', quotes: [quote('bitcoin', 1)], failures: [] });
    expect(mirror.get('usd', 'bitcoin')?.receivedAt).to.equal(2);
    expect(mirror.get('eur', 'bitcoin')).to.equal(undefined);
  });

  it('keeps a good value beside a failure, and forgets the failure with the next value', () => {
    const mirror = createQuoteMirror();
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
    const mirror = createQuoteMirror();
    mirror.put(quote('a', 1));
    mirror.onGap();
    expect([...mirror.quotes()]).to.deep.equal([]);
  });

  it('drops what came first at its limit', () => {
    const mirror = createQuoteMirror(2);
    for (const id of ['a', 'b', 'c']) mirror.put(quote(id, 1));
    expect([...mirror.quotes()].map(({ assetId }) => assetId)).to.deep.equal(['b', 'c']);
  });

  it('forgets what was cleared, and only that', () => {
    const mirror = createQuoteMirror();
    for (const id of ['a', 'b']) mirror.put(quote(id, 1));
    mirror.onClear(['a']);
    expect([...mirror.quotes()].map(({ assetId }) => assetId)).to.deep.equal(['b']);
    mirror.onClear(null);
    expect([...mirror.quotes()]).to.deep.equal([]);
  });
});
