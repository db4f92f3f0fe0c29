import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { expect } from 'chai';
import { freePort } from '../../../embedded/free-port.ts';
import { startMarket, type Market } from '../../../embedded/market/market.ts';
import { projectRoot } from '../../../embedded/project-root.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import {
  createCoinGeckoProvider,
  type CoinGeckoOptions,
} from '../../../src/features/upstream/coingecko/coingecko-provider.ts';
import {
  ProviderConnectionError,
  ProviderKeyError,
  ProviderNotFoundError,
  ProviderRangeError,
  ProviderRateLimitError,
  ProviderRejectedError,
  ProviderResponseError,
} from '../../../src/features/upstream/provider-errors.ts';
import { recordedHttp, type Recording } from '../../../src/features/upstream/recorder.ts';
import type { PriceProvider } from '../../../src/features/upstream/provider.ts';

const common = { plan: 'keyless', timeoutMs: 1_000, maxBodyBytes: 5_000_000, clock: systemClock } as const;
const signal = new AbortController().signal;
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const open: PriceProvider[] = [];

function providerOf(options: Partial<CoinGeckoOptions> & { baseUrl: string }): PriceProvider {
  const provider = createCoinGeckoProvider({ ...common, ...options });
  open.push(provider);
  return provider;
}

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('CoinGecko: rows, documents and history', () => {
  let market: Market;
  let provider: PriceProvider;
  let server: Server;
  let served: PriceProvider;
  let body = '';

  before(async () => {
    market = await startMarket();
    provider = providerOf({ baseUrl: market.url, source: 'simulated' });
    server = createServer((_request, response) => response.writeHead(200).end(body));
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    served = providerOf({ baseUrl: `http://127.0.0.1:${port}/api/v3` });
  });
  beforeEach(() => market.clearFaults());
  after(async () => {
    await Promise.all(open.map((each) => each.close()));
    server.closeAllConnections();
    server.close();
    await market.close();
  });

  it('tells the whole row of every asset, its windows of change among it, for one call', async () => {
    const before = market.callCount();
    const { rows = [] } = await provider.fetchQuotes({ ids: ['bitcoin', 'nope'], currency: 'usd', signal });
    expect(market.callCount() - before).to.equal(1);
    expect(rows.map(({ assetId, currency }) => [assetId, currency])).to.deep.equal([['bitcoin', 'usd']]);
    const row = JSON.parse(rows[0]!.json) as Record<string, unknown>;
    for (const window of ['1h', '24h', '7d', '14d', '30d', '200d', '1y'])
      expect(row).to.have.property(`price_change_percentage_${window}_in_currency`).that.is.a('number');
    expect(row).to.include({ id: 'bitcoin', symbol: 'btc', market_cap_rank: 1, max_supply: 21_000_000 });
    const page = await provider.fetchMarkets({ currency: 'usd', page: 1, signal });
    expect(page.rows?.map(({ assetId }) => assetId)).to.deep.equal(page.assetIds);
  });

  it('tells no number in a row that is none, and no price that cannot be one', async () => {
    body = `[{"id":"bitcoin","symbol":"btc","name":"Infinity Coin","image":"x","current_price":-1,"market_cap":NaN,
      "high_24h":1e999,"total_volume":"NaN","ath":3,"ath_date":"2021-05-01","roi":{"times":"x","currency":"btc","percentage":2}}]`;
    const { rows = [], withoutPrice } = await served.fetchQuotes({
      ids: ['bitcoin'],
      currency: 'usd',
      signal,
    });
    expect(withoutPrice).to.deep.equal(['bitcoin']);
    expect(JSON.parse(rows[0]!.json)).to.deep.equal({
      id: 'bitcoin',
      symbol: 'btc',
      name: 'Infinity Coin',
      image: 'x',
      current_price: null,
      market_cap: null,
      high_24h: null,
      total_volume: null,
      ath: 3,
      ath_date: '2021-05-01',
      roi: { times: null, currency: 'btc', percentage: 2 },
    });
  });

  it('lists the platforms of assets', async () => {
    body = `[{"id":"usd-coin","symbol":"USDC","name":"USDC","platforms":{"ethereum":"0xa0","near":"","x":null}}]`;
    expect(await served.fetchAssets(signal)).to.deep.equal([
      {
        assetId: 'usd-coin',
        symbol: 'USDC',
        name: 'USDC',
        platforms: { ethereum: '0xa0', near: '', x: null },
      },
    ]);
  });

  it('passes documents on as they came', async () => {
    for (const path of [
      '/search/trending',
      '/global',
      '/coins/bitcoin?tickers=false',
      '/search?query=bit',
      '/key',
    ]) {
      const text = await provider.fetchDocument!({ path, signal });
      expect(JSON.parse(text)).to.be.an('object');
    }
    body = ' {"a": 1.0, "b":[ ]}';
    expect(await served.fetchDocument!({ path: '/x', signal })).to.equal(body);
    body = '{"a": NaN}';
    expect(await served.fetchDocument!({ path: '/x', signal })).to.equal('{"a":null}');
  });

  it('tells a coin that does not exist from every other refusal', async () => {
    const ask = (path: string) => failureOf(provider.fetchDocument!({ path, signal }));
    expect(await ask('/coins/no-such-coin')).to.be.instanceOf(ProviderNotFoundError);
    expect(await ask('/no/such/path'))
      .to.be.instanceOf(ProviderRejectedError)
      .and.not.instanceOf(ProviderNotFoundError);
    expect(await ask('/coins/bitcoin/ohlc?vs_currency=zzz&days=1'))
      .to.be.instanceOf(ProviderRejectedError)
      .and.not.instanceOf(ProviderNotFoundError);
    const before = market.callCount();
    for (const path of ['no-slash', '/a b', '/a#b', '/a\nb'])
      expect(await ask(path)).to.be.instanceOf(ProviderRejectedError);
    expect(market.callCount()).to.equal(before);
  });

  for (const [fault, kind] of [
    ['rate-limited', ProviderRateLimitError],
    ['rate-limited-as-200', ProviderRateLimitError],
    ['server-error', ProviderConnectionError],
    ['plan-restricted', ProviderKeyError],
    ['time-range', ProviderRangeError],
    ['empty-body', ProviderResponseError],
    ['truncated-json', ProviderResponseError],
  ] as const) {
    it(`answers ${fault} with a typed error, for documents and for history`, async () => {
      market.inject(fault, { count: 2 });
      expect(await failureOf(provider.fetchDocument!({ path: '/global', signal }))).to.be.instanceOf(kind);
      const span = { from: Date.now() - dayMs, to: Date.now(), granularity: '1h' } as const;
      const request = { assetId: 'bitcoin', currency: 'usd', span, signal };
      expect(await failureOf(provider.fetchHistory!(request))).to.be.instanceOf(kind);
    });
  }

  it('has the history of an asset, each moment once, oldest first, within the span', async () => {
    const to = Math.floor(Date.now() / hourMs) * hourMs;
    const span = { from: to - 10 * dayMs, to, granularity: '1h' } as const;
    const points = await provider.fetchHistory!({ assetId: 'bitcoin', currency: 'EUR', span, signal });
    expect(points).to.have.length(241);
    expect(points[0]!.at).to.equal(span.from);
    expect(points.every(({ at }, index) => index === 0 || at > points[index - 1]!.at)).to.equal(true);
    expect(
      points.every(({ price, marketCap, volume }) => price > 0 && marketCap! > 0 && volume! > 0),
    ).to.equal(true);
  });

  it('makes no point of what is no price, and no market capitalisation of nothing', async () => {
    body = JSON.stringify({
      prices: [[2_000, 2], [1_000, 1], [2_000, 3], [3_000, null], [4_000, 'x'], [5_000, -1], 'y', [9_000, 1]],
      market_caps: [
        [1_000, 0],
        [2_000, 7],
      ],
      total_volumes: [
        [1_000, 0],
        [2_000, null],
      ],
    }).replace('"x"', 'NaN');
    const span = { from: 0, to: 5_000, granularity: '5m' } as const;
    const recent = providerOf({
      baseUrl: 'http://unused.invalid',
      clock: { now: () => 6_000 },
      openHttp: bodyOnly(() => body),
    });
    expect(await recent.fetchHistory!({ assetId: 'bitcoin', currency: 'usd', span, signal })).to.deep.equal([
      { at: 1_000, price: 1, marketCap: 0, volume: 0 },
      { at: 2_000, price: 3, marketCap: 7, volume: null },
    ]);
  });

  it('says that a plan does not reach a stretch: the real one without a call', async () => {
    const real = providerOf({ baseUrl: market.url });
    const span = { from: Date.now() - 900 * dayMs, to: Date.now() - 800 * dayMs, granularity: '1d' } as const;
    const request = { assetId: 'bitcoin', currency: 'usd', span, signal };
    const before = market.callCount();
    expect(await failureOf(real.fetchHistory!(request))).to.be.instanceOf(ProviderRangeError);
    expect([real.historyDays, market.callCount()]).to.deep.equal([365, before]);
    expect(await failureOf(provider.fetchHistory!(request))).to.be.instanceOf(ProviderRangeError);
    expect(market.callCount()).to.equal(before + 1);
  });
});

function bodyOnly(body: () => string): NonNullable<CoinGeckoOptions['openHttp']> {
  return () => ({
    get: () => Promise.resolve({ status: 200, headers: {}, text: body() }),
    close: () => Promise.resolve(),
  });
}

/** Real exchanges of 2021, in the form in which a Ruby library records them; only where they are. */
const shared = join(process.env['PRICEPOOL_SHARED_DATA'] ?? join(projectRoot, '../shared/data'), 'recorded');

describe('CoinGecko: exchanges recorded in 2021', () => {
  const baseUrl = 'https://api.coingecko.com/api/v3';

  before(function () {
    // Without the folder (PRICEPOOL_SHARED_DATA) there is nothing to read.
    if (!existsSync(shared)) this.skip();
  });

  function playing(file: string): { provider: PriceProvider; path: string; body: string } {
    const text = readFileSync(join(shared, file), 'utf8');
    const url = /^ {4}uri: (\S+)$/m.exec(text)?.[1] ?? '';
    const quoted = /^ {6}string: '(.*?[^'])'$/ms.exec(text.slice(text.indexOf('  response:')))?.[1] ?? '';
    const body = quoted.replaceAll("''", "'").replaceAll(/\n\s*/g, ' ');
    const recording: Recording = {
      provider: 'coingecko',
      url,
      answer: { status: 200, headers: {}, text: body },
    };
    const provider = providerOf({ baseUrl, openHttp: recordedHttp([recording]) });
    return { provider, path: url.slice(baseUrl.length), body };
  }

  for (const file of [
    'daily_historical_prices_for_one_coin.yml',
    'price_for_multiple_coins_in_different_currencies.yml',
    'market_data_for_multiple_coins_in_eth.yml',
  ]) {
    it(`passes on ${file}`, async () => {
      const { provider, path, body } = playing(file);
      const text = await provider.fetchDocument!({ path: path.replaceAll(' ', '%20'), signal });
      expect(JSON.parse(text)).to.deep.equal(JSON.parse(body));
    });
  }
});
