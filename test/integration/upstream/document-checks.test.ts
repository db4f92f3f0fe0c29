/** Documents with bad prices, from the embedded market's faults to a reader: none is believed, the last good one stays. */
import { expect } from 'chai';
import type { FaultKind } from '../../../embedded/market/market-state.ts';
import { startMarket, type Market } from '../../../embedded/market/market.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { createCoinGeckoProvider } from '../../../src/features/upstream/coingecko/coingecko-provider.ts';
import { isBelievable } from '../../../src/features/upstream/coingecko/document-checks.ts';
import { ProviderResponseError } from '../../../src/features/upstream/provider-errors.ts';
import type { PriceProvider } from '../../../src/features/upstream/provider.ts';

const priced = ['null-prices', 'zero-prices', 'negative-prices', 'text-prices', 'nan-prices'] as const;
const today = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10).split('-').reverse().join('-');
const cases: [string, readonly FaultKind[]][] = [
  ['/coins/bitcoin?market_data=true&sparkline=true', [...priced, 'wrong-shape']],
  [`/coins/bitcoin/history?date=${today}`, [...priced, 'wrong-shape']],
  ['/coins/markets?ids=bitcoin,ethereum&sparkline=true&vs_currency=usd', [...priced, 'wrong-shape']],
  ['/coins/markets?order=volume_desc&page=1&per_page=5&vs_currency=usd', [...priced, 'wrong-shape']],
  ['/search/trending', [...priced, 'wrong-shape']],
  ['/global', [...priced, 'wrong-shape']],
  ['/coins/bitcoin/ohlc?days=1&vs_currency=usd', ['wrong-shape']],
];

describe('CoinGecko: documents that are not believed', () => {
  let market: Market;
  let provider: PriceProvider;

  before(async () => {
    market = await startMarket();
    const limits = { plan: 'keyless', timeoutMs: 2_000, maxBodyBytes: 5_000_000 } as const;
    provider = createCoinGeckoProvider({
      ...limits,
      baseUrl: market.url,
      source: 'simulated',
      clock: systemClock,
    });
  });
  beforeEach(() => market.clearFaults());
  after(async () => {
    await provider.close();
    await market.close();
  });

  const fetch = (path: string): Promise<string> =>
    provider.fetchDocument!({ path, signal: new AbortController().signal });

  for (const [path, faults] of cases) {
    it(`${path.replace(today, '…')}: ${faults.join(', ')}`, async () => {
      expect(isBelievable(path, JSON.parse(await fetch(path))), 'a good one').to.equal(true);
      for (const fault of faults) {
        market.inject(fault, { count: 1 });
        const ended = await fetch(path).catch((error: unknown) => error);
        expect(ended, fault).to.be.instanceOf(ProviderResponseError);
      }
    });
  }

  const row = (price: unknown, more: object = {}) => ({
    id: 'a',
    current_price: price,
    market_cap: 9,
    total_volume: 9,
    ...more,
  });
  const coin = (prices: unknown) => ({ id: 'a', market_data: { current_price: prices } });
  const single: [boolean, string, string, unknown][] = [
    [true, 'a single null', '/coins/markets', [row(1), row(null)]],
    [true, 'an empty list', '/coins/markets', []],
    [
      true,
      'an asset that is worth nothing, alone',
      '/coins/markets',
      [row(null, { market_cap: null, total_volume: 0 })],
    ],
    [false, 'nothing but nulls of assets that are worth something', '/coins/markets', [row(null), row(0)]],
    [false, 'one price below zero', '/coins/markets', [row(1), row(-1)]],
    [false, 'one price without end', '/coins/markets', [row(1), row(Infinity)]],
    [false, 'a row without an id', '/coins/markets', [row(1), { current_price: 1 }]],
    [true, 'a sparkline with a gap', '/coins/markets', [row(1, { sparkline_in_7d: { price: [1, null] } })]],
    [false, 'a sparkline of text', '/coins/markets', [row(1, { sparkline_in_7d: { price: [1, '2'] } })]],
    [false, 'a sparkline below zero', '/coins/markets', [row(1, { sparkline_in_7d: { price: [-1] } })]],
    [true, 'an asset without prices', '/coins/a', coin({})],
    [true, 'an asset without figures', '/coins/a?market_data=false', { id: 'a' }],
    [true, 'a currency without a price', '/coins/a', coin({ usd: 1, eur: null })],
    [false, 'no price in any currency', '/coins/a', coin({ usd: null, eur: 0 })],
    [false, 'a price as text', '/coins/a', coin({ usd: 1, eur: '1' })],
    [false, 'another asset', '/coins/b', coin({ usd: 1 })],
    [false, 'the day of another asset', '/coins/b/history?date=01-01-2026', { id: 'a' }],
    [true, 'a day before the first', '/coins/a/history?date=01-01-2009', { id: 'a' }],
    [true, 'candles', '/coins/a/ohlc?days=1', [[1, 2, 3, 1, 2]]],
    [false, 'a candle of four', '/coins/a/ohlc?days=1', [[1, 2, 3, 1]]],
    [false, 'a candle with a null', '/coins/a/ohlc?days=1', [[1, 2, 3, null, 2]]],
    [false, 'a candle below zero', '/coins/a/ohlc?days=1', [[1, 2, 3, -1, 2]]],
    [false, 'candles of zero', '/coins/a/ohlc?days=1', [[1, 0, 0, 0, 0]]],
    [true, 'a price for people', '/search/trending', { coins: [{ item: { data: { price: '$1.2' } } }] }],
    [false, 'no list of what is trending', '/search/trending', {}],
    [false, 'no figures of the market', '/global', { data: {} }],
  ];
  for (const [isGood, what, path, body] of single) {
    it(`${isGood ? 'believes' : 'does not believe'} ${what} (${path})`, () => {
      expect(isBelievable(path, body)).to.equal(isGood);
    });
  }
});
