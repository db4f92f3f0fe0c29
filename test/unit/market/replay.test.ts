import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { respondToCall } from '../../../embedded/market/api.ts';
import { projectRoot } from '../../../embedded/project-root.ts';
import { createReplaySource, parseHistory } from '../../../embedded/market/replay-source.ts';
import type { MarketSource } from '../../../embedded/market/source.ts';

const fixtures = join(projectRoot, 'test/fixtures/history');
const shared = process.env['PRICEPOOL_SHARED_DATA'] ?? join(projectRoot, '../shared/data');
const hour = 3_600;

/** A replay of the fixture at one second of history a millisecond; `goTo` sets the time of history. */
async function setUp(options: { from?: Date; loop?: boolean } = {}) {
  const time = { at: 5_000 };
  const source = await createReplaySource(
    { dir: fixtures, speed: 1_000, ...options },
    { now: () => time.at },
  );
  const start = source.now();
  const goTo = (iso: string) => void (time.at = 5_000 + (Date.parse(iso) - start) / 1_000);
  return { source, start, goTo };
}

function ask(source: MarketSource, path: string, query: Record<string, string>): unknown {
  const account = { plan: 'Demo', callsPerMinute: 30, monthlyCredits: 10_000, callsOfMonth: 0 } as const;
  const call = { source, path, query: new URLSearchParams(query), historyDays: undefined, account };
  return respondToCall(call).body;
}

const prices = (source: MarketSource, ids: string, currencies = 'usd') =>
  ask(source, '/simple/price', {
    ids,
    vs_currencies: currencies,
    include_market_cap: 'true',
    include_24hr_vol: 'true',
    include_24hr_change: 'true',
    include_last_updated_at: 'true',
  }) as Record<string, Record<string, number | null>>;

interface Samples {
  id: string;
  market_cap: number | null;
  market_cap_rank: number | null;
}

describe('replay of history', () => {
  it('begins where every file has a row, or where it is told to', async () => {
    expect((await setUp()).start).to.equal(Date.UTC(2021, 2, 2));
    expect((await setUp({ from: new Date('2021-03-01T12:00:00Z') })).start).to.equal(
      Date.UTC(2021, 2, 1, 12),
    );
  });

  it('serves the last observed row to the last digit, with its own time, never a value between two rows', async () => {
    const { source, goTo } = await setUp();
    goTo('2021-03-03T00:05:20Z');
    expect(prices(source, 'bitcoin')['bitcoin']).to.include({
      usd: 49500.55,
      usd_market_cap: 920000000000,
      usd_24h_vol: 61000000000,
      usd_24h_change: 10,
      last_updated_at: Date.UTC(2021, 2, 2) / 1_000,
    });
    goTo('2021-03-03T00:05:21Z');
    expect(prices(source, 'bitcoin')['bitcoin']).to.include({
      usd: 48300.25,
      usd_market_cap: null,
      usd_24h_change: Number(((48300.25 / 49500.55 - 1) * 100).toFixed(5)),
      last_updated_at: Date.UTC(2021, 2, 3, 0, 5, 21) / 1_000,
    });
  });

  it('says no change over a gap of days, and no volume where the file has none', async () => {
    const { source, goTo } = await setUp();
    goTo('2021-03-06T12:00:00Z');
    expect(prices(source, 'bitcoin')['bitcoin']).to.include({
      usd: 48800.125,
      usd_24h_change: null,
      usd_24h_vol: null,
    });
  });

  it('passes over rows without a price', async () => {
    const { source, goTo } = await setUp();
    goTo('2021-03-02T12:00:00Z');
    expect(prices(source, 'terra-luna')['terra-luna']).to.include({
      usd: 6.1,
      last_updated_at: Date.UTC(2021, 2, 1) / 1_000,
    });
  });

  it('knows no asset before its first row', async () => {
    const { source, goTo } = await setUp({ from: new Date('2021-03-01T00:00:00Z') });
    expect(prices(source, 'bitcoin,ethereum')).to.have.all.keys('bitcoin');
    expect(source.ranked()).to.deep.equal(['bitcoin', 'terra-luna']);
    goTo('2021-03-02T00:00:00Z');
    expect(prices(source, 'bitcoin,ethereum')).to.have.all.keys('bitcoin', 'ethereum');
  });

  it('has each currency by its own file, and nothing in a currency without one', async () => {
    const { source, goTo } = await setUp();
    goTo('2021-03-03T12:00:00Z');
    const found = prices(source, 'ethereum,bitcoin', 'usd,eur,gbp');
    expect(found['ethereum']).to.include({ usd: 1490.125, eur: 1303.5 });
    expect(found['bitcoin']).to.not.have.any.keys('eur', 'gbp');
    expect(prices(source, 'bitcoin', 'gbp')).to.deep.equal({ bitcoin: {} });
    const rows = ask(source, '/coins/markets', { vs_currency: 'gbp' }) as Record<string, unknown>[];
    expect(rows).to.have.length(3);
    expect(rows[0]).to.include({ current_price: null, last_updated: null, market_cap_rank: null });
  });

  it('ranks by market cap where there is one', async () => {
    const { source, goTo } = await setUp();
    const rows = () =>
      (ask(source, '/coins/markets', { vs_currency: 'usd' }) as Samples[]).map((row) => [
        row.id,
        row.market_cap,
        row.market_cap_rank,
      ]);
    goTo('2021-03-02T06:00:00Z');
    expect(rows()).to.deep.equal([
      ['bitcoin', 920000000000, 1],
      ['terra-luna', 2400000000, 2],
      ['ethereum', null, null],
    ]);
    goTo('2021-03-07T00:00:00Z');
    expect(rows().map(([id]) => id)).to.deep.equal(['bitcoin', 'ethereum', 'terra-luna']);
  });

  it('stays at the last row, or begins anew a day after it', async () => {
    const staying = await setUp();
    staying.goTo('2022-01-01T00:00:00Z');
    expect(staying.source.now()).to.equal(Date.UTC(2021, 2, 7));
    expect(prices(staying.source, 'bitcoin')['bitcoin']).to.include({ usd: 50900.75 });
    const looping = await setUp({ loop: true });
    looping.goTo('2021-03-07T23:00:00Z');
    expect(prices(looping.source, 'bitcoin')['bitcoin']).to.include({ usd: 50900.75 });
    looping.goTo('2021-03-08T01:00:00Z');
    expect(looping.source.now()).to.equal(Date.UTC(2021, 2, 2) + hour * 1_000);
    expect(prices(looping.source, 'bitcoin')['bitcoin']).to.include({ usd: 49500.55 });
  });

  it('refuses what cannot be replayed', async () => {
    const clock = { now: () => 0 };
    const reason = async (options: Parameters<typeof createReplaySource>[0]) =>
      createReplaySource(options, clock).then(
        () => 'no error',
        (error: unknown) => (error as Error).message,
      );
    expect(await reason({ dir: import.meta.dirname, speed: 1 })).to.include('no CoinGecko export');
    expect(await reason({ dir: fixtures, speed: 0 })).to.include('speed');
    expect(await reason({ dir: fixtures, speed: 1, from: new Date('2030-01-01') })).to.include(
      'nothing to replay',
    );
  });
});

describe('a CoinGecko export', () => {
  const header = 'snapped_at,price,market_cap,total_volume';
  const failing: [string, string, string][] = [
    ['btc-usd.csv', 'date,price\n', 'btc-usd.csv:1'],
    ['btc-usd.csv', `${header}\n2021-03-01,1,1,1\n`, 'btc-usd.csv:2: not a time'],
    [
      'btc-usd.csv',
      `${header}\n2021-03-01 00:00:00 UTC,1,1,1\n2021-03-02 00:00:00 UTC,x,1,1\n`,
      ':3: not a number',
    ],
    ['btc-usd.csv', `${header}\n2021-03-01 00:00:00 UTC,1,1\n`, ':2: 3 columns'],
    ['btc-usd.csv', `${header}\n2021-03-01 00:00:00 UTC,,,\n`, 'no row with a price'],
    ['prices.csv', header, 'not <symbol>-<currency>.csv'],
  ];
  for (const [name, text, message] of failing) {
    it(`is refused with its place: ${message}`, () => {
      expect(() => parseHistory(name, text)).to.throw(message);
    });
  }

  it('is sorted by time, and the later of two rows for one moment counts', () => {
    const lines = [
      '2021-03-02 00:00:00 UTC,2,,',
      '2021-03-01 00:00:00 UTC,1,,',
      '2021-03-02 00:00:00 UTC,3,,',
    ];
    const { rows } = parseHistory('btc-usd.csv', [header, ...lines, ''].join('\r\n'));
    expect(rows.map(({ price }) => price)).to.deep.equal([1, 3]);
  });
});

describe('replay of the real exports', function () {
  const dir = join(shared, 'history');
  before(function () {
    if (!existsSync(dir)) {
      console.log(`      skipped: no exports in ${dir} (set PRICEPOOL_SHARED_DATA)`);
      this.skip();
    }
  });

  it('serves every row of a file exactly when its time has come', async () => {
    const time = { at: 0 };
    const source = await createReplaySource(
      { dir, speed: 1_000, from: new Date('2013-04-28T00:00:00Z') },
      { now: () => time.at },
    );
    const start = source.now();
    const { rows } = parseHistory('btc-usd.csv', await readFile(join(dir, 'btc-usd.csv'), 'utf8'));
    expect(rows.length).to.be.above(3_000);
    for (const row of rows) {
      time.at = (row.at - start) / 1_000;
      const seen = source.observe('bitcoin', 'usd');
      expect([seen?.price, seen?.asOf]).to.deep.equal([row.price, row.at]);
    }
  });
});
