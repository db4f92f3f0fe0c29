/** Charts, candles and days of CoinGecko's contract. */
import { expect } from 'chai';
import { directoryOver } from '../../src/features/assets/asset-directory.ts';
import { createAssetIndex, searchable } from '../../src/features/assets/asset-index.ts';
import { outOfReachReason } from '../../src/features/coingecko-api/passthrough-store.ts';
import { toCachedQuote } from '../../src/domain/cached-quote.ts';
import { dayMs } from '../../src/features/history/chart.ts';
import { FakeHistory } from './support/fake-history.ts';
import { startApi, type TestApi } from './support/ports.ts';

const now = Date.UTC(2026, 5, 10, 12, 30, 20);
const hour = 3_600_000;
const coin = '/api/v3/coins/bitcoin';

describe('history of the v3 API', () => {
  let api: TestApi;
  let history: FakeHistory;

  beforeEach(async () => {
    history = new FakeHistory();
    api = await startApi({ history, clock: { now: () => now } });
  });
  afterEach(() => api.close(0));

  async function get(path: string): Promise<{ status: number; body: unknown; headers: Headers }> {
    const response = await api.call('GET', path);
    return { status: response.status, body: await response.json(), headers: response.headers };
  }

  function latest(price: number, at: number): void {
    const quote = toCachedQuote({
      ...{
        assetId: 'bitcoin',
        symbol: 'btc',
        name: 'Bitcoin',
        currency: 'usd',
        price,
        marketCap: 5,
        rank: 1,
      },
      ...{ change24h: null, changePercent24h: null, volume24h: null, source: 'x', receivedAt: at },
      asOf: new Date(at).toISOString(),
    });
    api.market.readings.set('usd:bitcoin', { assetId: 'bitcoin', state: 'fresh', quote });
  }

  const point = (at: number, price: number) => ({
    openTime: at,
    at,
    price,
    marketCap: price * 10,
    volume: null,
  });

  describe('a chart', () => {
    it('is three lists of the same moments, with the latest price at their end', async () => {
      history.reading = { state: 'whole', points: [point(now - 2 * hour, 0.1 + 0.2), point(now - hour, 7)] };
      latest(8.123456789012345, now - 5_000);
      const { status, body, headers } = await get(`${coin}/market_chart?vs_currency=usd&days=7`);
      expect(status).to.equal(200);
      expect(headers.get('x-pricepool-state')).to.equal('fresh');
      const moments = [now - 2 * hour, now - hour, now - 5_000];
      expect(body).to.deep.equal({
        prices: [0.1 + 0.2, 7, 8.123456789012345].map((price, index) => [moments[index], price]),
        market_caps: [3.0000000000000004, 70, 5].map((cap, index) => [moments[index], cap]),
        total_volumes: moments.map((at) => [at, null]),
      });
    });

    it('follows the rules of CoinGecko on distances', async () => {
      history.reading = { state: 'whole', points: [point(now - hour, 1)] };
      const cases = [
        ...['days=1', 'days=2', 'days=90', 'days=91', 'days=max', 'days=0.5'],
        ...[
          'days=1&interval=hourly',
          'days=7&interval=daily',
          'days=300&interval=hourly',
          'days=1&interval=weekly',
        ],
      ];
      for (const each of cases) await get(`${coin}/market_chart?vs_currency=usd&${each}`);
      expect(history.requested.map(({ granularity }) => granularity)).to.deep.equal([
        '5m',
        '1h',
        '1h',
        '1d',
        '1d',
        '5m',
        '1h',
        '1d',
        '1h',
        '5m',
      ]);
      expect(history.requested.slice(0, 3).map(({ from, to }) => (to - from) / dayMs)).to.deep.equal([
        1, 2, 90,
      ]);
    });

    it('takes max in capitals', async () => {
      history.reading = { state: 'whole', points: [point(now - hour, 1)] };
      for (const days of ['max', 'MAX', 'Max'])
        expect((await get(`${coin}/market_chart?vs_currency=usd&days=${days}`)).status, days).to.equal(200);
      const spans = history.requested.map(({ granularity, from }) => `${granularity} ${from}`);
      expect(new Set(spans).size).to.equal(1);
      const key = '/coins/bitcoin/ohlc?days=max&vs_currency=usd';
      api.documents.readings.set(key, { state: 'fresh', response: { json: '[]', receivedAt: now } });
      expect((await get(`${coin}/ohlc?vs_currency=usd&days=MAX`)).status).to.equal(200);
    });

    it('of a span is without the latest price, unless it reaches the present', async () => {
      history.reading = { state: 'whole', points: [point(now - 40 * dayMs, 6)] };
      latest(8, now - 5_000);
      const begin = Math.floor((now - 41 * dayMs) / 1000);
      const span = (to: number) => `${coin}/market_chart/range?vs_currency=usd&from=${begin}&to=${to}`;
      const past = await get(span(begin + 172_800));
      expect((past.body as { prices: unknown }).prices).to.deep.equal([[now - 40 * dayMs, 6]]);
      const present = await get(span(Math.ceil(now / 1000)));
      expect((present.body as { prices: unknown[] }).prices).to.have.length(2);
      const dated = await get(`${coin}/market_chart/range?vs_currency=usd&from=2026-01-01&to=2026-01-03`);
      expect(dated.status).to.equal(200);
      expect(history.requested.at(-1)).to.deep.include({
        from: Date.UTC(2026, 0, 1),
        to: Date.UTC(2026, 0, 3),
      });
    });

    it('of a span until now in whole seconds or minutes ends with the latest price', async () => {
      const midnight = Date.UTC(2026, 5, 10);
      history.reading = { state: 'whole', points: [point(midnight, 6)] };
      latest(8, now - 500);
      const from = now / 1_000 - 100 * 86_400;
      for (const ago of [1, 20, 240]) {
        const span = `from=${from}&to=${now / 1_000 - ago}`;
        const { body, headers } = await get(`${coin}/market_chart/range?vs_currency=usd&${span}`);
        const { prices } = body as { prices: unknown[] };
        expect(prices.at(-1), `${ago} s ago`).to.deep.equal([now - 500, 8]);
        expect(headers.get('age')).to.equal('0');
      }
      const earlier = `from=${from}&to=${now / 1_000 - 900}`;
      const { body } = await get(`${coin}/market_chart/range?vs_currency=usd&${earlier}`);
      expect((body as { prices: unknown }).prices).to.deep.equal([[midnight, 6]]);
    });

    it('of what no source has any more at this distance is empty, and says that something is missing', async () => {
      history.reading = { state: 'partial', points: [], isBeyondReach: true };
      const { status, body, headers } = await get(
        `${coin}/market_chart/range?vs_currency=usd&from=1&to=9000000&interval=5m`,
      );
      expect([status, headers.get('x-pricepool-state')]).to.deep.equal([200, 'partial']);
      expect(body).to.have.deep.property('prices', []);
    });

    it('rounds prices only when asked to', async () => {
      history.reading = { state: 'whole', points: [point(now - hour, 1.23456789)] };
      const { body } = await get(`${coin}/market_chart?vs_currency=usd&days=7&precision=3`);
      expect((body as { prices: unknown }).prices).to.deep.equal([[now - hour, 1.235]]);
    });

    it('says when something is missing, and is kept by no cache then', async () => {
      history.reading = { state: 'partial', points: [point(now - hour, 1)] };
      const { status, headers } = await get(`${coin}/market_chart?vs_currency=usd&days=7`);
      expect([status, headers.get('x-pricepool-state')]).to.deep.equal([200, 'partial']);
      expect(headers.get('cache-control')).to.contain('no-store');
    });

    it('without a single point yet is 503 and says when to come back', async () => {
      history.reading = { state: 'partial', points: [] };
      const { status, body, headers } = await get(
        `${coin}/market_chart/range?vs_currency=usd&from=1&to=9000000`,
      );
      expect(status).to.equal(503);
      expect(Number(headers.get('retry-after'))).to.be.within(1, 30);
      expect(body).to.have.nested.property('status.error_code', 503);
    });

    it('of a time that the source refuses is CoinGecko\'s 401, and never "on its way"', async () => {
      history.reading = { state: 'partial', points: [], isRefused: true };
      const path = `${coin}/market_chart/range?vs_currency=usd&from=1430784000&to=1430870400`;
      const { status, body, headers } = await get(path);
      expect([status, headers.get('retry-after')]).to.deep.equal([401, null]);
      expect(body).to.have.nested.property('error.status.error_code', 10_012);
      expect(body)
        .to.have.nested.property('error.status.error_message')
        .that.matches(/^Your request exceeds the allowed time range.*365 days/);
      // A key that is refused, say: of a time that could be had.
      const recent = `from=${now / 1000 - 7_200}&to=${now / 1000 - 3_600}`;
      const { status: other } = await get(`${coin}/market_chart/range?vs_currency=usd&${recent}`);
      expect(other).to.equal(503);
    });

    it('of nothing that is known is 404, of a time in which there was nothing is empty', async () => {
      const path = `${coin}/market_chart/range?vs_currency=usd&from=1000&to=9000000`;
      expect(await get(path)).to.deep.include({ status: 404, body: { error: 'coin not found' } });
      history.reading = { state: 'whole', points: [] };
      const empty = { prices: [], market_caps: [], total_volumes: [] };
      expect(await get(path)).to.deep.include({ status: 200, body: empty });
    });
  });

  it('refuses what CoinGecko refuses', async () => {
    const chart = `${coin}/market_chart`;
    const tries: [string, number, string][] = [
      [`${chart}?days=1`, 422, 'Missing parameter vs_currency'],
      [`${chart}?vs_currency=usd`, 422, 'Missing parameter days'],
      [`${chart}?vs_currency=zzz&days=1`, 422, 'invalid vs_currency'],
      ...['-1', '0', 'abc', 'NaN', '1e9', '-0'].map((days): [string, number, string] => [
        `${chart}?vs_currency=usd&days=${days}`,
        422,
        'Invalid days',
      ]),
      [`${chart}/range?vs_currency=usd&to=5`, 422, 'Missing parameter from'],
      [`${chart}/range?vs_currency=usd&from=5`, 422, 'Missing parameter to'],
      [`${chart}/range?vs_currency=usd&from=x&to=5`, 422, 'Invalid date'],
      [`${chart}/range?vs_currency=usd&from=-5&to=5`, 422, 'Invalid date'],
      ['/api/v3/coins/no%2Fcoin/market_chart?vs_currency=usd&days=1', 404, 'coin not found'],
      [`${coin}/ohlc?vs_currency=usd`, 422, 'Missing parameter days'],
      [`${coin}/ohlc?vs_currency=usd&days=8`, 400, 'Invalid days parameter'],
      [`${coin}/history`, 422, 'Missing parameter date'],
      ...['2026-01-30', '31-02-2026', '00-01-2026', '30-12-9999', 'x'].map(
        (date): [string, number, string] => [`${coin}/history?date=${date}`, 400, 'invalid date'],
      ),
    ];
    for (const [path, status, error] of tries) {
      expect(await get(path), path).to.deep.include({ status, body: { error } });
    }
    expect(history.requested).to.deep.equal([]);
  });

  describe('candles', () => {
    const path = `${coin}/ohlc?vs_currency=usd&days=1`;
    const own = { openTime: now - hour, open: 1, high: 4, low: 0.5, close: 2 };

    it('are our own, stamped with their close, where every one of them was watched', async () => {
      history.candles = { candles: [own], missing: 0 };
      expect((await get(path)).body).to.deep.equal([[now - hour / 2, 1, 4, 0.5, 2]]);
    });

    it('are those of the source where one of them was not', async () => {
      history.candles = { candles: [own], missing: 1 };
      const json = '[[1,2,3,1,2]]';
      const key = '/coins/bitcoin/ohlc?days=1&vs_currency=usd';
      api.documents.readings.set(key, { state: 'fresh', response: { json, receivedAt: now } });
      expect((await get(path)).body).to.deep.equal([[1, 2, 3, 1, 2]]);
    });

    it('are as many as there are when the source does not answer', async () => {
      history.candles = { candles: [own], missing: 1 };
      api.documents.readings.set('/coins/bitcoin/ohlc?days=1&vs_currency=usd', { state: 'unavailable' });
      const { status, headers, body } = await get(path);
      expect([status, headers.get('x-pricepool-state')]).to.deep.equal([200, 'partial']);
      expect(body).to.have.length(1);
    });
  });

  describe('of a day that the source does not reach back to', () => {
    const path = `${coin}/history?date=05-05-2015`;
    beforeEach(() => {
      const key = '/coins/bitcoin/history?date=05-05-2015&localization=true';
      api.documents.readings.set(key, { state: 'unavailable', reason: outOfReachReason });
    });

    it('is 401 where no other source does either', async () => {
      for (const reading of [
        { state: 'partial', points: [], isRefused: true },
        { state: 'whole', points: [] },
      ] as const) {
        history.reading = reading;
        const { status, body, headers } = await get(path);
        expect([status, headers.get('retry-after')]).to.deep.equal([401, null]);
        expect(body).to.have.nested.property('error.status.error_code', 10_012);
      }
    });

    it('is on its way while another source may tell it', async () => {
      history.reading = { state: 'partial', points: [], isRefused: false };
      expect((await get(path)).status).to.equal(503);
    });
  });

  describe('of an id that nobody lists', () => {
    let listed: TestApi;
    beforeEach(async () => {
      const names = {
        symbol: 'btc',
        name: 'Bitcoin',
        rank: 1,
        image: null,
        platformsJson: '{}',
        active: true,
      };
      const index = createAssetIndex([searchable({ ...names, id: 'bitcoin' })]);
      listed = await startApi({ history, clock: { now: () => now }, assets: directoryOver(() => index) });
    });
    afterEach(() => listed.close(0));

    it('asks nobody, and tells what is stored all the same', async () => {
      for (const path of ['', '/ohlc?vs_currency=usd&days=1', '/history?date=30-01-2020']) {
        const response = await listed.call('GET', `/api/v3/coins/no-such-coin${path}`);
        expect(response.status, path).to.equal(404);
        expect(await response.json()).to.deep.equal({ error: 'coin not found' });
      }
      expect([listed.documents.paths, history.requested]).to.deep.equal([[], []]);
      history.days = [
        { currency: 'usd', at: Date.UTC(2020, 0, 30), price: 10, marketCap: null, volume: null },
      ];
      const stored = await listed.call('GET', '/api/v3/coins/no-such-coin/history?date=30-01-2020');
      expect(stored.status).to.equal(200);
      await listed.call('GET', '/api/v3/coins/bitcoin');
      expect(listed.documents.paths).to.have.length(1);
    });
  });

  it('takes no path of CoinGecko for an asset, with a list of them or without', async () => {
    for (const path of [
      'categories',
      'top_gainers_losers',
      'Categories',
      'categories/history?date=30-01-2020',
    ]) {
      const { status, body } = await get(`/api/v3/coins/${path}`);
      expect([path, status]).to.deep.equal([path, 404]);
      expect(body)
        .to.have.property('error')
        .that.matches(/^Incorrect path/);
    }
    expect(api.documents.paths).to.deep.equal([]);
  });

  it('of a day is told in the currencies that are stored', async () => {
    const about = { at: Date.UTC(2020, 0, 30), volume: 3 };
    history.days = [
      { ...about, currency: 'eur', price: 9, marketCap: null },
      { ...about, currency: 'usd', price: 10, marketCap: 100 },
    ];
    const { status, body } = await get(`${coin}/history?date=30-01-2020&localization=false`);
    expect(status).to.equal(200);
    expect(body).to.deep.include({
      id: 'bitcoin',
      market_data: {
        current_price: { eur: 9, usd: 10 },
        market_cap: { usd: 100 },
        total_volume: { eur: 3, usd: 3 },
      },
    });
    expect(body).not.to.have.property('localization');
  });
});
