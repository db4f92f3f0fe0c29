import { expect } from 'chai';
import { directoryOver } from '../../src/features/assets/asset-directory.ts';
import { createAssetIndex, searchable } from '../../src/features/assets/asset-index.ts';
import type { Asset } from '../../src/domain/asset.ts';
import { jobRecord, startApi, type TestApi } from './support/ports.ts';

const bulk = '/api/v1/crypto/bulk';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers of every shape are looked into
async function read(response: Response): Promise<any> {
  return JSON.parse(await response.text());
}

function asset(id: string, symbol: string, more: Partial<Asset> = {}): Asset {
  return {
    id,
    symbol,
    name: `The ${id}`,
    rank: null,
    image: null,
    active: true,
    platformsJson: '{}',
    ...more,
  };
}

const image = 'https://images.example/coins/1/large/bitcoin.png';
const assets = [
  asset('batcat', 'btc'),
  asset('bitcoin', 'btc', { name: 'Bitcoin', rank: 1, image }),
  asset('Odd Id', 'odd', { rank: 3 }),
  asset('solid', 'ODD', { rank: 9 }),
  asset('eth', 'xAAVEa', { rank: 2, platformsJson: '{"ethereum": "0xabc", "solana": null}' }),
  asset('gone', 'old', { active: false }),
];

describe('routes of assets', () => {
  let api: TestApi;
  let index = createAssetIndex(assets.map(searchable));

  beforeEach(async () => {
    index = createAssetIndex(assets.map(searchable));
    api = await startApi({ assets: directoryOver(() => index) });
  });
  afterEach(() => api.close(0));

  const get = async (path: string) => {
    const response = await api.call('GET', path);
    return { status: response.status, headers: response.headers, body: await read(response) };
  };

  it('searches by symbol, name and id', async () => {
    const { status, body } = await get('/api/v1/crypto/search?q=BTC&limit=1');
    expect(status).to.equal(200);
    expect(body.data).to.deep.equal([{ id: 'bitcoin', symbol: 'btc', name: 'Bitcoin', rank: 1 }]);
    expect((await get('/api/v1/crypto/search?q=nothing-like-it')).body.data).to.deep.equal([]);
    for (const query of ['', '?q=', '?q=%20', `?q=${'x'.repeat(101)}`, '?q=a&limit=0', '?q=a&limit=251']) {
      expect((await get(`/api/v1/crypto/search${query}`)).status, query).to.equal(422);
    }
  });

  it('lists all coins by rank, page by page', async () => {
    const { body } = await get('/api/v1/crypto/coins?page=2&limit=2');
    const { data, ...paging } = body.data;
    expect(data.map(({ id }: Asset) => id)).to.deep.equal(['Odd Id', 'solid']);
    expect(paging).to.deep.equal({ total: 5, page: 2, limit: 2, total_pages: 3 });
    expect((await get('/api/v1/crypto/coins?page=9')).body.data.data).to.deep.equal([]);
  });

  it('says that it does not know the coins yet, with a time to come back', async () => {
    index = createAssetIndex([]);
    for (const path of ['search?q=a', 'coins']) {
      const { status, headers, body } = await get(`/api/v1/crypto/${path}`);
      expect([status, headers.get('retry-after'), body.error.code]).to.deep.equal([
        503,
        '5',
        'assets_unknown',
      ]);
    }
    for (const path of ['coins/list', 'search?query=a']) {
      const { status, headers, body } = await get(`/api/v3/${path}`);
      expect([status, headers.get('retry-after')]).to.deep.equal([503, '5']);
      expect(body.status.error_code).to.equal(503);
    }
    const response = await api.call('POST', bulk, { body: { symbols: ['btc'] } });
    expect(response.status).to.equal(503);
    expect((await api.call('POST', bulk, { body: { coins: ['bitcoin'] } })).status).to.equal(202);
  });

  describe("CoinGecko's list and search", () => {
    it('gives the list in its order, with platforms when asked, and what vanished apart', async () => {
      const { body } = await get('/api/v3/coins/list');
      expect(body.map(({ id }: Asset) => id)).to.deep.equal(['batcat', 'bitcoin', 'Odd Id', 'solid', 'eth']);
      expect(body[4]).to.deep.equal({ id: 'eth', symbol: 'xAAVEa', name: 'The eth' });
      const whole = await get('/api/v3/coins/list?include_platform=true');
      expect(whole.body[4].platforms).to.deep.equal({ ethereum: '0xabc', solana: null });
      const inactive = await get('/api/v3/coins/list/?status=inactive');
      expect(inactive.body).to.deep.equal([{ id: 'gone', symbol: 'old', name: 'The gone' }]);
    });

    it('changes the text and the tag of the list with the list', async () => {
      const etag = (await get('/api/v3/coins/list')).headers.get('etag') ?? '';
      const again = await api.call('GET', '/api/v3/coins/list', { headers: { 'if-none-match': etag } });
      expect(again.status).to.equal(304);
      index = createAssetIndex(assets.slice(1).map(searchable));
      const changed = await api.call('GET', '/api/v3/coins/list', { headers: { 'if-none-match': etag } });
      expect(changed.status).to.equal(200);
      expect(await read(changed)).to.have.length(4);
    });

    it("searches in CoinGecko's shape, by market capitalisation, and tells no picture that it was not told", async () => {
      const { body } = await get('/api/v3/search?query=BTC');
      expect(body).to.deep.equal({
        coins: [
          {
            id: 'bitcoin',
            name: 'Bitcoin',
            api_symbol: 'bitcoin',
            symbol: 'BTC',
            market_cap_rank: 1,
            thumb: image,
            large: image,
          },
          {
            id: 'batcat',
            name: 'The batcat',
            api_symbol: 'batcat',
            symbol: 'BTC',
            market_cap_rank: null,
            thumb: 'missing_thumb.png',
            large: 'missing_large.png',
          },
        ],
        exchanges: [],
        icos: [],
        categories: [],
        nfts: [],
      });
      const missing = await get('/api/v3/search');
      expect([missing.status, missing.body]).to.deep.equal([422, { error: 'Missing parameter query' }]);
    });
  });

  describe('a bulk job by symbols', () => {
    it('fetches what the symbols stand for, and shows the choice', async () => {
      const body = { coins: ['eth', 'bitcoin'], symbols: [' BTC', 'odd', 'nobody'], currency: 'sats' };
      api.clientJobs.job = jobRecord();
      const response = await api.call('POST', bulk, { body });
      expect(response.status).to.equal(202);
      const [submitted] = api.clientJobs.submitted;
      expect(submitted).to.deep.include({
        submission: { currency: 'sats', assets: ['eth', 'bitcoin', 'Odd Id'] },
        total: 3,
        resolved: [
          { symbol: 'BTC', id: 'bitcoin', name: 'Bitcoin', rank: 1, others: 1 },
          { symbol: 'odd', id: 'Odd Id', name: 'The Odd Id', rank: 3, others: 1 },
          {
            symbol: 'nobody',
            id: null,
            error: { code: 'symbol_not_found', message: 'no coin has this symbol' },
          },
        ],
      });
    });

    it('puts the choice into the job and into its result, with unknown symbols among the errors', async () => {
      const resolved = [
        { symbol: 'btc', id: 'bitcoin', name: 'Bitcoin', rank: 1, others: 1 },
        { symbol: 'x', id: null, error: { code: 'symbol_not_found', message: 'no coin has this symbol' } },
      ];
      const resolvedJson = JSON.stringify(resolved);
      api.clientJobs.job = jobRecord({ resolvedJson });
      const accepted = await read(await api.call('POST', bulk, { body: { symbols: ['btc', 'x'] } }));
      expect(accepted.data.resolved).to.deep.equal(resolved);
      const portfolio = [{ id: 'bitcoin', name: '"error_count":7' }];
      const resultJson = JSON.stringify({ portfolio, success_count: 1, error_count: 0, fetch_time: '0.10s' });
      api.clientJobs.ended = jobRecord({ state: 'completed', resultJson, resolvedJson });
      const waited = await read(
        await api.call('POST', bulk, { body: { symbols: ['btc', 'x'], timeout: 5 } }),
      );
      expect(waited.data).to.deep.equal({
        resolved,
        portfolio,
        success_count: 1,
        error_count: 1,
        fetch_time: '0.10s',
      });
      api.clientJobs.job = api.clientJobs.ended;
      const { body } = await get(`/api/v1/jobs/${api.clientJobs.job.id}`);
      expect(body.data.result).to.deep.equal(waited.data);
    });

    const refusals: [string, object, string][] = [
      ['neither coins nor symbols', {}, 'coins'],
      ['no symbol', { symbols: [] }, 'symbols'],
      ['a repeated symbol', { symbols: ['btc', 'BTC'] }, 'symbols[1]'],
      ['an empty symbol', { symbols: [' '] }, 'symbols[0]'],
      ['only unknown symbols', { symbols: ['nobody', 'nothing'] }, 'symbols'],
      ['too many', { symbols: Array.from({ length: 251 }, (_, n) => `s${n}`) }, 'symbols'],
      [
        'too many together',
        { coins: Array.from({ length: 250 }, (_, n) => `c${n}`), symbols: ['btc'] },
        'symbols',
      ],
    ];
    for (const [what, body, field] of refusals) {
      it(`refuses ${what}, naming the field`, async () => {
        const response = await api.call('POST', bulk, { body });
        expect(response.status).to.equal(422);
        expect((await read(response)).error.fields[0].field).to.equal(field);
        expect(api.clientJobs.submitted).to.deep.equal([]);
      });
    }
  });
});
