import { createServer, type IncomingMessage, type Server } from 'node:http';
import { expect } from 'chai';
import { freePort } from '../../../embedded/free-port.ts';
import { startMarket } from '../../../embedded/market/market.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { signalWithDeadline, startStopwatch } from '../../../src/features/upstream/call-signal.ts';
import {
  createCoinGeckoProvider,
  type CoinGeckoOptions,
} from '../../../src/features/upstream/coingecko/coingecko-provider.ts';
import {
  ProviderRateLimitError,
  ProviderRejectedError,
} from '../../../src/features/upstream/provider-errors.ts';
import type { PriceProvider } from '../../../src/features/upstream/provider.ts';
import { describeProvider } from './provider-contract.ts';

const common = {
  plan: 'keyless',
  timeoutMs: 60_000,
  maxBodyBytes: 5_000_000,
  clock: systemClock,
} as const;

describeProvider('CoinGecko', async () => {
  const market = await startMarket();
  const nobody = await freePort();
  return {
    provider: createCoinGeckoProvider({ ...common, baseUrl: `${market.url}/`, source: 'simulated' }),
    impatient: createCoinGeckoProvider({ ...common, timeoutMs: 600, baseUrl: market.url }),
    toNobody: createCoinGeckoProvider({ ...common, baseUrl: `http://127.0.0.1:${nobody}/api/v3` }),
    inject: (fault) => market.inject(fault),
    callCount: () => market.callCount(),
    knownIds: ['solana', 'bitcoin', 'ethereum'],
    close: () => market.close(),
  };
});

describe('CoinGecko provider on the wire', () => {
  const key = 'CG-secret-key-123';
  const requests: { url: string; headers: IncomingMessage['headers'] }[] = [];
  let answer: { status: number; headers?: Record<string, string>; body: string };
  let server: Server;
  let baseUrl: string;
  const open: PriceProvider[] = [];

  before(async () => {
    server = createServer((request, response) => {
      requests.push({ url: request.url ?? '', headers: request.headers });
      response.writeHead(answer.status, answer.headers ?? {}).end(answer.body);
    });
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    baseUrl = `http://127.0.0.1:${port}/api/v3`;
  });
  beforeEach(() => {
    requests.length = 0;
    answer = { status: 200, body: '[]' };
  });
  after(async () => {
    await Promise.all(open.map((provider) => provider.close()));
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  function providerOf(options: Partial<CoinGeckoOptions> = {}): PriceProvider {
    const provider = createCoinGeckoProvider({ ...common, baseUrl, ...options });
    open.push(provider);
    return provider;
  }
  const ask = (
    provider: PriceProvider,
    ids: readonly string[] = ['bitcoin'],
  ): ReturnType<PriceProvider['fetchQuotes']> =>
    provider.fetchQuotes({ ids, currency: 'USD', signal: new AbortController().signal });
  const failure = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => undefined,
      (e: unknown) => e,
    );

  it('asks with literal commas, encoded ids and a page size that holds them all', async () => {
    await ask(providerOf(), ['bitcoin', 'a&b', 'é', '1move token', 'boringdao-[old]']);
    expect(requests[0]?.url).to.equal(
      '/api/v3/coins/markets?vs_currency=usd&ids=bitcoin,a%26b,%C3%A9,1move%20token,boringdao-%5Bold%5D&per_page=250&page=1' +
        '&price_change_percentage=1h,24h,7d,14d,30d,200d,1y&precision=full',
    );
  });

  it('sends the key in the header of its plan, never in the URL', async () => {
    await ask(providerOf());
    await ask(providerOf({ plan: 'demo', apiKey: key }));
    await ask(providerOf({ plan: 'pro', apiKey: key }));
    expect(
      requests.map(({ headers }) => [headers['x-cg-demo-api-key'], headers['x-cg-pro-api-key']]),
    ).to.deep.equal([
      [undefined, undefined],
      [key, undefined],
      [undefined, key],
    ]);
    expect(JSON.stringify(requests.map(({ url }) => url))).not.to.include(key);
  });

  it('refuses to start without the key that its plan needs', () => {
    expect(() => providerOf({ plan: 'pro' })).to.throw('needs an API key');
    expect(() => providerOf({ plan: 'demo', apiKey: '' })).to.throw('needs an API key');
  });

  it('does not repeat a key that the provider echoes', async () => {
    const body = { status: { error_code: 10_002, error_message: `Invalid key ${key}` } };
    answer = { status: 401, body: JSON.stringify(body) };
    const error = await failure(ask(providerOf({ plan: 'demo', apiKey: key })));
    expect(error).to.be.instanceOf(ProviderRejectedError);
    expect((error as Error).message)
      .to.include('Invalid key [key]')
      .and.not.include(key);
  });

  it('drops assets that it did not ask for, and second rows of the same asset', async () => {
    const rows = [
      { id: 'dogecoin', current_price: 1 },
      { id: 'bitcoin', current_price: 2 },
      { id: 'bitcoin', current_price: 3 },
      { id: '__proto__', current_price: 4 },
    ];
    answer = { status: 200, body: JSON.stringify(rows) };
    const { quotes } = await ask(providerOf());
    expect(quotes.map(({ assetId, price }) => [assetId, price])).to.deep.equal([['bitcoin', 2]]);
  });

  it('leaves rows without an id out of the asset list', async () => {
    const rows = [
      { id: '', symbol: 'x', name: 'X' },
      null,
      { id: 'bitcoin', symbol: 'BTC', name: 'Bitcoin' },
    ];
    answer = { status: 200, body: JSON.stringify(rows) };
    const assets = await providerOf().fetchAssets(new AbortController().signal);
    expect(assets).to.deep.equal([{ assetId: 'bitcoin', symbol: 'BTC', name: 'Bitcoin' }]);
  });

  for (const [header, expectedMs] of [
    ['119', 119_000],
    ['0', 1_000],
    ['86400', 600_000],
    [undefined, 10_000],
    ['soon', 10_000],
    ['Fri, 01 Jan 2027 00:00:30 GMT', 30_000],
  ] as const) {
    it(`waits ${expectedMs} ms after a 429 with retry-after ${header}`, async () => {
      const clock = { now: () => Date.parse('2027-01-01T00:00:00Z') };
      answer = { status: 429, body: '{}', headers: header === undefined ? {} : { 'retry-after': header } };
      const error = await failure(ask(providerOf({ clock })));
      expect(error).to.be.instanceOf(ProviderRateLimitError);
      expect((error as ProviderRateLimitError).retryAfterMs).to.equal(expectedMs);
    });
  }

  it('writes no request whose time is over, even when no timer has had a chance to run', async () => {
    const provider = providerOf();
    await ask(provider);
    // A deadline that has passed on the clock, on a signal that has not been aborted yet.
    const elapsed = { ms: 0 };
    const reason = (): Error => new Error('over');
    const { signal, dispose } = signalWithDeadline({
      parent: undefined,
      ms: 5_000,
      since: { elapsedMs: () => elapsed.ms },
      reason,
    });
    const pending = failure(provider.fetchQuotes({ ids: ['bitcoin'], currency: 'usd', signal }));
    elapsed.ms = 5_000;
    const late = await pending;
    expect(late, 'the request that was about to be written').to.be.instanceOf(Error);
    expect(requests).to.have.length(1);
    expect(startStopwatch().elapsedMs()).to.be.below(5_000);
    dispose();
  });
});
