/** When a collection ends, and with what: on a clock that the test moves. */
import { mock } from 'node:test';
import { expect } from 'chai';
import {
  createQuoteCollector,
  type CollectQuotes,
  type CollectRequest,
} from '../../../src/features/quotes/collect-quotes.ts';
import { createLocalCache, type LocalCache } from '../../../src/features/quotes/local-cache.ts';
import type { StoredQuote } from '../../../src/features/quotes/quote-store.ts';
import type { CachedQuote, QuoteReading } from '../../../src/domain/cached-quote.ts';
import type { TickListener } from '../../../src/features/quotes/ticks.ts';
import { priced } from '../../support/quotes.ts';

const start = 1_000_000;
const freshMs = 60_000;

describe('a collection of quotes', () => {
  let stored: Map<string, StoredQuote>;
  let listeners: Set<TickListener>;
  let wanted: string[][];
  /** Assets of each question to the cache. */
  let read: string[][];
  /** What Redis has lost of what was wanted. */
  let forgotten: Set<string>;
  let isAway: boolean;
  /** Called with what is wanted; tells how much of it is open then. */
  let onWant: (assetIds: readonly string[]) => Promise<number>;
  let batches: string[][];
  let localCache: LocalCache;
  let collect: CollectQuotes;

  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'], now: start });
    [stored, listeners, wanted, batches, read] = [new Map(), new Set(), [], [], []];
    [forgotten, isAway] = [new Set(), false];
    onWant = ({ length }) => Promise.resolve(length);
    localCache = createLocalCache();
    collect = createQuoteCollector({
      local: localCache,
      store: {
        readMany: (_currency: string, ids: readonly string[]) => {
          read.push([...ids]);
          return isAway
            ? Promise.reject(new Error('Command timed out'))
            : Promise.resolve(ids.map((id) => stored.get(id) ?? { quote: undefined, failure: undefined }));
        },
      },
      want: ({ assetIds }) => {
        wanted.push([...assetIds]);
        return onWant(assetIds);
      },
      demand: { forgotten: (_currency, ids) => Promise.resolve(ids.filter((id) => forgotten.has(id))) },
      ticks: {
        listen: (listener) => {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
      },
      clock: { now: () => Date.now() },
      freshMs,
      pendingState: () => {
        const state = Promise.resolve('pending' as const);
        return isAway ? Promise.reject(new Error('Command timed out')) : state;
      },
    });
  });
  afterEach(() => mock.timers.reset());

  const quote = (assetId: string, ageMs = 0): CachedQuote =>
    priced(assetId, 1, { receivedAt: Date.now() - ageMs });
  const tick = (...assetIds: string[]): void => {
    const quotes = assetIds.map((id) => quote(id));
    for (const listener of listeners) listener.onTick?.({ currency: 'usd', quotes, failures: [] });
  };
  const fail = (assetId: string): void => {
    const failure = { assetId, state: 'unavailable', reason: 'down', until: Date.now() + 1_000 } as const;
    for (const listener of listeners) listener.onTick?.({ currency: 'usd', quotes: [], failures: [failure] });
  };
  /** Lets time pass, and whatever follows from it happen. */
  async function pass(ms: number): Promise<void> {
    mock.timers.tick(ms);
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Starts a collection; `states` says what it came to, once it has ended. */
  async function collecting(assetIds: string[], different: Partial<CollectRequest> = {}) {
    const collection: { states?: Record<string, string> } = {};
    const onSettled = (settled: readonly QuoteReading[]): unknown =>
      batches.push(settled.map(({ assetId }) => assetId));
    const request = { currency: 'usd', urgency: 'interactive', waitMs: 2_500, onSettled } as const;
    void collect({ ...request, assetIds, ...different }).then((readings) => {
      const states = [...readings].map(([id, { state }]): [string, string] => [id, state]);
      collection.states = Object.fromEntries(states);
    });
    await pass(0);
    return collection;
  }

  it('settles an asset without a price at once, and at the deadline says what is known of it', async () => {
    const unpriced = (assetId: string, ms: number) =>
      ({ assetId, state: 'unpriced', reason: 'none', until: Date.now() + ms }) as const;
    stored.set('held', { quote: undefined, failure: unpriced('held', 1_000) });
    stored.set('asked again', { quote: undefined, failure: unpriced('asked again', -1) });
    const collection = await collecting(['held', 'reported', 'asked again']);
    for (const listener of listeners)
      listener.onTick?.({ currency: 'usd', quotes: [], failures: [unpriced('reported', 1_000)] });
    expect(batches.flat()).to.have.members(['held', 'reported']);
    await pass(2_500);
    expect(collection.states).to.deep.equal({
      held: 'unpriced',
      reported: 'unpriced',
      'asked again': 'unpriced',
    });
  });

  it('has at its deadline all that had settled before, and the rest as it is', async () => {
    stored.set('old', { quote: quote('old', 2 * freshMs), failure: undefined });
    localCache.put(quote('held'));
    const collection = await collecting(['held', 'quick', 'down', 'old', 'never']);
    tick('quick');
    await pass(500);
    fail('down');
    await pass(2_000);
    expect(collection.states).to.deep.equal({
      held: 'fresh',
      quick: 'fresh',
      down: 'unavailable',
      old: 'stale',
      never: 'pending',
    });
    expect(batches).to.deep.equal([['held'], ['quick'], ['down'], ['old', 'never']]);
  });

  it('ends at its deadline and not at the look after it', async () => {
    const collection = await collecting(['never']);
    for (let second = 0; second < 2; second += 1) await pass(1_000);
    await pass(499);
    expect(collection.states).to.equal(undefined);
    await pass(1);
    expect(collection.states).to.deep.equal({ never: 'pending' });
  });

  it('waits for nothing, and wants nothing, when it has no time', async () => {
    const collection = await collecting(['never'], { waitMs: 0 });
    expect(collection.states).to.deep.equal({ never: 'pending' });
    expect(wanted).to.deep.equal([]);
  });

  it('ends with the last asset, whatever time is left', async () => {
    const collection = await collecting(['a', 'b']);
    tick('a');
    await pass(0);
    expect(collection.states).to.equal(undefined);
    tick('b');
    await pass(0);
    expect(collection.states).to.deep.equal({ a: 'fresh', b: 'fresh' });
  });

  it('takes for fresh from its process only what is', async () => {
    localCache.put(quote('fresh', freshMs - 1));
    localCache.put(quote('old', freshMs));
    await collecting(['fresh', 'old']);
    expect(batches).to.deep.equal([['fresh']]);
    expect(wanted).to.deep.equal([['old']]);
  });

  it('finds within a second what came without a tick, and wants what has not come once more', async () => {
    const collection = await collecting(['a', 'b'], { waitMs: 10_000 });
    stored.set('a', { quote: quote('a'), failure: undefined });
    await pass(1_000);
    expect(batches).to.deep.equal([['a']]);
    expect(wanted).to.deep.equal([['a', 'b'], ['b']]);
    stored.set('b', { quote: quote('b'), failure: undefined });
    await pass(1_000);
    expect(collection.states).to.deep.equal({ a: 'fresh', b: 'fresh' });
  });

  const many = (count: number): string[] => Array.from({ length: count }, (_, index) => `id-${index}`);

  it('asks once and no more while nothing changes, however many wait for the same', async () => {
    for (let one = 0; one < 20; one += 1) await collecting(['a', 'b', 'c'], { waitMs: 60_000 });
    expect([read.length, wanted.length]).to.deep.equal([20, 20]);
    [read, wanted] = [[], []];
    for (let second = 0; second < 5; second += 1) await pass(1_000);
    expect(read).to.deep.equal(Array.from({ length: 5 }, () => ['a', 'b', 'c']));
    expect(wanted, 'one asset asks for a call').to.deep.equal(Array.from({ length: 5 }, () => ['a']));
  });

  it('looks slowly where much is missing: 500 assets every 100 ms', async () => {
    await collecting(many(2_000), { waitMs: 60_000 });
    read = [];
    await pass(1_000);
    expect(read.map(({ length }) => length)).to.deep.equal([500]);
    for (let pause = 0; pause < 10; pause += 1) await pass(100);
    expect(read.map(({ length }) => length)).to.deep.equal([500, 500, 500, 500]);
  });

  it('finds what came without a tick for all who wait for it', async () => {
    await collecting(['a', 'b'], { waitMs: 60_000 });
    await collecting(['a'], { waitMs: 60_000 });
    stored.set('a', { quote: quote('a'), failure: undefined });
    await pass(1_000);
    expect(batches).to.deep.equal([['a'], ['a']]);
  });

  it('wants again only what Redis has lost', async () => {
    await collecting(many(10), { waitMs: 60_000 });
    [wanted, forgotten] = [[], new Set(['id-3', 'id-7'])];
    await pass(1_000);
    expect(wanted).to.deep.equal([['id-0', 'id-3', 'id-7']]);
  });

  it('looks at once when ticks may have been missed', async () => {
    const collection = await collecting(['a'], { waitMs: 60_000 });
    stored.set('a', { quote: quote('a'), failure: undefined });
    for (const listener of listeners) listener.onGap?.();
    await pass(0);
    expect(collection.states).to.deep.equal({ a: 'fresh' });
  });

  it('lets small ones ask before the large ones that wait for their turn', async () => {
    const large = Array.from({ length: 12 }, () => collecting(many(500), { waitMs: 60_000 }));
    await Promise.all([...large, collecting(['small'], { waitMs: 60_000 })]);
    expect(wanted.map(({ length }) => length).indexOf(1)).to.be.below(5);
    expect(wanted).to.have.length(13);
  });

  it('looks at once at what has come between its look and its wish', async () => {
    onWant = () => {
      stored.set('a', { quote: quote('a'), failure: undefined });
      return Promise.resolve(1);
    };
    const collection = await collecting(['a', 'b']);
    expect(batches).to.deep.equal([['a']]);
    tick('b');
    await pass(0);
    expect(collection.states).to.deep.equal({ a: 'fresh', b: 'fresh' });
  });

  it('keeps no room for one that has given up waiting for its turn', async () => {
    let letGo = (): void => undefined;
    const hold = (): void => {
      const held = new Promise<void>((resolve) => (letGo = resolve));
      onWant = async ({ length }) => {
        await held;
        return length;
      };
    };
    const crowd = () => Promise.all([1, 2, 3, 4].map(() => collecting(many(500), { waitMs: 60_000 })));
    hold();
    await crowd();
    const late = await collecting(many(500), { waitMs: 1_000 });
    expect(wanted).to.have.length(4);
    await pass(2_000);
    expect(Object.keys(late.states ?? {})).to.have.length(500);
    letGo();
    await pass(0);
    hold();
    wanted = [];
    await crowd();
    expect(wanted).to.have.length(4);
    letGo();
  });

  it('waits on while Redis is away, and has at its deadline what it has', async () => {
    isAway = true;
    const collection = await collecting(['a', 'b'], { outlastsOutages: true });
    await pass(1_000);
    expect(collection.states).to.equal(undefined);
    tick('a');
    await pass(1_500);
    expect(collection.states).to.deep.equal({ a: 'fresh', b: 'pending' });
  });

  it('asks for what it could not ask while Redis was away', async () => {
    isAway = true;
    await collecting(['a', 'b'], { outlastsOutages: true, waitMs: 60_000 });
    expect(wanted).to.deep.equal([]);
    [isAway, forgotten] = [false, new Set(['a', 'b'])];
    await pass(1_000);
    expect(wanted).to.deep.equal([['a', 'b']]);
  });

  it('listens no longer than it lasts', async () => {
    await collecting(['a'], { waitMs: 1_000 });
    expect(listeners.size).to.equal(1);
    await pass(1_000);
    expect(listeners.size).to.equal(0);
  });
});
