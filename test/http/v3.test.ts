/** CoinGecko's contract: what its clients get, and how bad input is answered. */
import { expect } from 'chai';
import { toCachedQuote, withoutPriceReason, type QuoteReading } from '../../src/domain/cached-quote.ts';
import type { Quote } from '../../src/domain/quote.ts';
import { startApi, type TestApi } from './support/ports.ts';

const root = '/api/v3';

/** A quote as a source gives it. */
export function quoteOf(assetId: string, different: Partial<Quote> = {}): Quote {
  return {
    assetId,
    symbol: assetId.slice(0, 3),
    name: assetId,
    currency: 'usd',
    price: 67_187.3358936,
    marketCap: 1_317_802_988_326.25,
    rank: 1,
    change24h: 2_500.5,
    changePercent24h: 3.63727,
    volume24h: 31_260_929_299.52,
    source: 'coingecko',
    asOf: '2026-01-01T00:00:00.000Z',
    receivedAt: Date.now(),
    ...different,
  };
}

function fresh(assetId: string, different: Partial<Quote> = {}): QuoteReading {
  return { assetId, state: 'fresh', quote: toCachedQuote(quoteOf(assetId, different)) };
}

describe("CoinGecko's contract", () => {
  let api: TestApi;

  beforeEach(async () => {
    api = await startApi();
    api.market.readings.set('usd:bitcoin', fresh('bitcoin'));
    api.market.readings.set(
      'eur:bitcoin',
      fresh('bitcoin', { currency: 'eur', price: 0.000_000_123_456_789 }),
    );
  });

  afterEach(async () => {
    await api.close(0);
  });

  const get = async (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    await api.call('GET', root + path, { headers });

  describe('bad input', () => {
    const missing = (name: string): object => ({ error: `Missing parameter ${name}` });
    const cases: [string, number, object][] = [
      ['/simple/price', 422, missing('vs_currencies')],
      ['/simple/price?ids=bitcoin', 422, missing('vs_currencies')],
      ['/simple/price?ids=bitcoin&vs_currencies=', 422, missing('vs_currencies')],
      ['/simple/price?vs_currencies=usd', 422, missing('ids')],
      ['/simple/price?vs_currencies=usd&ids=', 422, missing('ids')],
      ['/simple/price?vs_currencies=usd&ids=no-such-coin', 200, {}],
      ['/simple/price?vs_currencies=usd&ids=../etc/passwd,%00', 200, {}],
      ['/simple/price?vs_currencies=xyz&ids=bitcoin,no-such-coin', 200, { bitcoin: {} }],
      ['/simple/price?vs_currencies=usd,xyz&ids=bitcoin', 200, { bitcoin: { usd: 67_187.34 } }],
      ['/simple/price?vs_currencies=usd&ids=bitcoin&precision=19', 200, { bitcoin: { usd: 67_187.34 } }],
      ['/simple/price?vs_currencies=usd&ids=bitcoin&precision=x', 200, { bitcoin: { usd: 67_187.34 } }],
      ['/coins/markets', 422, missing('vs_currency')],
      ['/coins/markets?vs_currency=xyz', 422, { error: 'invalid vs_currency' }],
      ['/coins/no-such-coin', 404, { error: 'coin not found' }],
      ['/coins/..%2f..%2fkey', 404, { error: 'coin not found' }],
    ];
    for (const [path, status, body] of cases) {
      it(`answers ${status} to ${path}`, async () => {
        const response = await get(path);
        expect(await response.json()).to.deep.equal(body);
        expect(response.status).to.equal(status);
        expect(response.headers.get('content-type')).to.match(/^application\/json/);
      });
    }

    for (const path of [
      '/exchanges',
      '/coins/bitcoin/tickers',
      '',
      '/',
      '/simple',
      '/nfts/list?per_page=1',
    ]) {
      it(`answers 404 in CoinGecko's shape where nothing is mirrored: ${path || '(root)'}`, async () => {
        const response = await get(path);
        expect(response.status).to.equal(404);
        expect(await response.json())
          .to.have.property('error')
          .that.matches(/^Incorrect path\. /);
      });
    }

    it('answers 404 to other methods, as to a path that is not there', async () => {
      const response = await api.call('POST', `${root}/simple/price`, { body: {} });
      expect(response.status).to.equal(404);
      expect(await response.json())
        .to.have.property('error')
        .that.matches(/^Incorrect path\. /);
    });

    for (const [what, length] of [
      ['a query of 9 kB', 9_000],
      ['a query of 20 kB', 20_000],
      ['5,000 ids', 60_000],
    ] as const) {
      it(`answers 414 to ${what}`, async () => {
        const ids = Array.from(
          { length: Math.floor(length / 12) },
          (_, index) => `coin-${index}-abcd`,
        ).join();
        const response = await get(`/simple/price?vs_currencies=usd&ids=${ids}`);
        expect(response.status).to.equal(414);
        expect(await response.json()).to.have.property('error');
      });
    }

    it('asks nobody about ids that no source can have', async () => {
      await get('/simple/price?vs_currencies=usd&ids=a/b,%2e%2e/x,bitcoin');
      expect(api.market.requested.map(({ assetIds }) => assetIds)).to.deep.equal([['bitcoin']]);
    });
  });

  describe('prices', () => {
    it('gives what is asked for in each currency, numbers as CoinGecko rounds them', async () => {
      const flags =
        'include_market_cap=true&include_24hr_vol=TRUE&include_24hr_change=1&include_last_updated_at=true';
      const response = await get(`/simple/price?ids=Bitcoin,%20bitcoin&vs_currencies=USD,eur&${flags}`);
      expect(await response.text()).to.equal(
        '{"bitcoin":{"usd":67187.34,"usd_market_cap":1317802988326.25,"usd_24h_vol":31260929299.52,"usd_24h_change":3.63727,' +
          '"eur":1.23457e-7,"eur_market_cap":1317802988326.25,"eur_24h_vol":31260929299.52,"eur_24h_change":3.63727,' +
          '"last_updated_at":1767225600}}',
      );
    });

    const precisions: [string, number][] = [
      ['full', 67_187.3358936],
      ['0', 67_187],
      ['3', 67_187.336],
      ['18', 67_187.3358936],
    ];
    for (const [precision, expected] of precisions) {
      it(`rounds prices alone with precision=${precision}`, async () => {
        const response = await get(
          `/simple/price?ids=bitcoin&vs_currencies=usd&precision=${precision}&include_24hr_change=true`,
        );
        expect(await response.json()).to.deep.equal({ bitcoin: { usd: expected, usd_24h_change: 3.63727 } });
      });
    }

    it('tells nulls as nulls, and an asset without a price as one without figures', async () => {
      api.market.readings.set('usd:x', fresh('x', { marketCap: null, changePercent24h: null }));
      api.market.readings.set('usd:y', {
        assetId: 'y',
        state: 'unpriced',
        quote: undefined,
        reason: withoutPriceReason,
      });
      const response = await get(
        '/simple/price?ids=x,y&vs_currencies=usd&include_market_cap=true&include_24hr_change=true',
      );
      expect(await response.json()).to.deep.equal({
        x: { usd: 67_187.34, usd_market_cap: null, usd_24h_change: null },
        y: {},
      });
    });

    it('serves what is there when something else has not come, and says so; 503 when nothing has', async () => {
      api.market.readings.set('usd:late', { assetId: 'late', state: 'rate_limited', quote: undefined });
      const some = await get('/simple/price?ids=bitcoin,late&vs_currencies=usd');
      expect(await some.json()).to.deep.equal({ bitcoin: { usd: 67_187.34 } });
      expect(some.headers.get('x-pricepool-state')).to.equal('partial');
      expect(some.headers.get('x-pricepool-pending')).to.equal('late');
      expect(some.headers.get('cache-control')).to.include('no-store');
      const none = await get('/simple/price?ids=late&vs_currencies=usd');
      expect(none.status).to.equal(503);
      expect(none.headers.get('retry-after')).to.equal('5');
      expect(await none.json()).to.have.nested.property('status.error_code', 503);
    });

    it('says why when the source refuses our requests', async () => {
      const reason = 'the price source refuses our requests: coingecko answered 403: 1020';
      api.market.readings.set('usd:late', {
        assetId: 'late',
        state: 'unavailable',
        quote: undefined,
        reason,
      });
      for (const path of [
        '/simple/price?ids=late&vs_currencies=usd',
        '/coins/markets?ids=late&vs_currency=usd',
      ]) {
        const none = await get(path);
        expect(none.status, path).to.equal(503);
        expect(await none.json(), path).to.have.nested.property('status.error_message', reason);
      }
      const response = { state: 'forbidden', reason } as const;
      api.documents.readings.set('/global', response);
      const forbidden = await get('/global');
      expect(forbidden.status).to.equal(403);
      const { status } = (await forbidden.json()) as { status: object };
      expect(status).to.include({ error_code: 10_005, error_message: reason });
    });

    it('says how old a stale price is', async () => {
      const receivedAt = Date.now() - 90_000;
      api.market.readings.set('usd:old', { ...fresh('old', { receivedAt }), state: 'stale' });
      const { headers } = await get('/simple/price?ids=old,bitcoin&vs_currencies=usd');
      expect(headers.get('x-pricepool-state')).to.equal('stale');
      expect(Number(headers.get('age'))).to.be.within(90, 95);
    });

    it('forgets a held answer when a newer quote has come', async () => {
      const path = '/simple/price?ids=bitcoin&vs_currencies=usd';
      await get(path);
      await get(path);
      await get(path);
      expect(api.market.requested).to.have.length(1);
      api.market.readings.set('usd:bitcoin', fresh('bitcoin', { price: 5 }));
      api.market.versionNow += 1;
      expect(await (await get(path)).json()).to.deep.equal({ bitcoin: { usd: 5 } });
      expect(api.market.reads).to.deep.equal({ bitcoin: 2 });
    });

    it('takes a trailing slash, HEAD, and a tag that is still good', async () => {
      const path = '/simple/price/?ids=bitcoin&vs_currencies=usd';
      const good = await get(path);
      expect(good.status).to.equal(200);
      expect(good.headers.get('cache-control')).to.equal('max-age=30, public, must-revalidate, s-maxage=60');
      expect(good.headers.get('access-control-allow-origin')).to.equal('*');
      const { headers } = await get(path, { origin: 'https://page.example' });
      expect(headers.get('access-control-expose-headers')).to.match(/^link, per-page, total\b/);
      const tag = good.headers.get('etag') ?? '';
      expect(tag).to.match(/^W\/".+"$/);
      for (const header of [tag, `"x", ${tag}`, '*']) {
        const same = await get(path, { 'if-none-match': header });
        expect([same.status, await same.text()]).to.deep.equal([304, '']);
      }
      const head = await api.call('HEAD', root + path);
      expect([head.status, await head.text()]).to.deep.equal([200, '']);
      expect(head.headers.get('content-length')).to.equal(String((await good.text()).length));
    });

    it('takes a tag with the suffix of a proxy that compresses', async () => {
      const path = '/simple/price?ids=bitcoin&vs_currencies=usd';
      const tag = (await get(path)).headers.get('etag') ?? '';
      for (const suffixed of [tag.replace(/"$/, '-gzip"'), tag.replace(/^W\/(.*)"$/, '$1-br"')])
        expect((await get(path, { 'if-none-match': suffixed })).status, suffixed).to.equal(304);
      expect((await get(path, { 'if-none-match': tag.replace(/"$/, '-other"') })).status).to.equal(200);
    });

    it('reads lists that are written with brackets', async () => {
      const wanted = await (await get('/simple/price?ids=bitcoin,no-such-coin&vs_currencies=usd,eur')).json();
      expect(wanted).to.have.nested.property('bitcoin.eur');
      for (const query of [
        'ids[]=bitcoin&ids[]=no-such-coin&vs_currencies[]=usd&vs_currencies[]=eur',
        'ids%5B%5D=bitcoin%2Cno-such-coin&vs_currencies=usd,eur',
      ])
        expect(await (await get(`/simple/price?${query}`)).json(), query).to.deep.equal(wanted);
      // What is written plainly counts.
      const plain = await get('/simple/price?ids=bitcoin&ids[]=other&vs_currencies=usd');
      expect(await plain.json()).to.have.all.keys('bitcoin');
    });

    it('lets pages of any origin ask for the headers that the SDK sends', async () => {
      const response = await api.call('OPTIONS', `${root}/simple/price`, {
        headers: {
          origin: 'https://anywhere.example',
          'access-control-request-method': 'GET',
          'access-control-request-headers': 'x-cg-demo-api-key,x-stainless-lang',
        },
      });
      expect(response.status).to.equal(204);
      expect(response.headers.get('access-control-allow-origin')).to.equal('*');
      expect(response.headers.get('access-control-allow-headers')).to.equal(
        'x-cg-demo-api-key,x-stainless-lang',
      );
    });
  });

  describe('keys', () => {
    const none = { authorization: '' };

    for (const header of ['x-cg-demo-api-key', 'x-cg-pro-api-key', 'x-api-key']) {
      it(`takes a credential in ${header}`, async () => {
        expect((await get('/ping', { ...none, [header]: api.token })).status).to.equal(200);
      });
    }

    for (const name of ['x_cg_demo_api_key', 'x_cg_pro_api_key']) {
      it(`takes a credential in ?${name}, on this contract only`, async () => {
        const query = `?${name}=${api.token}`;
        expect((await get(`/ping${query}`, none)).status).to.equal(200);
        const other = await api.call('GET', `/api/v1/crypto/bitcoin${query}`, { headers: none });
        expect(other.status).to.equal(401);
      });
    }

    it("refuses in CoinGecko's shape who brings none, or a bad one, and says nothing of it", async () => {
      for (const path of ['/ping', '/ping?x_cg_demo_api_key=CG-not-ours']) {
        const response = await get(path, none);
        expect(response.status).to.equal(401);
        const text = await response.text();
        expect(text).to.not.include('CG-not-ours');
        const { status } = JSON.parse(text) as { status: Record<string, unknown> };
        expect(status).to.have.keys('timestamp', 'error_code', 'error_message');
        expect(status['error_code']).to.equal(10_002);
      }
    });

    it('tell at /key what was asked with them apart from what was asked with all', async () => {
      const keyId = '01934c2a-0000-7000-8000-0000000000c1';
      const requested: unknown[] = [];
      const day = (key: string | null, requests: number) => ({
        day: '2026-02-03',
        keyId: key,
        requests,
        jobs: 0,
        upstreamCalls: 0,
      });
      const usageReports: TestApi['deps']['usageReports'] = {
        ...api.deps.usageReports,
        ofUser(span) {
          requested.push(span);
          const days = [
            day(keyId, 3),
            day(keyId, 4),
            day('01934c2a-0000-7000-8000-0000000000c2', 20),
            day(null, 100),
          ];
          return Promise.resolve({ days, totals: day(null, 127) });
        },
      };
      const { authenticator } = api.deps;
      const keyed = await startApi({
        usageReports,
        clock: { now: () => Date.UTC(2026, 1, 10) },
        authenticator: {
          ...authenticator,
          authenticate: async (credential) => ({
            ...(await authenticator.authenticate(credential)),
            keyId,
            scopes: ['prices:read'],
          }),
          dailyQuotaOf: () => 10,
        },
      });
      const unkeyed = await startApi({ usageReports });
      try {
        const withKey = await (await keyed.call('GET', `${root}/key`)).json();
        expect(withKey).to.include({
          monthly_call_credit: 280,
          current_total_monthly_calls: 127,
          current_remaining_monthly_calls: 273,
          api_key_current_total_monthly_calls: 7,
        });
        expect(requested).to.have.lengthOf(1);
        expect(requested[0]).to.include({ from: '2026-02-01', to: '2026-02-28' });
        const without = await (await unkeyed.call('GET', `${root}/key`)).json();
        expect(without).to.include({
          current_total_monthly_calls: 127,
          api_key_current_total_monthly_calls: 100,
        });
      } finally {
        await keyed.close(0);
        await unkeyed.close(0);
      }
    });

    it('never repeats a key of the query in an answer', async () => {
      const response = await get(
        `/coins/markets?vs_currency=usd&ids=bitcoin&page=2&per_page=1&x_cg_demo_api_key=${api.token}`,
        none,
      );
      expect([...response.headers].flat().join()).to.not.include(api.token);
      expect(response.headers.get('link')).to.include('rel="first"');
    });
  });
});
