import { expect } from 'chai';
import knexFactory from 'knex';
import { candleOf, type Candle } from '../../../src/domain/candle.ts';
import { dayMs } from '../../../src/features/history/chart.ts';
import { granularityMs, type Granularity } from '../../../src/domain/history.ts';
import { createHistoryReader } from '../../../src/features/history/history-reader.ts';
import { createHistoryModule } from '../../../src/features/history/module.ts';
import { createCandleRolls } from '../../../src/features/history/queries/candle-rolls.ts';
import { createMetrics } from '../../../src/platform/observability/metrics-registry.ts';
import { messageOf } from '../../../src/domain/errors.ts';
import type { HistoryService } from '../../../src/features/history/history-service.ts';
import type { Config } from '../../../src/platform/config/load-config.ts';
import { createHistoryProcessors } from '../../../workers/processors/history/module.ts';
import { silentLogger, type Logger } from '../../../src/platform/observability/logger.ts';
import { openHistoryStore, type HistoryStore } from '../../support/history.ts';

const day = Date.UTC(2026, 5, 10);
const five = granularityMs['5m'];
const hour = granularityMs['1h'];
const series = { assetId: 'bitcoin', currency: 'usd' };

interface Seen {
  readonly at: number;
  readonly price: number;
  readonly marketCap?: number | null;
  readonly source?: string;
  readonly assetId?: string;
  readonly currency?: string;
}

/** A candle of one observation. */
function seen(granularity: Granularity, { at, price, ...about }: Seen): Candle {
  const observation = { ...series, marketCap: 1e9, volume: 5, source: 'one', ...about, at, price };
  return candleOf(observation, granularityMs[granularity]);
}

describe('candles in Postgres', () => {
  let store: HistoryStore;
  before(async () => {
    store = await openHistoryStore();
  });
  beforeEach(() => store.empty());
  after(() => store.close());

  const points = (granularity: Granularity, from = day, to = day + dayMs) =>
    store.candles.points({ ...series, granularity, from, to });
  const live = async (granularity: Granularity) => {
    const found = await store.candles.live({ ...series, granularity, from: day, to: day + dayMs });
    return found.map(({ openTime, open, high, low, close }) => ({ openTime, open, high, low, close }));
  };

  it('give back exactly the numbers that went in', async () => {
    const prices = [
      0.1 + 0.2,
      4.9e-324,
      1.7976931348623157e308,
      47063.36584996355,
      1e-18,
      0,
      123456789.12345678,
    ];
    await store.candles.mergeLive(
      prices.map((price, index) => seen('5m', { at: day + index * five, price })),
    );
    const found = await points('5m');
    expect(found.map(({ price }) => price)).to.deep.equal(prices);
    expect(found.map(({ at }) => at)).to.deep.equal(prices.map((_, index) => day + index * five));
  });

  it('merge what is observed later, earlier and by others', async () => {
    await store.candles.mergeLive([seen('5m', { at: day + 100, price: 10 })]);
    await store.candles.mergeLive([seen('5m', { at: day + 300, price: 14, source: 'two' })]);
    await store.candles.mergeLive([seen('5m', { at: day + 50, price: 12 })]);
    expect(await live('5m')).to.deep.equal([{ openTime: day, open: 12, high: 14, low: 10, close: 14 }]);
    const row = await store.knex('candles').first('observations', 'source');
    expect(row).to.deep.equal({ observations: 3, source: 'one,two' });
  });

  it('do not change when the same is said again', async () => {
    const said = [seen('5m', { at: day + 100, price: 10 }), seen('5m', { at: day + five, price: 11 })];
    await store.candles.mergeLive(said);
    const before = await store.knex('candles').orderBy('open_time');
    await store.candles.mergeLive(said);
    expect(await store.knex('candles').orderBy('open_time')).to.deep.equal(before);
  });

  it('that processes write at the same time are all there', async () => {
    const batch = (offset: number): Candle[] =>
      Array.from({ length: 200 }, (_, index) =>
        seen('5m', { assetId: `asset-${(index * 7 + offset) % 200}`, at: day + offset, price: 1 + offset }),
      );
    await Promise.all([0, 1, 2, 3, 4, 5].map((offset) => store.candles.mergeLive(batch(offset))));
    const [row] = await store.knex('candles').where({ open: 1, close: 6, high: 6, low: 1 }).count();
    expect(row).to.deep.equal({ count: 200 });
  });

  it('of our own watching are not touched by points that were told', async () => {
    await store.candles.mergeLive([seen('5m', { at: day + 2000, price: 10 })]);
    await store.candles.mergeLive([seen('5m', { at: day + 9000, price: 20 })]);
    await store.candles.storePoints('5m', [seen('5m', { at: day + 1000, price: 99 })]);
    expect(await live('5m')).to.deep.equal([{ openTime: day, open: 10, high: 20, low: 10, close: 20 }]);
    // A chart shows the earliest observation of the interval, whoever made it.
    expect((await points('5m')).map(({ price }) => price)).to.deep.equal([99]);
  });

  it('that were told stay, unless a better one is told', async () => {
    const tell = (reported: Seen) => store.candles.storePoints('1d', [seen('1d', reported)]);
    const price = async () =>
      (await points('1d')).map((point) => [point.at - day, point.price, point.marketCap]);
    expect(await tell({ at: day + 900, price: 10, marketCap: null })).to.include({ inserted: 1 });
    expect(await tell({ at: day + 950, price: 11 })).to.include({ inserted: 0, improved: 0 });
    expect(await tell({ at: day + 900, price: 12 })).to.deep.equal({
      inserted: 0,
      improved: 0,
      different: 1,
    });
    expect(await price()).to.deep.equal([[900, 10, null]]);
    expect(await tell({ at: day + 900, price: 10, marketCap: 7 })).to.include({ improved: 1 });
    expect(await price()).to.deep.equal([[900, 10, 7]]);
    expect(await tell({ at: day, price: 13 })).to.include({ improved: 1 });
    expect(await price()).to.deep.equal([[0, 13, 1e9]]);
  });

  it('of a finer kind are seen in coarser charts', async () => {
    await store.candles.mergeLive([seen('5m', { at: day + 3 * hour + 20_000, price: 3 })]);
    await store.candles.storePoints('1h', [seen('1h', { at: day + hour, price: 2 })]);
    await store.candles.storePoints('1d', [seen('1d', { at: day + 5000, price: 1 })]);
    expect((await points('1h')).map(({ at, price }) => [at - day, price])).to.deep.equal([
      [5000, 1],
      [hour, 2],
      [3 * hour + 20_000, 3],
    ]);
  });

  it('tell the first price of a day by currency, and the last ones of many days and assets', async () => {
    const reported = (about: Seen) => store.candles.storePoints('1d', [seen('1d', about)]);
    await reported({ at: day, price: 10 });
    await reported({ at: day, price: 9, currency: 'eur' });
    await reported({ at: day + dayMs, price: 11 });
    await reported({ at: day, price: 500, assetId: 'ethereum' });
    await store.candles.mergeLive([seen('5m', { at: day + dayMs + hour, price: 15 })]);
    await store.rolls.roll(day + dayMs + 2 * hour);
    const found = await store.candles.dayOf('bitcoin', day);
    expect(found.map(({ currency, price, at }) => [currency, price, at])).to.deep.equal([
      ['eur', 9, day],
      ['usd', 10, day],
    ]);
    const assetIds = ['bitcoin', 'ethereum', 'nothing'];
    const closes = await store.candles.dailyCloses({
      assetIds,
      currency: 'usd',
      from: day,
      to: day + 5 * dayMs,
    });
    expect(Object.fromEntries(closes)).to.deep.equal({
      bitcoin: { days: [day, day + dayMs], closes: [10, 15] },
      ethereum: { days: [day], closes: [500] },
    });
  });

  describe('rolled up', () => {
    const watch = (at: number, price: number) => store.candles.mergeLive([seen('5m', { at, price })]);

    it('are hours and days of what was watched, and nothing else', async () => {
      await watch(day + 10_000, 10);
      await watch(day + hour - 10_000, 30);
      await watch(day + 2 * hour, 5);
      await store.candles.storePoints('5m', [seen('5m', { at: day + 1000, price: 99 })]);
      await store.rolls.roll(day + 3 * hour);
      expect(await live('1h')).to.deep.equal([
        { openTime: day, open: 10, high: 30, low: 10, close: 30 },
        { openTime: day + 2 * hour, open: 5, high: 5, low: 5, close: 5 },
      ]);
      expect(await live('1d')).to.deep.equal([{ openTime: day, open: 10, high: 30, low: 5, close: 5 }]);
    });

    it('again, write only what has changed', async () => {
      await watch(day + hour, 10);
      await watch(day + 2 * hour, 11);
      expect((await store.rolls.roll(day + 2 * hour + five)).written).to.equal(3);
      expect((await store.rolls.roll(day + 2 * hour + five)).written).to.equal(0);
      await watch(day + 2 * hour + 2 * five, 12);
      expect((await store.rolls.roll(day + 2 * hour + 3 * five)).written).to.equal(2);
      expect((await live('1d')).at(-1)?.close).to.equal(12);
    });

    it('catch up after an outage, step by step', async () => {
      await watch(day, 10);
      await store.rolls.roll(day + five);
      await watch(day + 60 * hour, 20);
      const later = day + 100 * hour;
      let rounds = 0;
      while ((await store.rolls.roll(later)).behind) rounds++;
      expect(rounds).to.be.greaterThan(0);
      const closes = await store.candles.dailyCloses({
        assetIds: ['bitcoin'],
        currency: 'usd',
        from: day,
        to: later,
      });
      expect(closes.get('bitcoin')?.closes).to.deep.equal([10, 20]);
    });
  });

  describe('rolled up slowly', () => {
    const now = day + 3 * hour;
    let release: () => Promise<unknown>;

    /** Has Postgres take so long (s) for each candle of an hour. */
    async function slow(seconds: number): Promise<void> {
      await store.knex.raw(`create function dawdle() returns trigger language plpgsql as $$ begin
          perform pg_sleep(${seconds}); return new; end $$`);
      await store.knex.raw(
        `create trigger dawdles before insert on candles_1h for each row execute function dawdle()`,
      );
      release = () => store.knex.raw('drop function dawdle cascade');
    }
    afterEach(() => release());

    it('come further with every round, however long an hour takes', async () => {
      const ticks = [0, 1, 2].map((n) => seen('5m', { at: day + n * hour, price: n + 1 }));
      await store.candles.mergeLive(ticks.slice(0, 1));
      await store.rolls.roll(day + five);
      await store.candles.mergeLive(ticks.slice(1));
      // Longer than a round is given.
      await slow(3.5);
      const watermarkOfHours = async (): Promise<number> => {
        const row = await store.knex('candle_rolls').where({ resolution: '1h' }).first('rolled_to');
        return (row as { rolled_to: Date }).rolled_to.getTime();
      };
      let mark = await watermarkOfHours();
      for (let round = 0; mark < now && round < 5; round++) {
        await store.rolls.roll(now);
        const next = await watermarkOfHours();
        expect(next).to.be.greaterThan(mark);
        mark = next;
      }
      expect(mark).to.equal(now);
      expect((await live('1h')).map(({ close }) => close)).to.deep.equal([1, 2, 3]);
      expect((await live('1d')).map(({ close }) => close)).to.deep.equal([3]);
    }).timeout(120_000);

    it('are made of fewer assets at a time where a statement would not end', async () => {
      await slow(0.1);
      const assets = Array.from({ length: 20 }, (_, n) => `asset-${n}`);
      await store.candles.mergeLive(assets.map((assetId) => seen('5m', { assetId, at: day, price: 7 })));
      const hasty = knexFactory({
        client: 'pg',
        connection: { connectionString: store.databaseUrl, statement_timeout: 800 },
        pool: { min: 0, max: 1 },
      });
      try {
        expect(await createCandleRolls(hasty).roll(day + five)).to.deep.equal({ written: 40, behind: false });
      } finally {
        await hasty.destroy();
      }
      const [row] = await store
        .knex('candles')
        .where({ resolution: '1h', close: 7 })
        .countDistinct('asset_id');
      expect(row).to.deep.equal({ count: 20 });
    }).timeout(60_000);
  });

  describe('rolled up by clocks and observations that are off', () => {
    const watch = (at: number, price: number) => store.candles.mergeLive([seen('5m', { at, price })]);
    const closes = async () =>
      (await live('1h')).map(({ openTime, close }) => [(openTime - day) / hour, close]);

    it('have what came while a clock ran ahead', async () => {
      await watch(day, 1);
      await store.rolls.roll(day + five);
      // A worker whose clock is a day ahead, for a moment.
      await store.rolls.roll(day + 24 * hour);
      for (const n of [1, 2, 3]) {
        await watch(day + n * hour, n + 1);
        await store.rolls.roll(day + n * hour + five);
      }
      expect(await closes()).to.deep.equal([
        [0, 1],
        [1, 2],
        [2, 3],
        [3, 4],
      ]);
    });

    it('have what a process writes hours late', async () => {
      await watch(day, 1);
      await store.rolls.roll(day + 6 * hour);
      await watch(day + hour, 2);
      await store.rolls.roll(day + 6 * hour + five);
      expect(await closes()).to.deep.equal([
        [0, 1],
        [1, 2],
      ]);
      expect((await live('1d')).map(({ close }) => close)).to.deep.equal([2]);
    });

    it('do not get worse when the parts of an hour are gone by then', async () => {
      for (const n of [0, 1, 2]) await watch(day + n * five, n + 1);
      await store.rolls.roll(day + 6 * hour);
      const before = await store.knex('candles').whereIn('resolution', ['1h', '1d']).orderBy('resolution');
      await store.knex('candles').where({ resolution: '5m' }).delete();
      // One that comes late has the hour looked at again.
      await watch(day + 5 * five, 9);
      await store.rolls.roll(day + 6 * hour + five);
      expect(
        await store.knex('candles').whereIn('resolution', ['1h', '1d']).orderBy('resolution'),
      ).to.deep.equal(before);
    });

    it('say how old they are', async () => {
      expect(await store.rolls.ages()).to.deep.equal({});
      await watch(Date.now() - 2 * hour, 1);
      await store.rolls.roll(Date.now() - 1.5 * hour);
      const ages = await store.rolls.ages();
      expect(ages['1h']).to.be.within(5_400, 5_460);
      expect(ages['1d']).to.be.within(5_400, 5_460);
      const metrics = createMetrics();
      createHistoryModule({}, { history: store }).metrics?.(metrics);
      expect(await metrics.text()).to.match(/candle_roll_age_seconds\{resolution="1h"\} 54\d\d/);
    });
  });

  describe('of our own', () => {
    const watchHours = async (minutes: number): Promise<void> => {
      const ticks: Candle[] = [];
      for (let at = day; at < day + 8 * hour; at += minutes * 60_000)
        ticks.push(seen('5m', { at, price: at / hour }));
      await store.candles.mergeLive(ticks);
      await store.rolls.roll(day + 8 * hour);
    };
    const ohlc = () => {
      const clock = { now: () => day + 8 * hour };
      const enqueue = () => Promise.resolve();
      const reader = createHistoryReader({ ...store, clock, enqueue, log: silentLogger() });
      return reader.ohlc({ assetId: 'bitcoin', currency: 'usd', days: 1 / 3, lengthMs: 4 * hour });
    };

    it('are joined to longer ones where they were watched all the time', async () => {
      await store.knex('candle_rolls').insert({ resolution: '1h', rolled_to: new Date(day) });
      await watchHours(5);
      const { candles, missing } = await ohlc();
      expect([candles.length, missing]).to.deep.equal([2, 0]);
      const [first] = candles;
      expect(first?.open).to.equal(day / hour);
      expect(first?.high).to.equal((day + 4 * hour - 300_000) / hour);
    });

    it('are none where only a look was taken now and then', async () => {
      await watchHours(30);
      expect(await ohlc()).to.deep.equal({ candles: [], missing: 2 });
    });
  });

  describe('lie in partitions', () => {
    it('that are made ahead and by need, without losing what came before', async () => {
      await store.candles.mergeLive([
        seen('5m', { at: day + 1, price: 1 }),
        seen('5m', { at: day + dayMs, price: 2 }),
      ]);
      await Promise.all([
        store.partitions.ensure({ granularity: '5m', from: day, to: day + 1 }),
        store.partitions.ensure({ granularity: '5m', from: day, to: day + 1 }),
      ]);
      expect(await store.tables('5m')).to.include('candles_5m_20260610');
      expect(await store.knex('candles_5m_20260610').count().first()).to.deep.equal({ count: 1 });
      expect(await store.knex('candles_5m_default').count().first()).to.deep.equal({ count: 1 });
      expect((await points('5m')).map(({ price }) => price)).to.deep.equal([1, 2]);
      expect(await store.partitions.ensure({ granularity: '5m', from: day, to: day + 1 })).to.equal(0);
    });

    it('that go when all in them is past its retention', async () => {
      await store.partitions.ensure({ granularity: '1h', from: day, to: day + 21 * dayMs });
      const before = await store.tables('1h');
      await store.candles.storePoints('1h', [
        seen('1h', { at: day - 40 * dayMs, price: 1 }),
        seen('1h', { at: day, price: 2 }),
        seen('1h', { at: day + 20 * dayMs, price: 3 }),
      ]);
      await store.candles.storePoints('1d', [seen('1d', { at: day - 900 * dayMs, price: 4 })]);
      const now = day + 22 * dayMs;
      const gone = await store.partitions.purge({ '1h': (7 * dayMs) / 1000 }, now);
      expect(gone).to.deep.equal({ dropped: before.length - 2, deleted: 1 });
      const left = await store.knex('candles').orderBy('open').pluck('open');
      expect(left).to.deep.equal([3, 4]);
      // One that went is made again when it is needed.
      expect(await store.partitions.ensure({ granularity: '1h', from: day, to: day })).to.equal(1);
      expect(await store.tables('1h')).to.include('candles_1h_20260608');
    });
  });

  describe('rolled up by a worker', () => {
    it('are reported as late by the job that rolls them up, once, until they are not', async () => {
      const lines: string[] = [];
      const note = (level: string) => (_: object, message: string) => lines.push(`${level}: ${message}`);
      const log = { ...silentLogger(), warn: note('warn'), info: note('info') } as unknown as Logger;
      const config = { HISTORY_RETENTION_5M: 7 * 86_400, HISTORY_RETENTION_1H: 100 * 86_400 } as Config;
      const { processors } = createHistoryProcessors(
        { config, clock: { now: () => Date.now() }, log },
        { history: store as unknown as HistoryService, sources: () => ({}) as never },
      );
      const roll = processors.maintenance()['candles.roll'];
      await store
        .knex('candle_rolls')
        .insert(
          ['1h', '1d'].map((resolution) => ({ resolution, rolled_to: new Date(Date.now() - 2 * hour) })),
        );
      await store.candles.mergeLive([seen('5m', { at: Date.now() - five, price: 1 })]);
      await store.knex.raw(`create function refuse() returns trigger language plpgsql as $$ begin
          raise exception 'the disk is full' using errcode = '53100'; end $$`);
      await store.knex.raw(
        'create trigger refuses before insert on candles_1h for each row execute function refuse()',
      );
      const failures = [await roll().catch(messageOf), await roll().catch(messageOf)];
      expect(failures).to.deep.equal(Array(2).fill('Database unavailable'));
      expect(lines).to.deep.equal([
        'warn: hourly and daily candles are more than 15 min late, charts lack recent ones: are workers running, is Postgres slow?',
      ]);
      await store.knex.raw('drop function refuse cascade');
      await roll();
      expect(lines.at(-1)).to.equal('info: hourly and daily candles are up to date again');
    });
  });
});
