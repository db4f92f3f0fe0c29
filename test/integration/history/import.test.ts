import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { dayMs } from '../../../src/features/history/chart.ts';
import {
  importExport,
  importSource,
  nameOfExport,
  describeWarnings,
} from '../../../src/features/history/import-export.ts';
import { openHistoryStore, type HistoryStore } from '../../support/history.ts';

const fixture = new URL('../../fixtures/exports/odd-usd.csv', import.meta.url).pathname;
const day = (text: string): number => Date.parse(`${text}T00:00:00Z`);
const clock = { now: () => Date.UTC(2026, 5, 10, 12, 30) };
const odd = { assetId: 'odd', currency: 'usd' };

describe('importing exports of CoinGecko', () => {
  let store: HistoryStore;
  before(async () => {
    store = await openHistoryStore();
  });
  beforeEach(() => store.empty());
  after(() => store.close());

  const load = (path = fixture, about = odd) => importExport({ ...store, clock }, { path, ...about });
  const chart = () =>
    store.candles.points({ ...odd, granularity: '1d', from: day('2019-01-01'), to: day('2020-01-01') });

  it('stores every row that has a price, with just its numbers', async () => {
    const report = await load();
    expect(report).to.deep.include({ granularity: '1d', lines: 13, rows: 8, inserted: 7, improved: 0 });
    const found = await chart();
    expect(found.map(({ at, price, marketCap, volume }) => [at, price, marketCap, volume])).to.deep.equal([
      [day('2019-03-01'), 1.5, 0, 0],
      [day('2019-03-02'), 1.6250000000000002, 1000.5, 200.25],
      [day('2019-03-03'), 1.75, null, null],
      [day('2019-03-05'), 2, 1100, 250],
      [day('2019-03-06'), 2.125e-7, 1200, 300],
      [day('2019-03-07') + 299_000, 3.0000000000000004, 1300, 310],
      [day('2019-03-13'), 7.1, 1900.125, 370],
    ]);
    expect(await store.knex('candles').distinct().pluck('source')).to.deep.equal([importSource]);
  });

  it('says what is odd, line by line', async () => {
    const { warnings } = await load();
    expect(describeWarnings(warnings)).to.deep.equal([
      'line 2: market cap 0',
      'line 2: volume 0',
      'line 4: no market cap',
      'line 4: no volume',
      'line 5: missing days (2019-03-04 to 2019-03-05)',
      'line 6: same day again (2019-03-06)',
      'line 6: not at midnight (2019-03-06T12:30:00)',
      'line 7: out of order',
      'line 8: not at midnight (2019-03-07T00:04:59)',
      'line 9: malformed (not a number: not-a-price)',
      'line 10: malformed (3 columns)',
      'line 11: missing days (2019-03-08 to 2019-03-09)',
      'line 11: no price',
      'line 12: malformed (not a time: yesterday)',
      'line 13: malformed (not a number: -6)',
      'line 14: missing days (2019-03-11 to 2019-03-12)',
    ]);
  });

  it('a second time changes nothing', async () => {
    await load();
    const before = await store.knex('candles').orderBy('open_time');
    expect(await load()).to.deep.include({ rows: 8, inserted: 0, improved: 0, different: 0 });
    expect(await store.knex('candles').orderBy('open_time')).to.deep.equal(before);
  });

  it('keeps another price that is stored of the same moment, and counts it', async () => {
    const point = { at: day('2019-03-02'), price: 8, marketCap: 1, volume: 1 };
    await store.candles.storePoints('1d', [
      {
        ...odd,
        ...point,
        openTime: point.at,
        firstAt: point.at,
        lastAt: point.at,
        open: 8,
        high: 8,
        low: 8,
        close: 8,
        observations: 1,
        source: 'x',
      },
    ]);
    expect(await load()).to.deep.include({ inserted: 6, different: 1 });
    expect((await chart())[1]?.price).to.equal(8);
  });

  it('stores nothing of a file that breaks off', async () => {
    const candles = { ...store.candles };
    candles.inTransaction = (work) =>
      store.candles.inTransaction(async (inside) => {
        await work(inside);
        expect(
          (await inside.points({ ...odd, granularity: '1d', from: 0, to: day('2020-01-01') })).length,
        ).to.equal(7);
        throw new Error('killed');
      });
    const failed = await importExport({ ...store, candles, clock }, { path: fixture, ...odd }).catch(String);
    expect(failed).to.contain('killed');
    expect(await chart()).to.deep.equal([]);
  });

  describe('refuses', () => {
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'exports-'));
    });
    after(() => rm(folder, { recursive: true }));

    const refusalOf = async (text: string): Promise<string> => {
      const path = join(folder, 'x-usd.csv');
      await writeFile(path, text);
      return await load(path).then(() => 'taken', String);
    };

    it('what is no export', async () => {
      expect(await refusalOf('')).to.contain('the file is empty');
      expect(await refusalOf('date,close\n2020-01-01,5\n')).to.contain('not a CoinGecko export');
      expect(await refusalOf(`snapped_at,price,market_cap,total_volume\n${'x'.repeat(20_000)}\n`)).to.contain(
        'Error',
      );
      expect(await load('/nowhere/x-usd.csv').catch(String)).to.contain('ENOENT');
      expect(await store.knex('candles').count().first()).to.deep.equal({ count: 0 });
    });

    it('rows of the future, but for the clocks of other time zones', async () => {
      const path = join(folder, 'f-usd.csv');
      const dates = ['2026-06-10', '2026-06-11', '2026-06-12', '2099-01-01'];
      const rows = dates.map((date) => `${date} 00:00:00 UTC,5,1,1`);
      await writeFile(path, `snapped_at,price,market_cap,total_volume\n${rows.join('\n')}\n`);
      const { rows: taken, inserted, warnings } = await load(path);
      expect([taken, inserted]).to.deep.equal([2, 2]);
      expect(describeWarnings(warnings)).to.deep.equal([
        'line 4: malformed (in the future: 2026-06-12 00:00:00 UTC)',
        'line 5: malformed (in the future: 2099-01-01 00:00:00 UTC)',
      ]);
      expect(await store.knex('candles').max('open_time').first()).to.deep.equal({
        max: new Date('2026-06-11T00:00:00Z'),
      });
    });

    it('hours for days: rows of hours are hours, and give the begins of days', async () => {
      const path = join(folder, 'h-usd-30d.csv');
      const rows = Array.from({ length: 50 }, (_, hour) => {
        const at = new Date(day('2020-05-01') + hour * 3_600_000)
          .toISOString()
          .slice(0, 19)
          .replace('T', ' ');
        return `${at} UTC,${hour + 1},1,1`;
      });
      await writeFile(path, `\uFEFFsnapped_at,price,market_cap,total_volume\r\n${rows.join('\r\n')}\r\n`);
      expect(await load(path)).to.deep.include({ granularity: '1h', inserted: 50, warnings: [] });
      const days = await store.candles.dailyCloses({
        assetIds: ['odd'],
        currency: 'usd',
        from: 0,
        to: day('2021-01-01'),
      });
      expect(days.get('odd')?.closes).to.deep.equal([1, 25, 49]);
    });
  });

  it('knows an asset and a currency by the name of a file', () => {
    const names = ['/a/BTC-usd.csv', 'ada-eur-max.csv', 'usd-coin-usd.csv', 'btc.csv', 'btc-usd.txt'];
    expect(names.map(nameOfExport)).to.deep.equal([
      { symbol: 'btc', currency: 'usd' },
      { symbol: 'ada', currency: 'eur' },
      { symbol: 'usd-coin', currency: 'usd' },
      undefined,
      undefined,
    ]);
  });

  describe('real ones', () => {
    const folder = process.env['HISTORY_DIR'] ?? '';

    it('give back every day of every file of HISTORY_DIR', async function () {
      if (folder === '' || !existsSync(folder)) {
        this.test!.title += ' (skipped: HISTORY_DIR names no folder of exports)';
        this.skip();
      }
      this.timeout(60_000);
      const files = (await readdir(folder)).filter((name) => nameOfExport(name) !== undefined);
      for (const name of files) {
        const { symbol, currency } = nameOfExport(name)!;
        const report = await load(join(folder, name), { assetId: symbol, currency });
        const again = await load(join(folder, name), { assetId: symbol, currency });
        expect([again.inserted, again.improved, again.different], name).to.deep.equal([0, 0, 0]);
        const expected = (await readFile(join(folder, name), 'utf8'))
          .trim()
          .split(/\r?\n/)
          .slice(1)
          .map(cellsOf);
        const found = await store.candles.points({
          assetId: symbol,
          currency,
          granularity: '1d',
          from: Math.floor(expected[0]![0]! / dayMs) * dayMs,
          to: expected.at(-1)![0]!,
        });
        expect(
          found.map(({ at, price, marketCap, volume }) => [at, price, marketCap, volume]),
          name,
        ).to.deep.equal(expected);
        expect(report.inserted, name).to.equal(expected.length);
      }
    });
  });
});

/** A line as this test reads it, without the code that is tested. */
function cellsOf(line: string): readonly (number | null)[] {
  const [at = '', ...values] = line.split(',');
  return [
    Date.parse(at.replace(' ', 'T').replace(' UTC', 'Z')),
    ...values.map((cell) => (cell === '' ? null : Number(cell))),
  ];
}
