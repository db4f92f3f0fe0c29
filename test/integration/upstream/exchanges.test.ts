import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { startMarket, type Market } from '../../../embedded/market/market.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createCoinGeckoProvider } from '../../../src/features/upstream/coingecko/coingecko-provider.ts';
import { createCoinMarketCapProvider } from '../../../src/features/upstream/coinmarketcap/coinmarketcap-provider.ts';
import { createDefiLlamaProvider } from '../../../src/features/upstream/defillama/defillama-provider.ts';
import {
  ProviderConnectionError,
  ProviderRateLimitError,
} from '../../../src/features/upstream/provider-errors.ts';
import {
  NotRecordedError,
  readRecordings,
  recordedHttp,
  recordingHttp,
} from '../../../src/features/upstream/recorder.ts';
import { createHttpGet, type OpenHttp } from '../../../src/features/upstream/http-get.ts';
import type { PriceProvider } from '../../../src/features/upstream/provider.ts';
import { wasNeverSent } from '../../../src/features/upstream/outcome.ts';

const key = 'CG-very/secret+key=1';
const common = { timeoutMs: 2_000, maxBodyBytes: 5_000_000, clock: systemClock } as const;
const ids = ['bitcoin', 'ethereum', 'solana'];

describe('recorded exchanges', () => {
  let market: Market;
  let dir: string;
  const open: PriceProvider[] = [];

  before(async () => {
    market = await startMarket({ apiKey: { key, plan: 'demo' } });
  });
  beforeEach(async () => {
    market.clearFaults();
    dir = await mkdtemp(join(tmpdir(), 'exchanges-'));
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((provider) => provider.close()));
    await rm(dir, { recursive: true });
  });
  after(() => market.close());

  /** One provider of each kind. */
  function providersOver(openHttp: OpenHttp): PriceProvider[] {
    const made = [
      createCoinGeckoProvider({ ...common, openHttp, plan: 'demo', apiKey: key, baseUrl: market.url }),
      createCoinMarketCapProvider({
        ...common,
        openHttp,
        version: 'v3',
        apiKey: key,
        baseUrl: market.coinMarketCapUrl,
        identify: () => Promise.resolve(new Map()),
      }),
      createDefiLlamaProvider({ ...common, openHttp, baseUrl: market.defiLlamaUrl }),
    ];
    open.push(...made);
    return made;
  }
  const recorder = (keep?: number): OpenHttp =>
    recordingHttp(createHttpGet, {
      dir,
      log: silentLogger(),
      secrets: [key],
      ...(keep === undefined ? {} : { keep }),
    });
  async function answersOf(providers: readonly PriceProvider[], requested = ids): Promise<unknown[]> {
    const signal = new AbortController().signal;
    const found: unknown[] = [];
    for (const provider of providers) {
      const answer = await provider
        .fetchQuotes({ ids: requested, currency: 'usd', signal })
        .catch((error: unknown) => error);
      if (answer instanceof Error) found.push([answer.name, answer.message]);
      else {
        const { quotes, notFound } = answer as Awaited<ReturnType<PriceProvider['fetchQuotes']>>;
        const sorted = quotes.toSorted((left, right) => left.assetId.localeCompare(right.assetId));
        found.push([sorted.map((quote) => ({ ...quote, receivedAt: 0 })), notFound]);
      }
    }
    return found;
  }
  const filesOf = async (): Promise<string[]> => (await readdir(dir)).toSorted();

  it('give the same quotes again, without a network, whatever the order of ids', async () => {
    const live = await answersOf(providersOver(recorder()));
    expect(JSON.stringify(live)).to.include('"bitcoin"');
    expect(await filesOf()).to.have.length(3);
    const calls = market.callCount();
    const played = providersOver(recordedHttp(readRecordings(dir)));
    expect(await answersOf(played)).to.deep.equal(live);
    expect(await answersOf(played, ids.toReversed())).to.deep.equal(live);
    expect(market.callCount()).to.equal(calls);
  });

  it('keep no key, in no file: not in headers, nor where the provider repeats it', async () => {
    market.inject('key-missing');
    const [provider] = providersOver(recorder());
    await answersOf([provider!]);
    await answersOf(providersOver(recorder()));
    const signal = new AbortController().signal;
    const path = `/search?query=bit&x_cg_demo_api_key=${encodeURIComponent(key)}`;
    await provider!.fetchDocument!({ path, signal });
    const files = await Promise.all((await filesOf()).map((name) => readFile(join(dir, name), 'utf8')));
    expect(files).to.have.length(5);
    for (const text of files) {
      expect(text).not.to.include(key).and.not.include(encodeURIComponent(key));
      expect(text).not.to.match(/very.{0,3}secret/);
    }
    expect(files[0]).to.include('"x-cg-demo-api-key": "[key]"');
  });

  it('keep no key that an answer repeats, nor what headers are called by that carry one', async () => {
    const echo: OpenHttp = () => ({
      get: () =>
        Promise.resolve({
          status: 200,
          headers: { 'set-cookie': ['session=abc'], 'x-echo': key },
          text: JSON.stringify({ said: key }),
        }),
      close: () => Promise.resolve(),
    });
    const openHttp = recordingHttp(echo, { dir, log: silentLogger(), secrets: [key] });
    const http = openHttp({
      provider: 'echo',
      timeoutMs: 1,
      maxBodyBytes: 1,
      headers: { 'x-api-key': 'other' },
    });
    await http.get('https://a.example/v1/x?api_key=unknown&b=1', new AbortController().signal);
    const [name = ''] = await filesOf();
    const text = await readFile(join(dir, name), 'utf8');
    expect(text).to.include('api_key=[key]&b=1');
    for (const secret of [key, 'session=abc', 'other', 'unknown']) expect(text).not.to.include(secret);
  });

  it('play failures back too, one after the other, and the last one again and again', async () => {
    const [live] = providersOver(recorder());
    market.inject('rate-limited');
    market.inject('server-error-html');
    for (let n = 0; n < 3; n += 1) await answersOf([live!]);
    const [played] = providersOver(recordedHttp(readRecordings(dir)));
    const names = [];
    for (let n = 0; n < 4; n += 1) {
      const [answer] = (await answersOf([played!])) as [unknown[]];
      names.push(typeof answer[0] === 'string' ? answer[0] : 'quotes');
    }
    expect(names).to.deep.equal([
      ProviderRateLimitError.name,
      ProviderConnectionError.name,
      'quotes',
      'quotes',
    ]);
  });

  it('refuse what was not recorded by an error of its own, which costs no budget', async () => {
    await answersOf(providersOver(recorder()));
    const signal = new AbortController().signal;
    for (const provider of providersOver(recordedHttp(readRecordings(dir)))) {
      const error = await provider
        .fetchQuotes({ ids: ['dogecoin'], currency: 'usd', signal })
        .catch((e: unknown) => e);
      expect(error).to.be.instanceOf(NotRecordedError);
      expect(String(error)).to.match(/No exchange was recorded for GET \//);
      expect(wasNeverSent(error)).to.equal(true);
    }
  });

  it('stay below their number, the newest', async () => {
    const [provider] = providersOver(recorder(5));
    for (let n = 0; n < 40; n += 1) await answersOf([provider!], [`no-such-${n}`]);
    const files = await filesOf();
    expect(files).to.have.length(5);
    expect(await readFile(join(dir, files.at(-1)!), 'utf8')).to.include('no-such-39');
  });

  it('do not disturb the call when they cannot be written', async () => {
    const [provider] = providersOver(recorder());
    await rm(dir, { recursive: true });
    expect(JSON.stringify(await answersOf([provider!]))).to.include('"bitcoin"');
    await rm(dir, { recursive: true, force: true }).then(() =>
      mkdtemp(`${dir}-`).then((made) => (dir = made)),
    );
  });

  it('name the file that is none', async () => {
    await writeFile(join(dir, 'broken.json'), '{"version":2}');
    expect(() => readRecordings(dir)).to.throw('broken.json is not a recorded exchange');
    await rm(join(dir, 'broken.json'));
    expect(() => readRecordings(dir)).to.throw('There are no recorded exchanges');
  });
});
