import { expect } from 'chai';
import { freePort } from '../../../embedded/free-port.ts';
import { startMarket, type Market } from '../../../embedded/market/market.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { createDefiLlamaProvider } from '../../../src/features/upstream/defillama/defillama-provider.ts';
import { ProviderRejectedError } from '../../../src/features/upstream/provider-errors.ts';
import type { PriceProvider } from '../../../src/features/upstream/provider.ts';
import { describeProvider } from './provider-contract.ts';

const common = { timeoutMs: 60_000, maxBodyBytes: 5_000_000, clock: systemClock } as const;
const dayMs = 86_400_000;

describeProvider(
  'DefiLlama',
  async () => {
    const market = await startMarket();
    const nobody = await freePort();
    return {
      provider: createDefiLlamaProvider({ ...common, baseUrl: market.defiLlamaUrl }),
      impatient: createDefiLlamaProvider({ ...common, timeoutMs: 600, baseUrl: market.defiLlamaUrl }),
      toNobody: createDefiLlamaProvider({ ...common, baseUrl: `http://127.0.0.1:${nobody}` }),
      inject: (fault) => market.inject(fault),
      callCount: () => market.callCount(),
      knownIds: ['solana', 'bitcoin', 'ethereum'],
      close: () => market.close(),
    };
  },
  { quotesOnly: true },
);

describe('DefiLlama provider', () => {
  let market: Market;
  let provider: PriceProvider;
  const signal = new AbortController().signal;

  before(async () => {
    market = await startMarket();
    provider = createDefiLlamaProvider({ ...common, baseUrl: market.defiLlamaUrl });
  });
  after(async () => {
    await provider.close();
    await market.close();
  });

  it('converts nothing: another currency than usd is refused without a call', async () => {
    const before = market.callCount();
    const error = await provider
      .fetchQuotes({ ids: ['bitcoin'], currency: 'eur', signal })
      .catch((e: unknown) => e);
    expect(error).to.be.instanceOf(ProviderRejectedError);
    expect([provider.serves?.('usd'), provider.serves?.('eur')]).to.deep.equal([true, false]);
    expect(market.callCount()).to.equal(before);
  });

  it('takes a price that says nothing of its confidence, and none that is doubtful', async () => {
    const coins = {
      'coingecko:bitcoin': { price: 5, symbol: 'BTC', timestamp: 1_700_000_000 },
      'coingecko:doubtful': { price: 5, symbol: 'D', timestamp: 1_700_000_000, confidence: 0.2 },
    };
    const reported = createDefiLlamaProvider({
      ...common,
      baseUrl: 'http://llama.test',
      openHttp: () => ({
        get: () => Promise.resolve({ status: 200, headers: {}, text: JSON.stringify({ coins }) }),
        close: () => Promise.resolve(),
      }),
    });
    const answer = await reported.fetchQuotes({ ids: ['bitcoin', 'doubtful'], currency: 'usd', signal });
    expect(answer.quotes.map(({ assetId, price, asOf }) => [assetId, price, asOf])).to.deep.equal([
      ['bitcoin', 5, '2023-11-14T22:13:20.000Z'],
    ]);
    expect(answer.withoutPrice).to.deep.equal(['doubtful']);
  });

  it('has daily history from before the year that other plans reach', async () => {
    const to = Math.floor(Date.now() / dayMs) * dayMs - 600 * dayMs;
    const span = { from: to - 29 * dayMs, to, granularity: '1d' } as const;
    const points = await provider.fetchHistory!({ assetId: 'bitcoin', currency: 'usd', span, signal });
    expect(points).to.have.length(30);
    expect(points.map(({ at }) => at)).to.deep.equal(points.map((_, day) => span.from + day * dayMs));
    expect(points.every(({ price }) => price > 10_000)).to.equal(true);
  });

  it('has no points for an asset that it does not know', async () => {
    const span = { from: Date.now() - dayMs, to: Date.now(), granularity: '1h' } as const;
    expect(await provider.fetchHistory!({ assetId: 'no-such', currency: 'usd', span, signal })).to.deep.equal(
      [],
    );
  });
});
