/** `/coins/markets`, documents and `/key` of CoinGecko's contract. */
import { expect } from 'chai';
import { toCachedQuote } from '../../src/domain/cached-quote.ts';
import type { Quote } from '../../src/domain/quote.ts';
import { startApi, type TestApi } from './support/ports.ts';

const root = '/api/v3/coins/markets?vs_currency=usd';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers of every shape are looked into
type Row = Record<string, any>;

describe('market rows', () => {
  let api: TestApi;
  /** How far the clock of the API is ahead. */
  let lateMs: number;

  beforeEach(async () => {
    lateMs = 0;
    api = await startApi({ clock: { now: () => Date.now() + lateMs } });
  });
  afterEach(async () => {
    await api.close(0);
  });

  const receivedAt = Date.now();

  function putQuote(assetId: string, different: Partial<Quote> = {}): void {
    const quote = toCachedQuote({
      assetId,
      symbol: 'x',
      name: assetId,
      currency: 'usd',
      price: 2,
      marketCap: 200,
      rank: 1,
      change24h: null,
      changePercent24h: 1.5,
      volume24h: 20,
      source: 'coingecko',
      asOf: '2026-02-02T00:00:00.000Z',
      receivedAt,
      ...different,
    });
    api.market.readings.set(`usd:${assetId}`, { assetId, state: 'fresh', quote });
  }

  function putRow(assetId: string, different: Row = {}, at = receivedAt): void {
    const row = {
      id: assetId,
      symbol: 'x',
      name: assetId,
      image: 'https://x.example/x.png',
      current_price: 1.234_567_89,
      market_cap: 100,
      total_volume: 10,
      ath: 5.000_000_1,
      price_change_percentage_24h: 1.5,
      price_change_percentage_1h_in_currency: 0.1,
      price_change_percentage_7d_in_currency: null,
      last_updated: '2026-01-01T00:00:00.000Z',
      ...different,
    };
    const json = JSON.stringify(row);
    api.market.rowsByKey.set(`usd:${assetId}`, { assetId, currency: 'usd', receivedAt: at, json });
  }

  async function rowsOf(query: string): Promise<Row[]> {
    const response = await api.call('GET', root + query);
    expect(response.status).to.equal(200);
    return (await response.json()) as Row[];
  }

  it('are what the source sent, rounded as CoinGecko rounds by default', async () => {
    putQuote('a');
    putRow('a');
    const [row] = await rowsOf('&ids=a');
    expect(row).to.deep.equal({
      id: 'a',
      symbol: 'x',
      name: 'a',
      image: 'https://x.example/x.png',
      current_price: 1.234_57,
      market_cap: 100,
      total_volume: 10,
      ath: 5,
      price_change_percentage_24h: 1.5,
      last_updated: '2026-01-01T00:00:00.000Z',
    });
    const [exact] = await rowsOf('&ids=a&precision=full');
    expect(exact).to.include({ current_price: 1.234_567_89, ath: 5.000_000_1 });
  });

  it('have the figures of a quote that is newer, and nothing else of it', async () => {
    putRow('a', {}, receivedAt - 60_000);
    putQuote('a');
    const response = await api.call('GET', `${root}&ids=a`);
    // The rest of the row is as old as it is.
    expect(Number(response.headers.get('age'))).to.be.at.least(60);
    const [row] = (await response.json()) as Row[];
    expect(row).to.include({
      current_price: 2,
      market_cap: 200,
      total_volume: 20,
      last_updated: '2026-02-02T00:00:00.000Z',
      ath: 5,
    });
  });

  it('are made of a quote where no row was told, with nulls for all that nobody told', async () => {
    putQuote('a', { source: 'coinmarketcap', marketCap: null });
    const [row] = await rowsOf('&ids=a');
    expect(row).to.include({
      id: 'a',
      current_price: 2,
      market_cap: null,
      ath: null,
      high_24h: null,
      roi: null,
    });
  });

  it('tell the changes of just those windows that are asked for', async () => {
    putQuote('a');
    putRow('a');
    const [row] = await rowsOf('&ids=a&price_change_percentage=1h,7D,24h,nonsense');
    expect(Object.entries(row!).filter(([name]) => name.endsWith('_in_currency'))).to.deep.equal([
      ['price_change_percentage_1h_in_currency', 0.1],
      ['price_change_percentage_24h_in_currency', 1.5],
      ['price_change_percentage_7d_in_currency', null],
    ]);
  });

  describe('of several assets', () => {
    const caps: [string, number | null, number][] = [
      ['b', 20, 3],
      ['a', 10, 1],
      ['d', null, 9],
      ['c', 30, 2],
    ];
    beforeEach(() => {
      for (const [id, marketCap, volume] of caps) {
        putQuote(id);
        putRow(id, { market_cap: marketCap, total_volume: volume });
      }
    });

    const orders: [string, string][] = [
      ['', 'cbad'],
      ['&order=market_cap_asc', 'abcd'],
      ['&order=volume_desc', 'dbca'],
      ['&order=volume_asc', 'acbd'],
      ['&order=id_asc', 'abcd'],
      ['&order=ID_DESC', 'dcba'],
      ['&order=nonsense', 'cbad'],
      ['&per_page=2', 'cb'],
      ['&per_page=2&page=2', 'ad'],
      ['&per_page=2&page=3', ''],
      ['&per_page=0', 'cbad'],
      ['&per_page=abc', 'cbad'],
      ['&per_page=251', 'cbad'],
      ['&per_page=-1', 'cbad'],
      ['&per_page=2&page=0', 'cb'],
      ['&per_page=2&page=abc', 'cb'],
      ['&per_page=2&page=99999999999999999999', 'cb'],
    ];
    for (const [query, expected] of orders) {
      it(`stand in order and pages of ${query || 'no parameter'}`, async () => {
        const rows = await rowsOf(`&ids=a, B,c,,d,c,unknown${query}`);
        expect(rows.map(({ id }) => id as string).join('')).to.equal(expected);
      });
    }

    it('say how many there are and where the other pages are, without the key', async () => {
      const response = await api.call(
        'GET',
        `${root}&ids=a,b,c,d&per_page=1&page=2&x_cg_pro_api_key=${api.token}&X_CG_Demo_API_key=secret&X_cg_pro_api_key=secret`,
      );
      expect(response.headers.get('total')).to.equal('4');
      expect(response.headers.get('per-page')).to.equal('1');
      const page = (number: number): string =>
        `</api/v3/coins/markets?vs_currency=usd&ids=a%2Cb%2Cc%2Cd&per_page=1&page=${number}>`;
      expect(response.headers.get('link')).to.equal(
        `${page(1)}; rel="first", ${page(1)}; rel="prev", ${page(3)}; rel="next", ${page(4)}; rel="last"`,
      );
    });
  });

  it('come by rank out of pages of 250, also across their border', async () => {
    const ids = Array.from({ length: 500 }, (_, index) => `c${index + 1}`);
    for (const id of ids) putQuote(id);
    api.market.rankings.set('usd:1', { assetIds: ids.slice(0, 250), receivedAt });
    api.market.rankings.set('usd:2', { assetIds: ids.slice(250), receivedAt });
    const rows = await rowsOf('&page=3');
    expect(rows.map(({ id }) => id as string)).to.deep.equal(ids.slice(200, 300));
    expect(await rowsOf('&per_page=250&page=2')).to.have.length(250);
  });

  it('are as stale as their ranking, however fresh the prices are', async () => {
    putQuote('a');
    const old = Date.now() - api.market.freshMs - 5_000;
    api.market.rankings.set('usd:1', { assetIds: ['a'], receivedAt: old });
    const { headers } = await api.call('GET', root);
    expect(headers.get('x-pricepool-state')).to.equal('stale');
    expect(Number(headers.get('age'))).to.be.at.least(65);
  });

  it('are fresh and held beside an asset that the source lists without a price', async () => {
    const at = Date.now();
    putQuote('a', { receivedAt: at });
    putRow('a', {}, at);
    putRow('quiet', { current_price: null, market_cap: null }, at);
    const unpriced = { assetId: 'quiet', state: 'unpriced', quote: undefined } as const;
    api.market.readings.set('usd:quiet', unpriced);
    api.market.rankings.set('usd:1', { assetIds: ['a', 'quiet'], receivedAt: at });
    const ask = async () => {
      const response = await api.call('GET', root);
      return { response, rows: (await response.json()) as Row[] };
    };
    const { response, rows } = await ask();
    expect(response.headers.get('x-pricepool-state')).to.equal('fresh');
    expect(rows.map(({ id, current_price: price }) => [id, price])).to.deep.equal([
      ['a', 1.234_57],
      ['quiet', null],
    ]);
    // An answer that is held does not look, and one from which something is left out is held for 2 s.
    putRow('a', { name: 'changed' }, at);
    lateMs = 10_000;
    expect((await ask()).rows[0]?.['name']).to.equal('a');
    putQuote('quiet', { receivedAt: at });
    putRow('quiet', {}, at);
    api.market.versionNow += 1;
    expect((await ask()).rows.map(({ current_price: price }) => price)).to.deep.equal([1.234_57, 1.234_57]);
  });

  it('are fresh where the source has no price of an asset any more, and show none', async () => {
    const at = Date.now();
    putQuote('a', { receivedAt: at });
    putQuote('lost', { receivedAt: at - api.market.freshMs - 5_000 });
    const lost = api.market.readings.get('usd:lost');
    if (lost !== undefined) api.market.readings.set('usd:lost', { ...lost, state: 'stale' });
    putRow('lost', { current_price: null }, at);
    api.market.rankings.set('usd:1', { assetIds: ['a', 'lost'], receivedAt: at });
    const response = await api.call('GET', root);
    expect(response.headers.get('x-pricepool-state')).to.equal('fresh');
    const rows = (await response.json()) as Row[];
    expect(rows.map(({ id, current_price: price }) => [id, price])).to.deep.equal([
      ['a', 2],
      ['lost', null],
    ]);
    expect(Number(response.headers.get('age'))).to.be.below(api.market.freshMs / 1_000);
  });

  it('are null throughout for an asset without a price and without a row', async () => {
    api.market.readings.set('usd:quiet', { assetId: 'quiet', state: 'unpriced', quote: undefined });
    const [row] = await rowsOf('&ids=quiet');
    const { id, symbol, name, image, ...figures } = row as Row;
    expect([id, symbol, name, image]).to.deep.equal(['quiet', '', '', '']);
    expect(Object.values(figures).every((value) => value === null)).to.equal(true);
  });

  it('are asked for again, not made up, when a page of the ranking has not come', async () => {
    const response = await api.call('GET', root);
    expect(response.status).to.equal(503);
    expect(Number(response.headers.get('retry-after'))).to.be.within(1, 60);
  });

  describe('that the cache does not hold', () => {
    const windows = 'price_change_percentage=1h,24h,7d,14d,30d,200d,1y';
    const cases: [string, string][] = [
      [
        '&ids=b,A,b&sparkline=true&price_change_percentage=1h',
        `/coins/markets?ids=a,b&page=1&per_page=250&precision=full&${windows}&sparkline=true&vs_currency=usd`,
      ],
      [
        '&order=volume_desc&per_page=5&nonsense=1',
        `/coins/markets?order=volume_desc&page=1&per_page=5&precision=full&${windows}&vs_currency=usd`,
      ],
      [
        '&category=layer-1&ids=ignored',
        `/coins/markets?category=layer-1&order=market_cap_desc&page=1&per_page=100&precision=full&${windows}&vs_currency=usd`,
      ],
    ];
    for (const [query, path] of cases) {
      it(`come of one document, whoever asks and in whatever spelling: ${query}`, async () => {
        const json = JSON.stringify([{ id: 'a', market_cap: 1, sparkline_in_7d: { price: [1, 2] } }]);
        api.documents.readings.set(path, { state: 'fresh', response: { json, receivedAt } });
        const rows = await rowsOf(query);
        expect(rows[0]).to.deep.include({ id: 'a', sparkline_in_7d: { price: [1, 2] } });
        expect(api.documents.paths).to.deep.equal([path]);
      });
    }

    it('are asked of nobody when no source can have them', async () => {
      expect(await rowsOf('&order=id_asc&page=1000000')).to.deep.equal([]);
      const odd = await api.call('GET', `${root}&category=../x%3Fy`);
      expect(odd.status).to.equal(404);
      expect(api.documents.paths).to.deep.equal([]);
    });
  });

  it('passes one asset on as it is, by one path for equal questions', async () => {
    const json = '{"id":"bitcoin", "price":1.0}';
    const path =
      '/coins/bitcoin?community_data=true&developer_data=true&include_categories_details=false&localization=true&market_data=true&sparkline=false&tickers=false';
    api.documents.readings.set(path, {
      state: 'stale',
      response: { json, receivedAt: receivedAt - 100_000 },
    });
    for (const query of ['?tickers=false', '/?tickers=FALSE&utm=1&market_data=true']) {
      const response = await api.call('GET', `/api/v3/coins/Bitcoin${query}`);
      expect(await response.text()).to.equal(json);
      expect(response.headers.get('x-pricepool-state')).to.equal('stale');
      expect(Number(response.headers.get('age'))).to.be.at.least(100);
    }
  });

  it('says 503 and when to come back while a document has not come', async () => {
    api.documents.readings.set('/global', { state: 'rate_limited' });
    const response = await api.call('GET', '/api/v3/global');
    expect(response.status).to.equal(503);
    expect(response.headers.get('retry-after')).to.equal('5');
    expect(response.headers.get('access-control-allow-origin')).to.equal('*');
  });
});
