import { expect } from 'chai';
import { freePort } from '../../../embedded/free-port.ts';
import type { FaultDetails } from '../../../embedded/market/market-state.ts';
import { startMarket, type Market } from '../../../embedded/market/market.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import {
  createCoinMarketCapProvider,
  type IdentifyAssets,
} from '../../../src/features/upstream/coinmarketcap/coinmarketcap-provider.ts';
import {
  ProviderRateLimitError,
  ProviderRejectedError,
} from '../../../src/features/upstream/provider-errors.ts';
import type { PriceProvider } from '../../../src/features/upstream/provider.ts';
import { describeProvider } from './provider-contract.ts';

const key = 'cmc-secret-key-123';
const common = { timeoutMs: 60_000, maxBodyBytes: 5_000_000, clock: systemClock, apiKey: key } as const;

/** Knows every asset as CoinGecko's list has it. */
async function identifyFrom(market: Market): Promise<IdentifyAssets> {
  const rows = (await (await fetch(`${market.url}/coins/list`)).json()) as {
    id: string;
    symbol: string;
    name: string;
  }[];
  const known = new Map(rows.map(({ id, symbol, name }) => [id, { symbol, name }]));
  market.resetCalls();
  return (ids) => Promise.resolve(new Map([...known].filter(([id]) => ids.includes(id))));
}

for (const [name, options] of [
  ['v2', { version: 'v2' }],
  ['v3', { version: 'v3' }],
  ['v3 without a key', { version: 'v3', apiKey: undefined }],
] as const) {
  describeProvider(`CoinMarketCap ${name}`, async () => {
    const market = await startMarket();
    const nobody = await freePort();
    const identify = await identifyFrom(market);
    const usual = { ...common, ...options, baseUrl: market.coinMarketCapUrl, identify };
    return {
      provider: createCoinMarketCapProvider(usual),
      impatient: createCoinMarketCapProvider({ ...usual, timeoutMs: 600 }),
      toNobody: createCoinMarketCapProvider({ ...usual, baseUrl: `http://127.0.0.1:${nobody}` }),
      inject: (fault) => market.inject(fault),
      callCount: () => market.callCount(),
      knownIds: ['solana', 'ripple', 'ethereum'],
      close: () => market.close(),
    };
  });
}

describe('CoinMarketCap provider', () => {
  let market: Market;
  const open: PriceProvider[] = [];
  const identities = new Map([['tether-gold-twin', { symbol: 'XAUT', name: 'Tether Gold' }]]);

  before(async () => {
    market = await startMarket({ apiKey: { key, plan: 'pro' } });
  });
  beforeEach(() => {
    market.resetCalls();
    market.clearFaults();
  });
  after(async () => {
    await Promise.all(open.map((provider) => provider.close()));
    await market.close();
  });

  function providerOf(
    options: Partial<Parameters<typeof createCoinMarketCapProvider>[0]> = {},
  ): PriceProvider {
    const identify: IdentifyAssets = (ids) =>
      Promise.resolve(new Map([...identities].filter(([id]) => ids.includes(id))));
    const baseUrl = market.coinMarketCapUrl;
    const provider = createCoinMarketCapProvider({ ...common, version: 'v2', baseUrl, identify, ...options });
    open.push(provider);
    return provider;
  }
  const ask = (provider: PriceProvider, ids: readonly string[], currency = 'usd') =>
    provider.fetchQuotes({ ids, currency, signal: new AbortController().signal });
  const failure = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => undefined,
      (e: unknown) => e,
    );

  it('asks for an asset by its slug there, and tells it by the id here', async () => {
    const { quotes } = await ask(providerOf(), ['binancecoin', 'polkadot', 'bitcoin'], 'eur');
    expect(quotes.map(({ assetId, symbol, currency }) => [assetId, symbol, currency])).to.have.deep.members([
      ['binancecoin', 'bnb', 'eur'],
      ['polkadot', 'dot', 'eur'],
      ['bitcoin', 'btc', 'eur'],
    ]);
  });

  it('never takes a slug of another asset for an id: xrp there is ripple here', async () => {
    const { quotes, notFound } = await ask(providerOf(), ['xrp', 'bnb', 'bitcoin']);
    expect(quotes.map(({ assetId }) => assetId)).to.deep.equal(['bitcoin']);
    expect(notFound).to.have.members(['xrp', 'bnb']);
  });

  it('takes an asset that is not listed only when its symbol is the known one', async () => {
    const id = 'figure-heloc';
    const unknown = await ask(providerOf(), [id, 'bitcoin']);
    expect(unknown.withoutPrice).to.deep.equal([id]);
    identities.set(id, { symbol: 'other', name: 'Figure Heloc' });
    expect((await ask(providerOf(), [id, 'bitcoin'])).withoutPrice).to.deep.equal([id]);
    identities.set(id, { symbol: 'FIGR_HELOC', name: 'Figure Heloc' });
    expect((await ask(providerOf(), [id, 'bitcoin'])).quotes.map(({ assetId }) => assetId)).to.include(id);
  });

  it('has pages of the ranking that follow each other without a gap or an overlap', async () => {
    const requested: (readonly [start: string | null, limit: string | null])[] = [];
    const openHttp = () => ({
      get: (url: string) => {
        const { searchParams } = new URL(url);
        requested.push([searchParams.get('start'), searchParams.get('limit')]);
        return Promise.resolve({ status: 200, headers: {}, text: '{"data":[]}' });
      },
      close: () => Promise.resolve(),
    });
    const provider = providerOf({ openHttp });
    const { signal } = new AbortController();
    for (const page of [1, 2, 3]) await failure(provider.fetchMarkets({ currency: 'usd', page, signal }));
    expect(requested).to.deep.equal([
      ['1', '250'],
      ['251', '250'],
      ['501', '250'],
    ]);
  });

  it('says what a call costs', () => {
    const provider = providerOf();
    expect([1, 100, 101, 250].map((assets) => provider.creditsOf?.(assets))).to.deep.equal([1, 1, 2, 3]);
  });

  it('sends its key in the header, and repeats it nowhere', async () => {
    expect((await ask(providerOf(), ['bitcoin'])).quotes).to.have.length(1);
    const error = await failure(ask(providerOf({ apiKey: 'wrong-key' }), ['bitcoin']));
    expect(error).to.be.instanceOf(ProviderRejectedError);
    expect(String(error)).to.include('1001').and.not.include('wrong-key');
    expect(JSON.stringify(market.calls())).not.to.include(key);
  });

  const limits: readonly (readonly [FaultDetails['code'], number, number])[] = [
    [1008, 60_000, 60_000],
    [1009, 1_000, 86_400_000],
    [1010, 1_000, 86_400_000],
    [1011, 60_000, 60_000],
  ];
  for (const [code, least, most] of limits) {
    for (const kind of ['rate-limited', 'rate-limited-as-200'] as const) {
      it(`waits for the end of the limit that ${code} tells of (${kind})`, async () => {
        market.inject({ kind, code: code! });
        const error = await failure(ask(providerOf(), ['bitcoin']));
        expect(error).to.be.instanceOf(ProviderRateLimitError);
        expect((error as ProviderRateLimitError).retryAfterMs).to.be.within(least, most);
      });
    }
  }

  it('waits until midnight UTC after the limit of a day', async () => {
    market.inject({ kind: 'rate-limited', code: 1009 });
    const clock = { now: () => Date.parse('2026-05-01T23:00:00Z') };
    const error = await failure(ask(providerOf({ clock }), ['bitcoin']));
    expect((error as ProviderRateLimitError).retryAfterMs).to.equal(3_600_000);
  });

  for (const code of [1001, 1002, 1003, 1004, 1005, 1006, 1007]) {
    it(`knows ${code} for a refusal, on a status of 200 too`, async () => {
      market.inject({ kind: 'rate-limited-as-200', code });
      expect(await failure(ask(providerOf(), ['bitcoin']))).to.be.instanceOf(ProviderRejectedError);
    });
  }

  it('needs a key but for v3', () => {
    expect(() => providerOf({ apiKey: undefined })).to.throw('COINMARKETCAP_API_KEY');
    expect(() => providerOf({ apiKey: undefined, version: 'v3' })).not.to.throw();
  });
});
