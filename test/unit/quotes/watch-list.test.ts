import { expect } from 'chai';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import type { WantRequest } from '../../../src/features/quotes/demand/demand.ts';
import { WatchList } from '../../../src/features/quotes/demand/watch-list.ts';

const renewAfterMs = 15_000;
const freshMs = 60_000;
const start = 1_000_000;

describe('WatchList', () => {
  let now: number;
  let wants: WantRequest[];
  let stale: string[];
  let received: Map<string, number>;
  let list: WatchList;

  beforeEach(() => {
    now = start;
    wants = [];
    stale = [];
    received = new Map();
    list = new WatchList({
      clock: { now: () => now },
      log: silentLogger(),
      receivedAt: (currency, assetId) => received.get(`${currency}:${assetId}`),
      want: (wanted) => {
        wants.push(wanted);
        return Promise.resolve();
      },
      renewAfterMs,
      freshMs,
      onStale: (currency, assetIds) => stale.push(...assetIds.map((id) => `${currency}:${id}`)),
    });
  });

  /** The assets that are wanted by looking so many seconds after the start. */
  function wantedAt(second: number): string[] {
    now = start + second * 1_000;
    wants = [];
    list.poll();
    return wants.flatMap(({ currency, assetIds }) => assetIds.map((id) => `${currency}:${id}`));
  }

  it('wants what is watched once, however many watch it, and no longer than they do', () => {
    for (let watcher = 0; watcher < 4_000; watcher += 1) list.add('usd', ['bitcoin', 'ethereum'], 'user:1');
    expect(list.size).to.equal(2);
    expect(wantedAt(0)).to.deep.equal(['usd:bitcoin', 'usd:ethereum']);
    expect(wants).to.have.length(1);
    for (let watcher = 0; watcher < 4_000; watcher += 1) list.remove('usd', ['bitcoin', 'ethereum']);
    expect(list.size).to.equal(0);
    expect(wantedAt(100)).to.deep.equal([]);
  });

  it('wants a quote for as long as the last of its watchers stays', () => {
    for (let watcher = 0; watcher < 3; watcher += 1) list.add('usd', ['bitcoin'], 'user:1');
    for (let left = 2; left >= 0; left -= 1) {
      list.remove('usd', ['bitcoin']);
      expect(list.size).to.equal(left === 0 ? 0 : 1);
    }
    list.remove('usd', ['bitcoin']);
    list.add('usd', ['bitcoin'], 'user:1');
    expect(wantedAt(0)).to.deep.equal(['usd:bitcoin']);
  });

  it('wants a quote again when it has grown old, and not before', () => {
    list.add('usd', ['bitcoin'], undefined);
    received.set('usd:bitcoin', start);
    expect(wantedAt(14.9)).to.deep.equal([]);
    expect(wantedAt(15)).to.deep.equal(['usd:bitcoin']);
    expect(wants[0]).to.include({ urgency: 'stream', freshAfter: now - renewAfterMs });
    expect(wants[0]).to.not.have.property('requester');
  });

  it('wants again after five seconds what has not come', () => {
    list.add('usd', ['bitcoin'], undefined);
    expect(wantedAt(0)).to.have.length(1);
    expect(wantedAt(4.9)).to.have.length(0);
    expect(wantedAt(5)).to.have.length(1);
  });

  it('asks for 250 assets at most in one wish, and for one currency and requester', () => {
    list.add(
      'usd',
      Array.from({ length: 600 }, (_, n) => `coin-${n}`),
      'user:1',
    );
    list.add('eur', ['bitcoin'], 'user:1');
    list.add('usd', ['bitcoin'], 'user:2');
    expect(wantedAt(0)).to.have.length(602);
    expect(
      wants.map(({ currency, requester, assetIds }) => [currency, requester, assetIds.length]),
    ).to.deep.equal([
      ['usd', 'user:1', 250],
      ['usd', 'user:1', 250],
      ['usd', 'user:1', 100],
      ['eur', 'user:1', 1],
      ['usd', 'user:2', 1],
    ]);
  });

  it('tells once that a quote has become stale, and once more when its successor has', () => {
    list.add('usd', ['bitcoin', 'ethereum'], undefined);
    received.set('usd:bitcoin', start);
    wantedAt(59.9);
    expect(stale).to.deep.equal([]);
    wantedAt(60);
    wantedAt(61);
    expect(stale).to.deep.equal(['usd:bitcoin']);
    received.set('usd:bitcoin', start + 61_000);
    wantedAt(62);
    expect(stale).to.have.length(1);
    wantedAt(121);
    expect(stale).to.have.length(2);
  });
});
