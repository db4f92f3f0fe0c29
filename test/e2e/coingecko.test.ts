/**
 * CoinGecko's contract from outside: its official SDK, unmodified, and a caller such as Ghostfolio is one, against real
 * processes; every answer is checked against the contract.
 */
import { Coingecko } from '@coingecko/coingecko-typescript';
import { expect } from 'chai';
import { newUser } from '../support/api-client.ts';
import { officialContract, ownContract, type Contract } from '../support/coingecko-contract.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

describe("CoinGecko's contract, from outside", function () {
  this.timeout(120_000);
  let stack: Stack;
  let key: string;
  let baseURL: string;
  let client: Coingecko;
  let own: Contract;
  let official: Contract | undefined;

  before(async () => {
    [own, official] = await Promise.all([ownContract(), officialContract()]);
    stack = await startStack({
      market: { latencyMs: 20, madeUpAssets: 2_000, callsPerMinute: 10_000 },
      environment: { ASSET_SYNC: 'daily', UPSTREAM_CALLS_PER_MINUTE: '600', READ_WAIT: '10s' },
    });
    const { url = '' } = stack.apis[0] ?? {};
    const user = await newUser(url);
    const body = { name: 'sdk', scopes: ['prices:read'] };
    key = (await user.call('POST', '/api-keys', { body })).body?.data.key;
    baseURL = `${url}/api/v3`;
    client = new Coingecko({ baseURL, demoAPIKey: key, maxRetries: 0 });
    await waitFor(async () => (await client.coins.list.get().catch(() => [])).length > 0, {
      what: 'the list of assets',
      timeoutMs: 60_000,
    });
  });
  after(() => stack.stop());

  function expectContract(path: string, answer: unknown): void {
    expect(own.faultsOf(path, answer), `${path} by our schemas`).to.deep.equal([]);
    if (official?.paths.includes(path) === true)
      expect(official.faultsOf(path, answer), `${path} by CoinGecko's document`).to.deep.equal([]);
  }

  it('has CoinGecko’s own document to check against', function () {
    // Skipped where COINGECKO_OPENAPI does not say where it is: then our own schemas are all there is.
    if (official === undefined) this.skip();
    expect(official.paths).to.include.members(['/simple/price', '/coins/markets', '/coins/{id}']);
  });

  const methods: Record<string, [string, () => Promise<unknown>]> = {
    'ping.get': ['/ping', () => client.ping.get()],
    'simple.price.get': [
      '/simple/price',
      () =>
        client.simple.price.get({
          ids: 'bitcoin,ethereum',
          vs_currencies: 'usd,eur',
          include_market_cap: true,
          include_24hr_vol: true,
          include_24hr_change: true,
          include_last_updated_at: true,
          precision: 'full',
        }),
    ],
    'simple.price.get by symbols': [
      '/simple/price',
      () => client.simple.price.get({ symbols: 'btc,eth', vs_currencies: 'usd', include_tokens: 'top' }),
    ],
    'simple.supportedVsCurrencies.get': [
      '/simple/supported_vs_currencies',
      () => client.simple.supportedVsCurrencies.get(),
    ],
    'coins.list.get': ['/coins/list', () => client.coins.list.get({ include_platform: true })],
    'coins.markets.get by rank': [
      '/coins/markets',
      () => client.coins.markets.get({ vs_currency: 'usd', per_page: 50, page: 2 }),
    ],
    'coins.markets.get by ids': [
      '/coins/markets',
      () => client.coins.markets.get({ vs_currency: 'eur', ids: 'bitcoin,ethereum,solana' }),
    ],
    'coins.markets.get with sparklines': [
      '/coins/markets',
      () =>
        client.coins.markets.get({
          vs_currency: 'usd',
          ids: 'bitcoin',
          sparkline: true,
          price_change_percentage: '1h,24h,7d',
        }),
    ],
    'coins.markets.get in another order': [
      '/coins/markets',
      () => client.coins.markets.get({ vs_currency: 'usd', order: 'volume_desc', per_page: 10 }),
    ],
    'coins.getID': [
      '/coins/{id}',
      () => client.coins.getID('bitcoin', { tickers: false, localization: false }),
    ],
    'coins.marketChart.get': [
      '/coins/{id}/market_chart',
      () => client.coins.marketChart.get('bitcoin', { vs_currency: 'usd', days: '7' }),
    ],
    'coins.marketChart.getRange': [
      '/coins/{id}/market_chart/range',
      () => client.coins.marketChart.getRange('bitcoin', { vs_currency: 'usd', ...range(30) }),
    ],
    'coins.ohlc.get': [
      '/coins/{id}/ohlc',
      () => client.coins.ohlc.get('bitcoin', { vs_currency: 'usd', days: '7' }),
    ],
    'coins.history.get': [
      '/coins/{id}/history',
      () => client.coins.history.get('bitcoin', { date: dayBefore(10) }),
    ],
    'search.get': ['/search', () => client.search.get({ query: 'bit' })],
    'search.trending.get': ['/search/trending', () => client.search.trending.get()],
    'global.get': ['/global', () => client.global.get()],
    'key.get': ['/key', () => client.key.get()],
  };
  for (const [name, [path, call]] of Object.entries(methods)) {
    it(`gives the SDK's ${name} an answer by the contract`, async () => {
      const answer = await call();
      expectContract(path, answer);
      expect(JSON.stringify(answer).length, 'an empty answer').to.be.greaterThan(2);
    });
  }

  it('gives the SDK what the market has', async () => {
    const [prices, [row]] = await Promise.all([
      client.simple.price.get({ ids: 'bitcoin', vs_currencies: 'usd' }),
      client.coins.markets.get({ vs_currency: 'usd', ids: 'bitcoin' }),
    ]);
    expect(prices['bitcoin']?.usd).to.be.greaterThan(0);
    expect(row).to.include({ id: 'bitcoin', symbol: 'btc', name: 'Bitcoin' });
    expect(row?.image).to.match(/^https:/);
    expect(row?.high_24h).to.be.greaterThan(0);
  });

  it('throws the error of the SDK that belongs to a status', async () => {
    const lost = await client.coins.getID('no-such-coin').catch((error: unknown) => error);
    expect(lost).to.be.instanceOf(Coingecko.NotFoundError);
    const other = new Coingecko({ baseURL, demoAPIKey: 'CG-not-one-of-ours', maxRetries: 0 });
    const refused = await other.ping.get().catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(Coingecko.AuthenticationError);
  });

  it('lets the SDK call as a Pro client, too', async () => {
    const pro = new Coingecko({ baseURL, proAPIKey: key, maxRetries: 0 });
    expect(await pro.ping.get()).to.deep.equal({ gecko_says: '(V3) To the Moon!' });
  });

  describe('a caller such as Ghostfolio', () => {
    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers of every shape are looked into
    async function ask(path: string, params: Record<string, string>): Promise<any> {
      const query = new URLSearchParams(params);
      const response = await fetch(`${baseURL}${path}?${query.toString()}`, {
        headers: { 'x-cg-demo-api-key': key },
        signal: AbortSignal.timeout(60_000),
      });
      expect(response.status, path).to.equal(200);
      return await response.json();
    }

    it('gets profiles, quotes, searches and years of history', async () => {
      const profile = await ask('/coins/bitcoin', {});
      expect(profile.name).to.equal('Bitcoin');
      const quotes = await ask('/simple/price', { ids: 'bitcoin,ethereum', vs_currencies: 'usd' });
      expect(quotes.ethereum.usd).to.be.a('number');
      const { coins } = await ask('/search', { query: 'ether' });
      expect(coins.map((each: { id: string }) => each.id)).to.include('ethereum');
      const rows = await ask('/coins/markets', { ids: 'bitcoin,ethereum', vs_currency: 'usd' });
      expect(rows.map((each: { id: string }) => each.id)).to.deep.equal(['bitcoin', 'ethereum']);
      const { prices } = await ask('/coins/bitcoin/market_chart/range', { vs_currency: 'usd', ...range(90) });
      expect(prices.length).to.be.greaterThan(60);
    });
  });
});

function range(days: number): { from: string; to: string } {
  const to = Math.floor(Date.now() / 1000);
  return { from: String(to - days * 86_400), to: String(to) };
}

/** `dd-mm-yyyy` */
function dayBefore(days: number): string {
  return new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10).split('-').reverse().join('-');
}
