import { expect } from 'chai';
import type { JobData } from '../../../jobs/registry.ts';
import type { Demand } from '../../../src/features/quotes/demand/demand.ts';
import { dayMs } from '../../../src/features/history/chart.ts';
import { granularityMs, type Granularity, type HistoryPoint } from '../../../src/domain/history.ts';
import { createHistoryReader, type HistoryReader } from '../../../src/features/history/history-reader.ts';
import { storePoints } from '../../../src/features/history/store-history.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import {
  BudgetWaitError,
  ProviderConnectionError,
  ProviderRangeError,
  ProviderRejectedError,
} from '../../../src/features/upstream/provider-errors.ts';
import type { ChainRequest, ProviderChain } from '../../../src/features/upstream/provider-chain.ts';
import type { HistoryRequest, PriceProvider } from '../../../src/features/upstream/provider.ts';
import { backfillHistory } from '../../../workers/processors/history/backfill-history.ts';
import type { JobContext } from '../../../workers/runtime/processor.ts';
import { Requeue } from '../../../workers/runtime/requeue.ts';
import { openHistoryStore, type HistoryStore } from '../../support/history.ts';

const now = Date.UTC(2026, 5, 10, 12, 30);
const hour = 3_600_000;
const series = { assetId: 'bitcoin', currency: 'usd' };
const who = '01934c2a-0000-7000-8000-000000000001';

/** A provider that has a point for every interval since `begin`. */
class FakeSource {
  readonly requested: HistoryRequest[] = [];
  begin = 0;
  /** Of these intervals it has nothing. */
  lacks: (at: number) => boolean = () => false;
  /** Answers at this distance (ms), whatever it is asked for. */
  distanceMs: number | undefined;
  failure: Error | undefined;
  /** What a point costs nobody knows better than this. */
  priceAt = (at: number): number => at / 1e9;

  fetchHistory(request: HistoryRequest): Promise<readonly HistoryPoint[]> {
    this.requested.push(request);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const { from, to, granularity } = request.span;
    const length = this.distanceMs ?? granularityMs[granularity];
    const points: HistoryPoint[] = [];
    for (let at = Math.ceil(Math.max(from, this.begin) / length) * length; at <= to; at += length)
      if (!this.lacks(at)) points.push({ at, price: this.priceAt(at), marketCap: 1, volume: 2 });
    return Promise.resolve(points);
  }
}

const live = new AbortController().signal;
const context: JobContext = {
  jobId: '1',
  addedAt: now,
  start: 1,
  isLastAttempt: true,
  signal: live,
  waitSignal: live,
  callSignal: live,
  releaseDeduplication: () => Promise.resolve(),
};

describe('history that is missing', () => {
  let store: HistoryStore;
  let source: FakeSource;
  let reader: HistoryReader;
  let enqueued: JobData<'history.backfill'>[];
  let charged: number;
  /** Runs a job as soon as it is kicked, unless a test wants to see it wait. */
  let runs: boolean;

  before(async () => {
    store = await openHistoryStore();
  });
  beforeEach(async () => {
    await store.empty();
    source = new FakeSource();
    enqueued = [];
    charged = 0;
    runs = true;
    reader = createHistoryReader({
      ...store,
      clock: { now: () => now },
      log: silentLogger(),
      enqueue: async (wanted) => {
        enqueued.push(wanted);
        if (runs) await run(wanted);
      },
    });
  });
  after(() => store.close());

  function run(job: JobData<'history.backfill'>): Promise<{ readonly points: number }> {
    const provider = {
      source: 'fake',
      maxIdsPerCall: 1,
      maxIdListBytes: 1,
      fetchHistory: (request: HistoryRequest) => source.fetchHistory(request),
    } as unknown as PriceProvider;
    const chain: ProviderChain = {
      members: [],
      first: provider,
      run: (request: ChainRequest, call) =>
        request.can?.(provider) === false
          ? Promise.resolve(undefined)
          : (call({ signal: live, release: () => Promise.resolve() } as never, {
              provider,
              isFirst: true,
            }) as never),
    };
    const demand = { mayUseNonBatchSlot: () => Promise.resolve(true) } as unknown as Demand;
    const deps = { ...store, demand, chain, clock: { now: () => now }, log: silentLogger() };
    return backfillHistory({ ...deps, charge: (_, share) => (charged += share) }, job, context);
  }

  const chart = (granularity: Granularity, days: number, waitMs = 50) =>
    reader.chart({
      ...series,
      granularity,
      from: now - days * dayMs,
      to: now,
      waitMs,
      requester: { userId: who },
    });

  it('is asked for once, charged to who wanted it, and then there', async () => {
    const first = await chart('1h', 7, 2_000);
    expect([first.state, first.points.length]).to.deep.equal(['whole', 168]);
    expect(first.points[0]).to.deep.include({ price: (now - 7 * dayMs + hour / 2) / 1e9, marketCap: 1 });
    expect((await chart('1h', 30)).points).to.have.length(720);
    expect([source.requested.length, charged]).to.deep.equal([1, 1]);
  });

  it('has the distance of the points that was asked for', async () => {
    expect((await chart('5m', 1, 2_000)).points).to.have.length(288);
    expect((await chart('1d', 365, 2_000)).points.map(({ at }) => at % dayMs)).to.deep.equal(
      Array<number>(365).fill(0),
    );
  });

  it('gives days to keep for ever where hours were fetched', async () => {
    await chart('1h', 30, 2_000);
    const span = { from: now - 30 * dayMs, to: now };
    const closes = await store.candles.dailyCloses({ assetIds: ['bitcoin'], currency: 'usd', ...span });
    expect(closes.get('bitcoin')?.days).to.have.length(30);
  });

  it('is not asked for again where the source has none', async () => {
    source.begin = now - 3 * dayMs;
    const first = await chart('1h', 30, 2_000);
    expect([first.state, first.points.length]).to.deep.equal(['whole', 72]);
    await chart('1h', 90);
    const years = await chart('1d', 900, 2_000);
    await chart('1d', 900, 2_000);
    expect(years.points.map(({ at }) => (now - at) / hour)).to.deep.equal([71.5, 60.5, 36.5, 12.5]);
    const calls = source.requested.length;
    expect((await chart('1d', 5_000)).state).to.equal('whole');
    expect(source.requested.length).to.equal(calls);
  });

  it('is asked for again after an interval, or an hour, where it is the newest', async () => {
    for (const [granularity, days, minutes] of [
      ['1h', 7, 60],
      ['1d', 30, 60],
      ['5m', 1, 5],
    ] as const) {
      await store.empty();
      await chart(granularity, days, 2_000);
      const { rows } = await store.knex.raw<{ rows: { seconds: number }[] }>(
        `select extract(epoch from valid_until - clock_timestamp())::float8 as seconds from history_asks
          order by to_at desc limit 1`,
      );
      expect(rows[0]?.seconds, granularity).to.be.within(minutes * 60 - 50, minutes * 60);
    }
  });

  it('is not waited for again where the source has none of the newest intervals', async () => {
    for (const granularity of ['1h', '5m', '1d'] as const) {
      const length = granularityMs[granularity];
      const days = granularity === '5m' ? 1 : 30;
      source.lacks = (at) => at > now - 6 * length;
      const first = await chart(granularity, days, 2_000);
      expect([first.state, first.points.length > 0], granularity).to.deep.equal(['whole', true]);
      const calls = [enqueued.length, source.requested.length];
      // Only who asks for something waits.
      expect((await chart(granularity, days, 2_000)).state, granularity).to.equal('whole');
      expect([enqueued.length, source.requested.length], granularity).to.deep.equal(calls);
    }
    // Days come with the hours.
    expect(source.requested.map(({ span }) => span.granularity)).to.deep.equal(['1h', '5m']);
  });

  it('is known to be missing where it is too old to be had in five minutes, and is not asked for', async () => {
    for (const days of [2, 2]) {
      const { state, points } = await chart('5m', days, 2_000);
      expect([state, points.length]).to.deep.equal(['partial', 288]);
    }
    expect([enqueued.length, source.requested.length]).to.deep.equal([1, 1]);
    const before = { from: now - 3 * dayMs, to: now - 2 * dayMs, waitMs: 0 };
    const old = await reader.chart({ ...series, ...before, granularity: '5m' });
    expect(old).to.deep.include({ state: 'partial', points: [], isBeyondReach: true });
    expect(enqueued).to.have.length(1);
    const watched = Array.from({ length: 288 }, (_, index) => ({
      ...{ at: before.to + index * 300_000, price: 1, marketCap: null, volume: null },
    }));
    await storePoints(store.candles, { ...series, granularity: '5m', points: watched, source: 'x' });
    expect((await chart('5m', 2)).state).to.equal('whole');
  });

  it('is not taken for answered by points that are coarser than asked for', async () => {
    source.distanceMs = dayMs;
    const first = await chart('1h', 90, 2_000);
    expect([first.state, first.points]).to.deep.equal(['partial', []]);
    await chart('1h', 90);
    expect(source.requested).to.have.length(1);
    const asks = await store.knex('history_asks').select('outcome');
    expect(asks).to.deep.equal([{ outcome: 'failed' }]);
    source.distanceMs = undefined;
    await store.knex('history_asks').update({ valid_until: new Date(0) });
    const later = await chart('1h', 90, 2_000);
    expect([later.state, later.points.length]).to.deep.equal(['whole', 2_160]);
  });

  it('is answered as far as it is there, when little is missing, and fetched behind', async () => {
    await chart('1h', 30, 2_000);
    await store
      .knex('candles')
      .where({ open_time: new Date(now - 5 * dayMs - hour / 2) })
      .delete();
    await store.knex('history_asks').delete();
    runs = false;
    const { state, points } = await chart('1h', 30, 60_000);
    expect([state, points.length]).to.deep.equal(['partial', 719]);
    expect(enqueued.at(-1)?.urgency).to.equal('backfill');
  });

  it('is waited for no longer than allowed', async () => {
    runs = false;
    const { state, points } = await chart('1h', 7, 300);
    expect([state, points]).to.deep.equal(['partial', []]);
    expect(enqueued.map(({ urgency }) => urgency)).to.deep.equal(['interactive']);
  });

  it('is not asked for again at once after a failure, and nothing is lost by it', async () => {
    source.failure = new ProviderConnectionError('gone', { provider: 'fake' });
    expect((await chart('1h', 7, 2_000)).state).to.equal('partial');
    const calls = source.requested.length;
    expect((await chart('1h', 7)).state).to.equal('partial');
    expect(source.requested.length).to.equal(calls);
    source.failure = undefined;
    await store.knex('history_asks').update({ valid_until: new Date(0) });
    expect((await chart('1h', 7, 2_000)).state).to.equal('whole');
  });

  it('of an asset that the source does not know is unknown', async () => {
    source.failure = new ProviderRejectedError('coin not found', { provider: 'fake', providerStatus: 404 });
    expect((await chart('1h', 7, 2_000)).state).to.equal('unknown');
    await chart('1h', 7);
    expect(source.requested).to.have.length(1);
  });

  it('is known to be refused, and not on its way, where a source does not reach back to', async () => {
    source.failure = new ProviderRangeError('too far back', { provider: 'fake', providerStatus: 401 });
    const day = { ...series, granularity: '1d', from: now - 900 * dayMs, to: now - 899 * dayMs } as const;
    const ask = (waitMs: number) => reader.chart({ ...day, waitMs, requester: { userId: who } });
    expect(await ask(2_000)).to.deep.equal({ points: [], state: 'partial', isRefused: true });
    expect((await ask(0)).isRefused, 'again').to.equal(true);
    expect(source.requested).to.have.length(1);
    await store.empty();
    source.failure = new ProviderConnectionError('reset', { provider: 'fake' });
    expect((await ask(2_000)).isRefused, 'a failure').to.equal(false);
    await store.empty();
    runs = false;
    expect((await ask(0)).isRefused, 'on its way').to.equal(false);
  });

  it('is asked for by one user no more than others can bear', async () => {
    runs = false;
    for (let index = 0; index < 40; index++) {
      const about = { ...series, assetId: `asset-${index}`, granularity: '1h' as const };
      await reader.chart({ ...about, from: now - dayMs, to: now, waitMs: 0, requester: { userId: who } });
    }
    expect(enqueued).to.have.length(30);
    await reader.chart({ ...series, granularity: '1h', from: now - dayMs, to: now, waitMs: 0 });
    expect(enqueued).to.have.length(31);
  });

  it('waits in the queue while there is no budget', async () => {
    source.failure = new BudgetWaitError({ waitMs: 7_000, reason: 'window' });
    const job = {
      ...series,
      granularity: '1h' as const,
      from: now - dayMs,
      to: now,
      urgency: 'backfill' as const,
    };
    const outcome = await run(job).catch((error: unknown) => error);
    expect(outcome).to.be.instanceOf(Requeue);
    expect((outcome as Requeue).delayMs).to.equal(7_000);
  });

  it('never replaces what was watched', async () => {
    const at = now - 2 * dayMs - hour / 2;
    const watched = { openTime: at, firstAt: at, lastAt: at + 9, open: 1, high: 9, low: 1, close: 5 };
    const about = { ...series, marketCap: null, volume: null, observations: 4, source: 'seen' };
    await store.candles.mergeLive([{ ...about, ...watched, openTime: at }]);
    await chart('5m', 1, 2_000);
    await chart('1h', 7, 2_000);
    const row = await store.knex('candles').where({ live: true }).first('open', 'high', 'close', 'source');
    expect(row).to.deep.equal({ open: 1, high: 9, close: 5, source: 'seen' });
  });
});
