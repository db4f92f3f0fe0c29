import { expect } from 'chai';
import { createLocalCache } from '../../../src/features/quotes/local-cache.ts';
import { createWant, type WantRequest } from '../../../src/features/quotes/demand/demand.ts';
import { pageItem } from '../../../src/features/quotes/demand/interest.ts';
import type { EnqueueRefresh } from '../../../src/features/quotes/enqueue-refresh.ts';
import {
  meansToWarm,
  warmEveryMs,
  warmQuotes,
  type WarmBudget,
  type WarmDeps,
} from '../../../workers/processors/quotes/warm.ts';

const now = 1_800_000_000_000;
const freshMs = 60_000;

interface Situation {
  /** What is read by currency, the hottest first. */
  readonly read: Readonly<Record<string, readonly string[]>>;
  /** Ages (s) of what Redis holds, by `currency:asset`. */
  readonly stored?: Readonly<Record<string, number>>;
  readonly affordable?: number;
  /** Whether users wait for calls in every currency, and warming may have a part of them. */
  readonly usersWait?: boolean;
  /** Assets of dollars that could not be had of late, and until when (s from now). */
  readonly failed?: Readonly<Record<string, number>>;
  /** Ages (s) of the pages of the ranking in dollars that Redis holds. */
  readonly ranked?: Readonly<Record<number, number>>;
}

/** Runs one look; returns what it wanted and kicked. */
async function poll({
  read,
  stored = {},
  affordable = 10,
  usersWait = false,
  failed = {},
  ranked = {},
}: Situation) {
  const wanted: WantRequest[] = [];
  const enqueued: string[] = [];
  const pages: (Parameters<EnqueueRefresh['markets']>[1] & { currency: string })[] = [];
  const requested: string[] = [];
  const clock = { now: () => now };
  const local = createLocalCache();
  const enqueue: Pick<EnqueueRefresh, 'quotes' | 'markets'> = {
    quotes: (currency, urgency) => Promise.resolve(void enqueued.push(`${currency} ${urgency}`)),
    markets: (currency, request) => Promise.resolve(void pages.push({ currency, ...request })),
  };
  const demand: WarmDeps['demand'] = {
    want(request) {
      wanted.push(request);
      return Promise.resolve({ settled: [], refused: 0 });
    },
    mostUrgent: () => Promise.resolve(usersWait ? 'interactive' : undefined),
  };
  const deps: WarmDeps = {
    interest: {
      currencies: () => Promise.resolve(Object.keys(read)),
      hottest: (currency) =>
        Promise.resolve((read[currency] ?? []).map((id, index) => ({ id, heat: 1_000 - index }))),
    },
    local,
    load(currency, assetIds) {
      requested.push(...assetIds);
      for (const assetId of assetIds) {
        const age = stored[`${currency}:${assetId}`];
        if (age !== undefined) local.put({ assetId, currency, receivedAt: now - age * 1_000, head: '{' });
      }
      return Promise.resolve();
    },
    store: {
      readRanking: (_currency, page) => {
        const age = ranked[page ?? 1];
        if (age === undefined) return Promise.resolve(undefined);
        return Promise.resolve({ assetIds: ['ranked'], receivedAt: now - age * 1_000 });
      },
    },
    demand,
    want: createWant({ demand, enqueue, clock, freshMs }),
    enqueue,
    clock,
    freshMs,
    means: () => Promise.resolve({ calls: affordable, mayJoin: true }),
  };
  for (const [assetId, seconds] of Object.entries(failed)) {
    const until = now + seconds * 1_000;
    local.putFailure('usd', { assetId, state: 'unavailable', reason: 'away', until });
  }
  const calls = await warmQuotes(deps);
  return { calls, wanted, enqueued, pages, requested, local };
}

describe('quotes.warm', () => {
  it('wants what is read and about to stop being fresh', async () => {
    const stored = { 'usd:bitcoin': 50, 'usd:ethereum': 10, 'eur:solana': 59 };
    const { calls, wanted, enqueued } = await poll({
      read: { usd: ['bitcoin', 'ethereum'], eur: ['solana'] },
      stored,
    });
    expect(calls).to.equal(2);
    expect(wanted.map(({ currency, assetIds, urgency }) => ({ currency, assetIds, urgency }))).to.deep.equal([
      { currency: 'usd', assetIds: ['bitcoin'], urgency: 'warming' },
      { currency: 'eur', assetIds: ['solana'], urgency: 'warming' },
    ]);
    // Nothing that will be due before long is found fresh enough there.
    expect(wanted.every(({ freshAfter }) => freshAfter > now - 50_000)).to.equal(true);
    expect(enqueued).to.have.members(['usd warming', 'eur warming']);
  });

  it('wants a quote fifteen seconds before it stops being fresh, and no sooner', async () => {
    const stored = { 'usd:bitcoin': 45, 'usd:ethereum': 44.9 };
    const { wanted } = await poll({ read: { usd: ['bitcoin'], eur: [] }, stored });
    expect(wanted.map(({ assetIds }) => assetIds)).to.deep.equal([['bitcoin']]);
    const young = await poll({ read: { usd: ['ethereum'] }, stored });
    expect(young.wanted).to.deep.equal([]);
  });

  it('wants nothing when nobody reads, whatever is cached', async () => {
    const { calls, wanted, enqueued } = await poll({ read: {}, stored: { 'usd:bitcoin': 100 } });
    expect({ calls, wanted, enqueued }).to.deep.equal({ calls: 0, wanted: [], enqueued: [] });
  });

  it('wants nothing that it cannot afford when nobody waits, and asks nobody for it', async () => {
    const { calls, wanted, requested } = await poll({ read: { usd: ['bitcoin'] }, affordable: 0 });
    expect({ calls, wanted, requested }).to.deep.equal({ calls: 0, wanted: [], requested: [] });
  });

  it('takes a turn among users who take every call, with the hottest', async () => {
    const many = Array.from({ length: 600 }, (_, index) => `coin-${index}`);
    const read = { eur: ['lonely'], usd: many };
    const { calls, wanted, enqueued } = await poll({ read, affordable: 0, usersWait: true });
    expect(calls).to.equal(1);
    expect(wanted).to.have.length(1);
    expect(wanted[0]).to.include({ currency: 'usd', urgency: 'interactive', isPatient: true });
    expect(wanted[0]!.assetIds).to.deep.equal(many.slice(0, 250));
    expect(enqueued).to.deep.equal([]);
  });

  it('spends the calls there are on the hottest, over all currencies', async () => {
    const many = Array.from({ length: 600 }, (_, index) => `coin-${index}`);
    const { wanted } = await poll({ read: { eur: ['lonely'], usd: many }, affordable: 1 });
    expect(wanted).to.have.length(1);
    expect(wanted[0]).to.include({ currency: 'usd' });
    expect(wanted[0]!.assetIds).to.have.length(250);
  });

  it('has a page of the ranking fetched that is read', async () => {
    const { pages, wanted } = await poll({ read: { usd: [pageItem(2)] } });
    expect(pages).to.deep.equal([{ currency: 'usd', page: 2, urgency: 'warming' }]);
    expect(wanted).to.deep.equal([]);
  });
});

describe('quotes.warm, beside what is only read', () => {
  it('leaves alone what could not be had a moment ago', async () => {
    const read = { usd: ['away', 'back'] };
    const { wanted } = await poll({ read, failed: { away: 5, back: -1 } });
    expect(wanted.map(({ assetIds }) => assetIds)).to.deep.equal([['back']]);
  });

  it('leaves a page of the ranking alone that is fresh, and remembers it', async () => {
    const read = { usd: [pageItem(1), pageItem(2)] };
    const { pages, local } = await poll({ read, ranked: { 1: 10, 2: 50 } });
    expect(pages.map(({ page }) => page)).to.deep.equal([2]);
    expect(local.ranking('usd', 1)).to.have.property('receivedAt', now - 10_000);
  });

  it('reads no more than some thousands of a currency at a time', async () => {
    const many = Array.from({ length: 3_000 }, (_, index) => `coin-${index}`);
    const { requested } = await poll({ read: { usd: many } });
    expect(requested).to.deep.equal(many.slice(0, 2_000));
  });

  it('takes the hottest of all currencies in which users wait, and no page', async () => {
    const read = { eur: [pageItem(1), 'second'], usd: ['first'] };
    const { calls, wanted, pages } = await poll({ read, affordable: 0, usersWait: true });
    expect([calls, pages]).to.deep.equal([1, []]);
    expect(wanted.map(({ currency, assetIds }) => [currency, assetIds])).to.deep.equal([['usd', ['first']]]);
  });

  it('takes no turn of its own where no user waits', async () => {
    const { calls, wanted } = await poll({ read: { usd: ['bitcoin'] }, affordable: 0 });
    expect([calls, wanted]).to.deep.equal([0, []]);
  });
});

describe('the calls that warming can have', () => {
  const idle: WarmBudget = {
    ready: true,
    spare: { perMinute: 15, now: 15 },
    nextGrantInMs: 0,
    spacingMs: 2_000,
    blockedForMs: 0,
    month: null,
  };
  const calls = (change: Partial<WarmBudget>): number =>
    meansToWarm({ ...idle, ...change }, warmEveryMs).calls;

  it('are those that come free before the next look', () => {
    expect(calls({})).to.equal(3);
    expect(calls({ nextGrantInMs: 3_500 })).to.equal(1);
    expect(calls({ nextGrantInMs: 9_000 })).to.equal(0);
  });

  it('leave to users what is theirs of a minute', () => {
    expect(calls({ spare: { perMinute: 15, now: 1 } })).to.equal(1);
    expect(calls({ spare: { perMinute: 15, now: 0 } })).to.equal(0);
  });

  it('are none while the provider forbids calls or the budget is not known', () => {
    expect(calls({ blockedForMs: 60_000 })).to.equal(0);
    expect(calls({ ready: false })).to.equal(0);
  });

  it('may be a part of those of others, but not where the month is short', () => {
    const mayJoin = (change: Partial<WarmBudget>): boolean =>
      meansToWarm({ ...idle, spare: { perMinute: 15, now: 0 }, ...change }, warmEveryMs).mayJoin;
    expect([mayJoin({}), mayJoin({ month: { atHand: { warming: 1 } } })]).to.deep.equal([true, true]);
    expect(mayJoin({ month: { atHand: { warming: 0.9 } } })).to.equal(false);
    expect([mayJoin({ blockedForMs: 1 }), mayJoin({ ready: false })]).to.deep.equal([false, false]);
  });

  it('keep to the pace of the month', () => {
    expect(calls({ month: { atHand: { warming: 2.9 } } })).to.equal(2);
    expect(calls({ month: { atHand: { warming: 0.9 } } })).to.equal(0);
  });
});
