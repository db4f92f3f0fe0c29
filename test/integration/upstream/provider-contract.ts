/** What every provider must do, whatever its wire looks like. Each one's setup says how to make its upstream misbehave. */
import { expect } from 'chai';
import {
  ProviderBusyError,
  ProviderConnectionError,
  ProviderError,
  ProviderRateLimitError,
  ProviderRejectedError,
  ProviderResponseError,
  ProviderTimeoutError,
  ProviderUrlTooLongError,
} from '../../../src/features/upstream/provider-errors.ts';
import type { PriceProvider } from '../../../src/features/upstream/provider.ts';
import { waitFor } from '../../support/wait-for.ts';

/** How the upstream can be made to answer its next call. */
export const upstreamFaults = {
  'rate-limited': ProviderRateLimitError,
  'rate-limited-text': ProviderRateLimitError,
  'rate-limited-cloudflare': ProviderRateLimitError,
  'rate-limited-html': ProviderRateLimitError,
  'rate-limited-as-200': ProviderRateLimitError,
  'server-error': ProviderConnectionError,
  'server-error-html': ProviderConnectionError,
  unavailable: ProviderBusyError,
  'bad-gateway': ProviderConnectionError,
  'request-timeout': ProviderConnectionError,
  'reset-before': ProviderConnectionError,
  'reset-during': ProviderConnectionError,
  'uri-too-long': ProviderUrlTooLongError,
  'key-missing': ProviderRejectedError,
  'plan-restricted': ProviderRejectedError,
  'wrong-root-pro': ProviderRejectedError,
  'wrong-root-demo': ProviderRejectedError,
  'time-range': ProviderRejectedError,
  firewall: ProviderRejectedError,
  'empty-body': ProviderResponseError,
  'invalid-json': ProviderResponseError,
  'truncated-json': ProviderResponseError,
  'wrong-shape': ProviderResponseError,
  'huge-body': ProviderResponseError,
  hang: ProviderTimeoutError,
  'slow-drip': ProviderTimeoutError,
} as const;
export type UpstreamFault = keyof typeof upstreamFaults;

/** Prices that are none, each in the place of all prices of an otherwise good answer. */
export type PriceFault = 'nan-prices' | 'text-prices' | 'null-prices' | 'negative-prices' | 'zero-prices';

/** A provider with an upstream that obeys the test. */
export interface ProviderHarness {
  /** Its body limit is 5 MB or less. It has time enough for all but an answer that does not come. */
  readonly provider: PriceProvider;
  /** The same with a timeout of a second or less. */
  readonly impatient: PriceProvider;
  /** The same, for an upstream where nobody listens. */
  readonly toNobody: PriceProvider;
  /** Spoils the next call. */
  inject(fault: UpstreamFault | PriceFault): void;
  /** Calls that reached the upstream. */
  callCount(): number;
  /** Three ids that the upstream knows, in no particular order. */
  readonly knownIds: readonly [string, string, string];
  close(): Promise<void>;
}

const signal = (): AbortSignal => new AbortController().signal;

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** Declares the tests of a provider. */
export function describeProvider(
  name: string,
  setup: () => Promise<ProviderHarness>,
  { quotesOnly = false }: { quotesOnly?: boolean } = {},
): void {
  describe(`provider contract: ${name}`, () => {
    let harness: ProviderHarness;
    before(async () => {
      harness = await setup();
    });
    after(async () => {
      await harness.provider.close();
      await harness.impatient.close();
      await harness.toNobody.close();
      await harness.close();
    });
    const fetch = (
      ids: readonly string[],
      by: AbortSignal = signal(),
    ): ReturnType<PriceProvider['fetchQuotes']> =>
      harness.provider.fetchQuotes({ ids, currency: 'usd', signal: by });

    it('gives the quotes of the assets asked for, in one call, and names the unknown ones', async () => {
      const before = harness.callCount();
      const receivedFrom = Date.now();
      const result = await fetch([...harness.knownIds, 'no-such-asset-at-all']);
      expect(harness.callCount() - before).to.equal(1);
      expect(result.quotes.map((quote) => quote.assetId)).to.have.members([...harness.knownIds]);
      expect(result.notFound).to.deep.equal(['no-such-asset-at-all']);
      expect(result.withoutPrice).to.deep.equal([]);
      for (const quote of result.quotes) {
        expect(quote.price).to.be.a('number').above(0);
        expect(quote.source).to.equal(harness.provider.source);
        expect(quote.currency).to.equal('usd');
        expect(quote.receivedAt).to.be.within(receivedFrom, Date.now());
      }
    });

    it('gives as many rows as ids even for a full batch', async () => {
      const ids = [...harness.knownIds];
      while (ids.length < harness.provider.maxIdsPerCall) ids.push(`no-such-${ids.length}`);
      const result = await fetch(ids);
      expect(result.quotes).to.have.length(3);
      expect(result.notFound).to.have.length(harness.provider.maxIdsPerCall - 3);
    });

    it('takes a batch in which no id is known for what it is', async () => {
      const result = await fetch(['no-such-a', 'no-such-b', 'no-such-c', '../', 'a b&c=d', '\ud800']);
      expect(result.quotes).to.deep.equal([]);
      expect(result.notFound).to.have.length(6);
    });

    for (const [fault, expected] of Object.entries(upstreamFaults)) {
      it(`answers ${fault} with ${expected.name}, and recovers`, async () => {
        harness.inject(fault as UpstreamFault);
        const before = harness.callCount();
        const provider = expected === ProviderTimeoutError ? harness.impatient : harness.provider;
        const wanted = { ids: harness.knownIds, currency: 'usd', signal: signal() };
        const error = await failureOf(provider.fetchQuotes(wanted));
        expect(error).to.be.instanceOf(expected);
        expect(harness.callCount() - before, 'a provider never retries').to.equal(1);
        if (error instanceof ProviderRateLimitError) {
          expect(error.retryAfterMs).to.be.within(1_000, 600_000);
        }
        expect((await provider.fetchQuotes(wanted)).quotes).to.have.length(3);
      });
    }

    for (const fault of ['nan-prices', 'text-prices', 'null-prices', 'negative-prices'] as const) {
      it(`makes no price of ${fault}`, async () => {
        harness.inject(fault);
        const result = await fetch(harness.knownIds);
        expect(result.quotes).to.deep.equal([]);
        expect(result.notFound).to.deep.equal([]);
        expect(result.withoutPrice).to.have.members([...harness.knownIds]);
      });
    }

    it('takes a price of 0 for none when the source says that the asset is worth something', async () => {
      harness.inject('zero-prices');
      const result = await fetch(harness.knownIds);
      expect(result.quotes).to.deep.equal([]);
      expect(result.withoutPrice).to.have.members([...harness.knownIds]);
    });

    it('says that nobody is there', async () => {
      const error = await failureOf(
        harness.toNobody.fetchQuotes({ ids: harness.knownIds, currency: 'usd', signal: signal() }),
      );
      expect(error).to.be.instanceOf(ProviderConnectionError);
    });

    it("ends with the reason of the caller's abort, not with an error of its own", async () => {
      const controller = new AbortController();
      harness.inject('hang');
      const before = harness.callCount();
      const pending = failureOf(fetch(harness.knownIds, controller.signal));
      await waitFor(() => harness.callCount() > before, { what: 'the call to arrive' });
      const reason = new Error('the user left');
      controller.abort(reason);
      expect(await pending).to.equal(reason);
    });

    it('makes no call for a caller who left before', async () => {
      const before = harness.callCount();
      const reason = new Error('gone');
      expect(await failureOf(fetch(harness.knownIds, AbortSignal.abort(reason)))).to.equal(reason);
      expect(harness.callCount()).to.equal(before);
    });

    it('refuses batches that it cannot send without calling', async () => {
      const before = harness.callCount();
      const tooMany = Array.from({ length: harness.provider.maxIdsPerCall + 1 }, (_, i) => `x${i}`);
      const tooLong = Array.from({ length: 3 }, () => 'x'.repeat(harness.provider.maxIdListBytes / 2));
      expect(await failureOf(fetch([]))).to.be.instanceOf(ProviderRejectedError);
      expect(await failureOf(fetch(tooMany))).to.be.instanceOf(ProviderRejectedError);
      expect(await failureOf(fetch(tooLong))).to.be.instanceOf(ProviderUrlTooLongError);
      expect(harness.callCount()).to.equal(before);
    });

    if (quotesOnly) declareRefusals(() => harness);
    else declareLists(() => harness);

    it('tells the price that the source sent, and nothing beside it that is no number', async () => {
      for (const quote of (await fetch(harness.knownIds)).quotes) {
        for (const value of [quote.marketCap, quote.change24h, quote.changePercent24h, quote.volume24h]) {
          if (value !== null) expect(value).to.satisfy(Number.isFinite);
        }
        expect(quote.asOf === null || !Number.isNaN(Date.parse(quote.asOf))).to.equal(true);
      }
    });

    it('rejects an unknown currency', async () => {
      const error = await failureOf(
        harness.provider.fetchQuotes({ ids: harness.knownIds, currency: 'no-such', signal: signal() }),
      );
      expect(error).to.be.instanceOf(ProviderRejectedError);
      expect(error).to.be.instanceOf(ProviderError);
    });
  });
}

/** What providers with a ranking and a list must do. */
function declareLists(harness: () => ProviderHarness): void {
  it('lists a page of the market in the order of market capitalisation', async () => {
    const page = await harness().provider.fetchMarkets({ currency: 'usd', page: 1, signal: signal() });
    expect(page.assetIds.length).to.be.above(100);
    expect(page.quotes.map(({ assetId }) => assetId)).to.deep.equal(page.assetIds);
    const caps = page.quotes.map((quote) => quote.marketCap ?? 0);
    expect(caps).to.deep.equal([...caps].sort((a, b) => b - a));
  });

  it('keeps the whole ranking when prices cannot be used', async () => {
    harness().inject('null-prices');
    const page = await harness().provider.fetchMarkets({ currency: 'usd', page: 1, signal: signal() });
    expect(page.assetIds.length).to.be.above(100);
    expect(page.quotes).to.deep.equal([]);
  });

  it('lists all assets, each with an id', async () => {
    const assets = await harness().provider.fetchAssets(signal());
    expect(assets.map((asset) => asset.assetId)).to.include.members([...harness().knownIds]);
    expect(assets.every((asset) => asset.assetId !== '')).to.equal(true);
  });
}

function declareRefusals(harness: () => ProviderHarness): void {
  it('has no ranking and no list, and says so without a call', async () => {
    const upstream = harness();
    const { provider } = upstream;
    const before = upstream.callCount();
    const page = { currency: 'usd', page: 1, signal: signal() };
    expect(await failureOf(provider.fetchMarkets(page))).to.be.instanceOf(ProviderRejectedError);
    expect(await failureOf(provider.fetchAssets(signal()))).to.be.instanceOf(ProviderRejectedError);
    expect(upstream.callCount()).to.equal(before);
  });
}
