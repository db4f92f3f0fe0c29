import { mock } from 'node:test';
import { expect } from 'chai';
import type { CachedQuote, QuoteFailure } from '../../../src/domain/cached-quote.ts';
import type { TickListener } from '../../../src/features/quotes/ticks.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createPriceHub, type PriceHub } from '../../../src/features/quotes/price-hub.ts';
import { ConflatedWatch } from '../../../src/features/quotes/conflated-watch.ts';
import type { PriceUpdate, Watching } from '../../../src/features/quotes/price-hub.ts';
import { quoteOf } from '../../e2e/support/feed.ts';

const freshMs = 60_000;

describe('PriceHub', () => {
  let listener: TickListener;
  let isListening: boolean;
  let hub: PriceHub;
  let quotes: Map<string, CachedQuote>;
  let failures: Map<string, QuoteFailure>;
  let loads: (readonly string[])[];

  beforeEach(() => {
    mock.timers.enable({ apis: ['setInterval', 'setTimeout', 'Date'], now: 1_000_000 });
    quotes = new Map();
    failures = new Map();
    loads = [];
    hub = createPriceHub({
      epoch: 'run',
      clock: { now: () => Date.now() },
      log: silentLogger(),
      freshMs,
      renewAfterMs: freshMs,
      want: () => Promise.resolve(),
      ticks: {
        listen: (given) => {
          listener = given;
          isListening = true;
          return () => (isListening = false);
        },
      },
      quotes: {
        get: (_currency, id) => quotes.get(id),
        failure: (_currency, id) => failures.get(id),
        load: (_currency, ids) => {
          loads.push(ids);
          return Promise.resolve();
        },
      },
    });
  });
  afterEach(() => {
    hub.close();
    mock.timers.reset();
  });

  function tick(prices: Readonly<Record<string, number>>): void {
    const fresh = Object.entries(prices).map(([id, price]) => quoteOf(id, price));
    for (const quote of fresh) quotes.set(quote.assetId, quote);
    listener.onTick?.({ currency: 'usd', quotes: fresh, failures: [] });
  }

  interface Watcher {
    readonly watching: Watching;
    readonly updates: PriceUpdate[];
    /** Prices of each update, as `bitcoin=1`. */
    reported(): string[];
  }

  function watch(assetIds: readonly string[], intervalMs = 0): Watcher {
    const updates: PriceUpdate[] = [];
    const watching = hub.watch({ currency: 'usd', assetIds, intervalMs }, (update) => {
      update.frame();
      updates.push(update);
    });
    return { watching, updates, reported: () => updates.map((update) => textOf(update)) };
  }

  const textOf = (update: PriceUpdate): string => {
    const data = /^data: (.*)$/m.exec(update.frame().sse.toString())?.[1] ?? '[]';
    const rows = JSON.parse(data) as { id: string; price?: number; state: string }[];
    return rows.map(({ id, price, state }) => `${id}=${price ?? state}`).join(' ');
  };

  it('gathers for 20 ms after a silence, and sends the newest of each asset once', () => {
    const watcher = watch(['bitcoin', 'ethereum']);
    tick({ bitcoin: 1 });
    mock.timers.tick(15);
    tick({ bitcoin: 2, ethereum: 7 });
    mock.timers.tick(4);
    expect(watcher.reported()).to.deep.equal([]);
    mock.timers.tick(1);
    expect(watcher.reported()).to.deep.equal(['bitcoin=2 ethereum=7']);
    mock.timers.tick(10_000);
    expect(watcher.updates).to.have.length(1);
  });

  it('gives a reader that was behind all it missed, as it is then, and once', () => {
    let isReady = false;
    const reported: (readonly string[])[] = [];
    const conflated = new ConflatedWatch({
      hub,
      watch: { currency: 'usd', assetIds: ['bitcoin', 'ethereum'], intervalMs: 0 },
      isReady: () => isReady,
      onUpdate: ({ assetIds }) => reported.push(assetIds),
    });
    tick({ bitcoin: 1 });
    mock.timers.tick(100);
    tick({ ethereum: 7 });
    mock.timers.tick(100);
    expect(reported).to.deep.equal([]);
    isReady = true;
    conflated.flush();
    conflated.flush();
    expect(reported).to.deep.equal([['bitcoin', 'ethereum']]);
    tick({ ethereum: 8 });
    mock.timers.tick(100);
    expect(reported.slice(1)).to.deep.equal([['ethereum']]);
    conflated.close();
  });

  it('sends ten times a second at most while the market moves', () => {
    const watcher = watch(['bitcoin']);
    tick({ bitcoin: 1 });
    mock.timers.tick(20);
    tick({ bitcoin: 2 });
    mock.timers.tick(60);
    tick({ bitcoin: 3 });
    mock.timers.tick(39);
    expect(watcher.reported()).to.deep.equal(['bitcoin=1']);
    mock.timers.tick(1);
    expect(watcher.reported()).to.deep.equal(['bitcoin=1', 'bitcoin=3']);
  });

  it('sends only what is watched, and nothing that was sent already', () => {
    const watcher = watch(['bitcoin']);
    tick({ bitcoin: 1 });
    mock.timers.tick(100);
    listener.onTick?.({ currency: 'usd', quotes: [quotes.get('bitcoin')!], failures: [] });
    tick({ dogecoin: 1 });
    mock.timers.tick(1_000);
    expect(watcher.reported()).to.deep.equal(['bitcoin=1']);
  });

  it('makes the bytes of an update once for all who watch the same', () => {
    const [a, b, other] = [
      watch(['bitcoin', 'ethereum']),
      watch(['ethereum', 'bitcoin']),
      watch(['bitcoin']),
    ];
    tick({ bitcoin: 1 });
    mock.timers.tick(100);
    expect(a.updates[0]?.frame()).to.equal(b.updates[0]?.frame());
    expect(a.updates[0]?.frame()).to.not.equal(other.updates[0]?.frame());
    expect(hub.watched()).to.equal(2);
  });

  it('keeps to the interval of each watch, and sends the newest when it has passed', () => {
    const [fast, slow] = [watch(['bitcoin'], 0), watch(['bitcoin'], 2_000)];
    for (let price = 1; price <= 41; price += 1) {
      tick({ bitcoin: price });
      mock.timers.tick(100);
    }
    expect(fast.updates).to.have.length(41);
    expect(slow.reported()[0]).to.equal('bitcoin=1');
    expect(slow.updates).to.have.length(3);
    expect(slow.reported().at(-1)).to.equal('bitcoin=41');
  });

  it('keeps what comes before an interval has passed, though nothing follows it', () => {
    const watcher = watch(['bitcoin', 'ethereum'], 2_000);
    tick({ bitcoin: 1 });
    mock.timers.tick(100);
    tick({ ethereum: 7 });
    mock.timers.tick(600);
    tick({ bitcoin: 2 });
    mock.timers.tick(1_000);
    expect(watcher.reported()).to.deep.equal(['bitcoin=1']);
    expect(watcher.watching.pending()).to.have.members(['bitcoin', 'ethereum']);
    mock.timers.tick(400);
    expect(watcher.reported()).to.deep.equal(['bitcoin=1', 'ethereum=7 bitcoin=2']);
    expect(watcher.watching.pending()).to.deep.equal([]);
  });

  it('leaves the ticks when it is closed', () => {
    const watcher = watch(['bitcoin']);
    tick({ bitcoin: 1 });
    hub.close();
    mock.timers.tick(1_000);
    expect(watcher.updates).to.have.length(0);
    expect(isListening).to.equal(false);
  });

  it('counts its updates without a gap, and puts the count into the id', () => {
    const watcher = watch(['bitcoin']);
    for (const price of [1, 2, 3]) {
      tick({ bitcoin: price });
      mock.timers.tick(100);
    }
    expect(watcher.updates.map(({ seq }) => seq)).to.deep.equal([1, 2, 3]);
    expect(watcher.updates[2]?.frame().sse.toString()).to.match(/^id: run\.3\n/);
    expect(hub.seq).to.equal(3);
  });

  it('tells once that a quote has become stale', () => {
    tick({ bitcoin: 1 });
    const watcher = watch(['bitcoin']);
    for (let second = 0; second < 70; second += 1) mock.timers.tick(1_000);
    expect(watcher.updates).to.have.length(1);
    expect(JSON.parse(watcher.watching.jsonOf(['bitcoin']))[0]).to.include({ price: 1, state: 'stale' });
  });

  it('tells once that an asset is not found', () => {
    const watcher = watch(['no-such-coin']);
    const failure = { assetId: 'no-such-coin', state: 'not_found', reason: 'unknown', until: 9e12 } as const;
    failures.set('no-such-coin', failure);
    for (let times = 0; times < 3; times += 1) {
      listener.onTick?.({ currency: 'usd', quotes: [], failures: [failure] });
      mock.timers.tick(200);
    }
    expect(watcher.reported()).to.deep.equal(['no-such-coin=not_found']);
  });

  it('tells once that an asset has no price, and its price when it gets one', () => {
    const watcher = watch(['bitcoin']);
    const failure = { assetId: 'bitcoin', state: 'unpriced', reason: 'none', until: 9e12 } as const;
    failures.set('bitcoin', failure);
    for (let times = 0; times < 3; times += 1) {
      listener.onTick?.({ currency: 'usd', quotes: [], failures: [failure] });
      mock.timers.tick(200);
    }
    expect(JSON.parse(watcher.watching.jsonOf(['bitcoin']))).to.deep.equal([
      { id: 'bitcoin', price: null, state: 'unpriced', reason: 'none' },
    ]);
    expect(watcher.updates).to.have.length(1);
    tick({ bitcoin: 1 });
    mock.timers.tick(200);
    expect(JSON.parse(watcher.watching.jsonOf(['bitcoin']))[0]).to.include({ price: 1, state: 'fresh' });
    expect(watcher.updates).to.have.length(2);
  });

  it('reads what is watched again after ticks may have been missed, and sends what has changed', async () => {
    const watcher = watch(['bitcoin', 'ethereum']);
    quotes.set('bitcoin', quoteOf('bitcoin', 5));
    listener.onGap?.();
    await Promise.resolve();
    await Promise.resolve();
    mock.timers.tick(100);
    expect(loads).to.deep.equal([['bitcoin', 'ethereum']]);
    expect(watcher.reported()).to.deep.equal(['bitcoin=5']);
  });

  it('forgets what nobody watches any more', () => {
    const watcher = watch(['bitcoin']);
    tick({ bitcoin: 1 });
    watcher.watching.close();
    watcher.watching.close();
    mock.timers.tick(1_000);
    expect(watcher.updates).to.have.length(0);
    expect(hub.watched()).to.equal(0);
  });

  it('knows the age of each source', () => {
    tick({ bitcoin: 1 });
    mock.timers.tick(7_000);
    expect(hub.sourceAges()).to.deep.equal({ simulated: 7 });
  });
});
