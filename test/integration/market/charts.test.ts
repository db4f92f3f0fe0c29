import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { expect } from 'chai';
import { startMarket, type Market } from '../../../embedded/market/market.ts';
import { projectRoot } from '../../../embedded/project-root.ts';

const dayMs = 86_400_000;
const noon = Date.UTC(2026, 4, 1, 12);
const seconds = (ms: number): number => Math.floor(ms / 1_000);

interface Chart {
  readonly prices: readonly (readonly [number, number])[];
  readonly market_caps: readonly (readonly [number, number])[];
  readonly total_volumes: readonly (readonly [number, number])[];
}

describe('history and documents of the market', () => {
  let market: Market;

  before(async () => {
    market = await startMarket({ seed: 3, clock: { now: () => noon } });
  });
  after(() => market.close());

  const get = async (path: string): Promise<[number, unknown]> => {
    const response = await fetch(market.url + path);
    return [response.status, await response.json()];
  };
  const chart = async (path: string): Promise<Chart> => (await get(path))[1] as Chart;
  const distances = ({ prices }: Chart): number[] => [
    ...new Set(prices.slice(1, -1).map(([at], index) => at - prices[index]![0])),
  ];

  for (const [days, points, stepMs] of [
    ['1', 289, 300_000],
    ['30', 721, 3_600_000],
    ['90&interval=daily', 91, dayMs],
    ['200', 201, dayMs],
  ] as const) {
    it(`has ${points} points for ${days} days, the last of them now`, async () => {
      const found = await chart(`/coins/bitcoin/market_chart?vs_currency=usd&days=${days}`);
      expect(found.prices).to.have.length(points);
      expect(distances(found)).to.deep.equal([stepMs]);
      expect(found.prices.at(-1)![0]).to.equal(noon);
      expect(found.market_caps.map(([at]) => at)).to.deep.equal(found.prices.map(([at]) => at));
      expect(found.total_volumes).to.have.length(points);
    });
  }

  it('tells in charts the prices that it told at that time', async () => {
    const hour = noon - 3_600_000;
    const then = await startMarket({ seed: 3, clock: { now: () => hour } });
    const path = '/simple/price?ids=bitcoin&vs_currencies=usd&precision=full';
    const reported = (await (await fetch(then.url + path)).json()) as { bitcoin: { usd: number } };
    await then.close();
    const { prices } = await chart('/coins/bitcoin/market_chart?vs_currency=usd&days=1');
    expect(prices.find(([at]) => at === hour)?.[1]).to.equal(reported.bitcoin.usd);
  });

  it('has any stretch of the last year, and says so of what lies before', async () => {
    const range = (from: number, to: number) =>
      get(`/coins/bitcoin/market_chart/range?vs_currency=usd&from=${seconds(from)}&to=${seconds(to)}`);
    const [, found] = await range(noon - 20 * dayMs, noon - 10 * dayMs);
    expect((found as Chart).prices).to.have.length(241);
    const [status, refusal] = await range(noon - 500 * dayMs, noon - 400 * dayMs);
    expect(status).to.equal(401);
    expect(JSON.stringify(refusal)).to.include('past 365 days').and.include('10012');
  });

  it('makes candles whose extremes hold their ends, stamped with their close', async () => {
    const [, body] = await get('/coins/bitcoin/ohlc?vs_currency=usd&days=7');
    const rows = body as [number, number, number, number, number][];
    expect(rows).to.have.length(42);
    for (const [close, o, h, l, c] of rows) {
      expect(close % 14_400_000).to.equal(0);
      expect(h).to.be.at.least(Math.max(o, c));
      expect(l).to.be.at.most(Math.min(o, c));
    }
  });

  it('refuses what the API refuses', async () => {
    expect(await get('/coins/bitcoin/market_chart?days=1')).to.deep.equal([
      422,
      { error: 'Missing parameter vs_currency' },
    ]);
    expect(await get('/coins/bitcoin/market_chart?vs_currency=usd')).to.deep.equal([
      422,
      { error: 'Missing parameter days' },
    ]);
    expect(await get('/coins/bitcoin/history')).to.deep.equal([422, { error: 'Missing parameter date' }]);
    expect((await get('/coins/bitcoin/ohlc'))[0]).to.equal(500);
    expect(await get('/coins/nope')).to.deep.equal([404, { error: 'coin not found' }]);
  });

  it('finds by id, symbol and name, the largest first', async () => {
    const [, body] = await get('/search?query=BITCOIN');
    const { coins } = body as { coins: { id: string }[] };
    expect(coins[0]?.id).to.equal('bitcoin');
    expect(coins.map(({ id }) => id)).to.include('bitcoin-cash');
  });

  describe("against CoinGecko's own description", () => {
    const file = join(
      process.env['PRICEPOOL_SHARED_DATA'] ?? join(projectRoot, '../shared/data'),
      'coingecko-demo-openapi.json',
    );
    before(function () {
      // Only where the document is (PRICEPOOL_SHARED_DATA names its folder).
      if (!existsSync(file)) this.skip();
    });

    for (const [template, path] of [
      ['/coins/{id}', '/coins/bitcoin?sparkline=true'],
      ['/coins/{id}/market_chart', '/coins/bitcoin/market_chart?vs_currency=usd&days=1'],
      ['/coins/{id}/ohlc', '/coins/bitcoin/ohlc?vs_currency=usd&days=30'],
      ['/coins/{id}/history', '/coins/bitcoin/history?date=01-04-2026'],
      ['/search', '/search?query=a'],
      ['/search/trending', '/search/trending'],
      ['/global', '/global'],
      ['/coins/markets', '/coins/markets?vs_currency=usd'],
      ['/coins/list', '/coins/list?include_platform=true'],
    ] as const) {
      it(`answers ${template} as described`, async () => {
        const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
        ajv.addSchema(JSON.parse(readFileSync(file, 'utf8')) as object, 'api');
        const place = `/paths/${template.replaceAll('/', '~1')}/get/responses/200/content/application~1json/schema`;
        const validate = ajv.getSchema(`api#${encodeURI(place)}`);
        const [status, body] = await get(path);
        expect(status).to.equal(200);
        expect(validate, 'a schema').to.be.a('function');
        expect(validate?.(body), ajv.errorsText(validate?.errors)).to.equal(true);
      });
    }
  });
});
