/** Performance over HTTP: what is asked for, what is answered at once, and what is waited for. */
import { expect } from 'chai';
import { directoryOver } from '../../src/features/assets/asset-directory.ts';
import { createAssetIndex, searchable } from '../../src/features/assets/asset-index.ts';
import type { Portfolio } from '../../src/features/portfolios/ledger/portfolio.ts';
import type { PortfolioService } from '../../src/features/portfolios/portfolio-service.ts';
import { NotFoundError } from '../../src/domain/errors.ts';
import { jobRecord, startApi, type TestApi } from './support/ports.ts';

const id = '01934c2a-0000-7000-8000-0000000000bb';
const path = `/api/v1/portfolios/${id}/performance`;
const now = Date.UTC(2026, 5, 10, 12, 34, 56);

const portfolio: Portfolio = {
  id,
  userId: '01934c2a-0000-7000-8000-000000000001',
  name: 'mine',
  baseCurrency: 'eur',
  method: 'fifo',
  timeZone: 'UTC',
  version: 1,
  booksVersion: 7,
  bookedVersion: 6,
  createdAt: new Date(0),
  updatedAt: new Date(0),
};

const portfolios = {
  get: (requested: string) =>
    requested === id
      ? Promise.resolve(portfolio)
      : Promise.reject(new NotFoundError('no', 'portfolio_not_found')),
} as unknown as PortfolioService['portfolios'];

const bitcoin = { id: 'bitcoin', symbol: 'btc', name: 'Bitcoin', rank: 1, active: true } as never;
const known = createAssetIndex([searchable(bitcoin)]);

const completed = jobRecord({
  name: 'performance.compute',
  state: 'completed',
  resultJson: '{"twr":{"value":0.25,"reason":null}}',
});

describe('performance over HTTP', () => {
  let api: TestApi;

  beforeEach(async () => {
    api = await startApi({ portfolios, clock: { now: () => now }, assets: directoryOver(() => known) });
  });
  afterEach(() => api.close(0));

  it('submits what was not computed yet, waits for it as reads do, and answers the figures', async () => {
    api.clientJobs.ended = completed;
    const answer = await api.call('GET', `${path}?range=90d&risk_free_rate=0.02`);
    expect(answer.status).to.equal(200);
    expect(await answer.json()).to.deep.equal({
      success: true,
      message: 'Performance',
      data: { twr: { value: 0.25, reason: null } },
    });
    expect(api.clientJobs.waits).to.deep.equal([50]);
    const [{ name, submission, total }] = api.clientJobs.submitted as [(typeof api.clientJobs.submitted)[0]];
    expect({ name, total }).to.deep.equal({ name: 'performance.compute', total: 4 });
    expect(submission).to.deep.equal({
      portfolioId: id,
      currency: 'eur',
      range: '90d',
      benchmark: 'bitcoin',
      riskFreeRate: 0.02,
      booksVersion: '7',
      asOf: '2026-06-10T12:30:00.000Z',
    });
  });

  it('answers what was computed a moment ago without another job, with an entity tag', async () => {
    api.clientJobs.same = completed;
    const answer = await api.call('GET', path);
    expect(answer.status).to.equal(200);
    expect(answer.headers.get('cache-control')).to.equal('private, no-cache');
    const tag = answer.headers.get('etag')!;
    const again = await api.call('GET', path, { headers: { 'if-none-match': tag } });
    expect(again.status).to.equal(304);
    expect(await again.text()).to.equal('');
    api.clientJobs.same = { ...completed, resultJson: '{"twr":{"value":0.26,"reason":null}}' };
    expect((await api.call('GET', path, { headers: { 'if-none-match': tag } })).status).to.equal(200);
    expect(api.clientJobs.submitted).to.deep.equal([]);
    expect(api.clientJobs.waits).to.deep.equal([]);
  });

  it('waits for the job that computes it already, however often it is asked', async () => {
    api.clientJobs.same = jobRecord({ name: 'performance.compute', state: 'running' });
    for (let count = 0; count < 3; count++) {
      const answer = await api.call('GET', path);
      expect(answer.status).to.equal(202);
      expect(answer.headers.get('location')).to.equal(`/api/v1/jobs/${api.clientJobs.same.id}`);
      expect(answer.headers.get('retry-after')).to.equal('7');
      expect(answer.headers.get('etag')).to.equal(null);
    }
    expect(api.clientJobs.submitted).to.deep.equal([]);
  });

  it('does not wait for a client that wants an answer at once, and waits longer for one that would', async () => {
    const async = await api.call('GET', path, { headers: { prefer: 'handling=lenient, respond-async' } });
    expect([async.status, async.headers.get('preference-applied')]).to.deep.equal([202, 'respond-async']);
    expect(api.clientJobs.waits).to.deep.equal([]);
    const long = await api.call('GET', path, { headers: { prefer: 'respond-async, wait=9' } });
    expect([long.status, long.headers.get('preference-applied')]).to.deep.equal([202, 'wait=9']);
    expect(api.clientJobs.waits).to.deep.equal([9_000]);
  });

  it('tells why there are no figures', async () => {
    api.clientJobs.ended = jobRecord({
      state: 'failed',
      error: { code: 'range_too_large', message: 'too much' },
    });
    const failed = await api.call('GET', path);
    expect(failed.status).to.equal(502);
    api.clientJobs.ended = { ...api.clientJobs.ended, errorStatus: 422 };
    const refused = await api.call('GET', path);
    expect(refused.status).to.equal(422);
    expect(await refused.text()).to.include('range_too_large');
    api.clientJobs.ended = jobRecord({ state: 'cancelled' });
    expect((await api.call('GET', path)).status).to.equal(409);
  });

  it('computes as a job like other submissions, and waits when it is told to', async () => {
    const body = '{"range":"ytd","benchmark":"BITCOIN ","risk_free_rate":-0}';
    const answer = await api.call('POST', path, { body });
    expect(answer.status).to.equal(202);
    expect(answer.headers.get('location')).to.equal(`/api/v1/jobs/${api.clientJobs.job.id}`);
    expect(api.clientJobs.submitted[0]!.submission).to.include({ range: 'ytd', benchmark: 'bitcoin' });
    const { riskFreeRate } = api.clientJobs.submitted[0]!.submission as unknown as { riskFreeRate: number };
    expect(Object.is(riskFreeRate, 0)).to.equal(true);
    api.clientJobs.ended = completed;
    const waited = await api.call('POST', path, { body: { timeout: 3 } });
    expect(waited.status).to.equal(200);
    expect(api.clientJobs.waits).to.deep.equal([3_000]);
    expect(api.clientJobs.submitted[1]!.submission).to.include({ range: 'max', riskFreeRate: 0 });
  });

  it('keeps idempotency keys of different portfolios apart', async () => {
    await api.call('POST', path, { body: {}, headers: { 'idempotency-key': 'k' } });
    expect(api.clientJobs.submitted[0]!.idempotency?.route).to.equal(`POST /portfolios/${id}/performance`);
  });

  const refused: [query: string, field: string][] = [
    ['range=2d', 'query.range'],
    ['range=', 'query.range'],
    ['range=max&range=1d', 'query.range'],
    ['benchmark=nonesuch', 'query.benchmark'],
    ['benchmark=../etc', 'query.benchmark'],
    ['benchmark=', 'query.benchmark'],
    ...[
      '1e-2',
      '11',
      '-1.01',
      'NaN',
      'Infinity',
      '',
      '0x1',
      '1,5',
      '0.00001',
      '9'.repeat(400),
      '٣',
      '+1',
    ].map((rate): [string, string] => [`risk_free_rate=${encodeURIComponent(rate)}`, 'query.risk_free_rate']),
    ['days=3', 'query.days'],
  ];
  for (const [query, field] of refused) {
    it(`refuses ?${query.slice(0, 40)} and names the field`, async () => {
      const answer = await api.call('GET', `${path}?${query}`);
      expect(answer.status).to.equal(422);
      expect(await answer.text()).to.include(`"field":"${field}"`);
      expect(api.clientJobs.submitted).to.deep.equal([]);
    });
  }

  for (const body of [
    { range: 7 },
    { range: '1y ' },
    { benchmark: null },
    { benchmark: 'nonesuch' },
    { risk_free_rate: '0.02' },
    { risk_free_rate: 10.000001 },
    { risk_free_rate: 0.02001 },
    { timeout: 61 },
    { portfolioId: id },
    [],
  ]) {
    it(`refuses the body ${JSON.stringify(body)}`, async () => {
      expect((await api.call('POST', path, { body })).status).to.equal(422);
      expect(api.clientJobs.submitted).to.deep.equal([]);
    });
  }

  it('does not find what is no portfolio of the caller', async () => {
    for (const other of ['01934c2a-0000-7000-8000-0000000000cc', 'x', '..%2f..']) {
      for (const [method, options] of [
        ['GET', {}],
        ['POST', { body: {} }],
      ] as const) {
        const answer = await api.call(method, `/api/v1/portfolios/${other}/performance`, options);
        expect(answer.status).to.equal(404);
      }
    }
  });

  it('takes any benchmark while no list of assets is known', async () => {
    await api.close(0);
    api = await startApi({ portfolios });
    expect((await api.call('GET', `${path}?benchmark=nonesuch`)).status).to.equal(202);
  });
});
