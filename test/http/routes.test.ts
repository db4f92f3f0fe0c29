import { expect } from 'chai';
import { request } from 'node:http';
import { createHealth } from '../../src/platform/observability/health.ts';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import type { Submission } from '../../src/features/jobs/job-service.ts';
import { jobId, jobRecord, startApi, type TestApi } from './support/ports.ts';

const bulk = '/api/v1/crypto/bulk';
const self = `/api/v1/jobs/${jobId}`;

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers of every shape are looked into
async function read(response: Response): Promise<any> {
  return JSON.parse(await response.text());
}

describe('routes', () => {
  let api: TestApi;

  beforeEach(async () => {
    api = await startApi();
  });

  afterEach(async () => {
    await api.close(0);
  });

  describe('submissions', () => {
    it('accepts a bulk job: 202, where it is found, and what was asked in canonical form and order', async () => {
      const response = await api.call('POST', bulk, {
        body: { coins: [' ETH', 'bitcoin'], currency: 'EUR' },
      });
      expect(response.status).to.equal(202);
      expect(response.headers.get('location')).to.equal(self);
      expect(response.headers.get('retry-after')).to.equal('7');
      const { data } = await read(response);
      expect(data).to.deep.include({
        id: jobId,
        state: 'queued',
        progress: { done: 0, total: 2 },
        eta_seconds: 7,
      });
      expect(data.links).to.deep.equal({ self, events: `${self}/events` });
      expect(api.clientJobs.submitted[0]).to.deep.include({
        name: 'bulk.fetch',
        submission: { currency: 'eur', assets: ['eth', 'bitcoin'] },
        total: 2,
        idempotency: undefined,
      });
      expect(api.clientJobs.waits).to.deep.equal([]);
    });

    it('keeps every digit of a quantity and counts distinct coins', async () => {
      const quantities = ['0.123456789012345678', '0', 1e-7, '007.50'];
      const holdings = quantities.map((quantity, index) => ({
        coin: index === 3 ? 'c0' : `c${index}`,
        quantity,
      }));
      await api.call('POST', '/api/v1/crypto/portfolio', { body: { holdings } });
      const { name, submission, total } = api.clientJobs.submitted[0]!;
      expect({ name, total }).to.deep.equal({ name: 'portfolio.fetch', total: 3 });
      const sent = (submission as Submission<'portfolio.fetch'>).holdings.map(({ quantity }) => quantity);
      expect(sent).to.deep.equal(['0.123456789012345678', '0', '0.0000001', '7.5']);
    });

    const waits: [string, Record<string, string>, object, number[], string | null][] = [
      ['Prefer: wait=5', { prefer: 'wait=5' }, {}, [5000], 'wait=5'],
      ['Prefer among others', { prefer: 'respond-async, wait = 10; x=y, foo' }, {}, [10_000], 'wait=10'],
      ['Prefer beyond the cap', { prefer: 'wait=100000' }, {}, [60_000], 'wait=60'],
      ['Prefer far beyond the cap', { prefer: `wait=${'9'.repeat(11)}` }, {}, [60_000], 'wait=60'],
      ['a Prefer that makes no sense', { prefer: 'wait=soon' }, {}, [], null],
      ['Prefer: wait=0', { prefer: 'wait=0' }, {}, [], null],
      ['timeout', {}, { timeout: 2.5 }, [2500], null],
      ['timeout before Prefer', { prefer: 'wait=9' }, { timeout: 1 }, [1000], null],
    ];
    for (const [what, headers, more, expected, applied] of waits) {
      it(`waits as ${what} says, and falls back to 202`, async () => {
        const response = await api.call('POST', bulk, { body: { coins: ['a'], ...more }, headers });
        expect(response.status).to.equal(202);
        expect(api.clientJobs.waits).to.deep.equal(expected);
        expect(response.headers.get('preference-applied')).to.equal(applied);
        expect(response.headers.get('vary')).to.equal('Prefer');
      });
    }

    it('answers the waiting with the result itself, as the text it is stored as', async () => {
      api.clientJobs.ended = jobRecord({
        state: 'completed',
        resultJson: '{"portfolio":[],"fetch_time": "0.12s"}',
      });
      const response = await api.call('POST', bulk, { body: { coins: ['a'], timeout: 5 } });
      expect(response.status).to.equal(200);
      expect(await response.text()).to.equal(
        '{"success":true,"message":"Done","data":{"portfolio":[],"fetch_time": "0.12s"}}',
      );
    });

    it('tells the waiting when the job failed or was cancelled, and where it is', async () => {
      api.clientJobs.ended = jobRecord({
        state: 'failed',
        error: { code: 'upstream_broken', message: 'It broke' },
      });
      const failed = await api.call('POST', bulk, { body: { coins: ['a'], timeout: 5 } });
      expect([failed.status, (await read(failed)).error.code]).to.deep.equal([502, 'upstream_broken']);
      expect(failed.headers.get('location')).to.equal(self);
      api.clientJobs.ended = jobRecord({ state: 'cancelled' });
      const cancelled = await api.call('POST', bulk, { body: { coins: ['a'], timeout: 5 } });
      expect([cancelled.status, (await read(cancelled)).error.code]).to.deep.equal([409, 'job_cancelled']);
    });

    it('gives equal bodies equal idempotency hashes, however they are written', async () => {
      const headers = { 'idempotency-key': 'k-1' };
      await api.call('POST', bulk, { headers, body: '{"coins":["a"],"currency":"USD"}' });
      await api.call('POST', bulk, { headers, body: '{ "currency": "usd", "coins": [" A "] }' });
      await api.call('POST', bulk, { headers, body: { coins: ['a'], timeout: 5 } });
      await api.call('POST', bulk, { headers, body: { coins: ['b'] } });
      const [first, same, patient, other] = api.clientJobs.submitted.map(({ idempotency }) => idempotency!);
      expect(first).to.deep.include({ key: 'k-1', route: 'POST /crypto/bulk' });
      expect([same, patient]).to.deep.equal([first, first]);
      expect(other!.bodyHash).to.not.equal(first!.bodyHash);
    });
  });

  describe('jobs', () => {
    it('polls with a strong tag: 304 while nothing changes, with Retry-After while it runs', async () => {
      const first = await api.call('GET', self);
      expect([first.status, first.headers.get('etag'), first.headers.get('retry-after')]).to.deep.equal([
        200,
        '"1"',
        '7',
      ]);
      for (const tag of ['"1"', 'W/"1"', '"0", "1"', '*']) {
        const again = await api.call('GET', self, { headers: { 'if-none-match': tag } });
        expect([again.status, await again.text(), again.headers.get('retry-after')]).to.deep.equal([
          304,
          '',
          '7',
        ]);
        expect(again.headers.get('etag')).to.equal('"1"');
      }
      const changed = await api.call('GET', self, { headers: { 'if-none-match': '"0"' } });
      expect(changed.status).to.equal(200);
    });

    it('splices the result in and asks nobody to come back once it has ended', async () => {
      api.clientJobs.job = jobRecord({
        state: 'completed',
        version: 4,
        resultJson: '{"total_value":"1.50"}',
      });
      const response = await api.call('GET', self);
      const { data } = await read(response);
      expect(data).to.deep.include({
        state: 'completed',
        eta_seconds: null,
        result: { total_value: '1.50' },
      });
      expect(response.headers.get('retry-after')).to.equal(null);
    });

    it('knows nothing of ids that are none and of jobs of others', async () => {
      for (const id of ['7', '..%2F', jobId.replace('aa', 'bb')]) {
        expect((await api.call('GET', `/api/v1/jobs/${id}`)).status).to.equal(404);
        expect((await api.call('GET', `/api/v1/jobs/${id}/events`)).status).to.equal(404);
      }
      api.clientJobs.job = jobRecord({ userId: 'somebody else' });
      expect((await api.call('GET', self)).status).to.equal(404);
      expect(
        (await api.call('GET', self, { headers: { authorization: `Bearer ${api.adminToken}` } })).status,
      ).to.equal(200);
    });

    it('lists a page and cancels', async () => {
      const { data } = await read(await api.call('GET', '/api/v1/jobs?page=2&limit=20'));
      expect(data).to.include({ total: 41, page: 2, limit: 20, total_pages: 3 });
      expect(data.data[0]).to.include({ id: jobId }).and.not.have.any.keys('result', 'eta_seconds');
      const cancelled = await read(await api.call('DELETE', self));
      expect(cancelled.data).to.include({ id: jobId, state: 'cancelled' });
    });

    it('hands the response over to the stream, with the last event id', async () => {
      const response = await api.call('GET', `${self}/events`, { headers: { 'last-event-id': '7-1' } });
      expect(response.headers.get('content-type')).to.equal('text/event-stream');
      expect(response.headers.get('x-request-id')).to.be.a('string');
      expect(await response.text()).to.equal('event: hello\ndata: {}\n\n');
      await (await api.call('GET', `${self}/events?lastEventId=8-1`)).text();
      // As a browser does that comes back by itself: the URL is that of its first request.
      const headers = { 'last-event-id': '9-1' };
      await (await api.call('GET', `${self}/events?lastEventId=8-1`, { headers })).text();
      expect(api.streams.opened).to.deep.equal(['7-1', '8-1', '9-1']);
    });
  });

  describe('prices', () => {
    const quote = { assetId: 'bitcoin', currency: 'usd', receivedAt: 1, head: '{"id":"bitcoin","price":1.5' };

    it('answers a fresh quote from memory, in the default and in a given currency', async () => {
      api.quotes.fresh
        .set('bitcoin/usd', '{"id":"bitcoin","price":1}')
        .set('bitcoin/eur', '{"id":"bitcoin","price":2}');
      const plain = await api.call('GET', '/api/v1/crypto/bitcoin');
      expect(await read(plain)).to.deep.equal({
        success: true,
        message: 'Quote',
        data: { id: 'bitcoin', price: 1 },
      });
      expect(plain.headers.get('x-content-type-options')).to.equal('nosniff');
      expect((await read(await api.call('GET', '/api/v1/crypto/bitcoin?currency=eur'))).data.price).to.equal(
        2,
      );
      expect(api.quotes.reads).to.deep.equal([]);
    });

    it('reads what is not in memory, in canonical form', async () => {
      api.quotes.readings.set('bitcoin', { assetId: 'bitcoin', state: 'stale', quote });
      const { data } = await read(await api.call('GET', '/api/v1/crypto/BitCoin?currency=USD'));
      expect(data).to.deep.equal({ id: 'bitcoin', price: 1.5, state: 'stale' });
      expect(api.quotes.reads).to.deep.equal(['bitcoin/usd']);
    });

    for (const [state, status, retryAfter] of [
      ['pending', 503, '5'],
      ['rate_limited', 503, '5'],
      ['unavailable', 503, '5'],
      ['not_found', 404, null],
    ] as const) {
      it(`answers ${status} when the only thing known is ${state}`, async () => {
        api.quotes.readings.set('x', { assetId: 'x', state, quote: undefined });
        const response = await api.call('GET', '/api/v1/crypto/x');
        expect([response.status, response.headers.get('retry-after')]).to.deep.equal([status, retryAfter]);
        expect((await read(response)).error.code).to.equal(state === 'not_found' ? 'asset_not_found' : state);
      });
    }

    it('answers 200 with no price where the source lists the coin without one', async () => {
      api.quotes.readings.set('x', { assetId: 'x', state: 'unpriced', quote: undefined, reason: 'none' });
      const response = await api.call('GET', '/api/v1/crypto/x');
      expect(response.status).to.equal(200);
      expect((await read(response)).data).to.deep.equal({
        id: 'x',
        price: null,
        state: 'unpriced',
        reason: 'none',
      });
    });

    it('does not take popular for a coin, and says 503 while there is no ranking', async () => {
      expect((await api.call('GET', '/api/v1/crypto/popular')).status).to.equal(503);
      api.quotes.readings.set('bitcoin', { assetId: 'bitcoin', state: 'fresh', quote });
      const { data } = await read(await api.call('GET', '/api/v1/crypto/popular?limit=250'));
      expect(data).to.deep.equal([{ id: 'bitcoin', price: 1.5, state: 'fresh' }]);
    });

    it('shows the cache to users and lets admins alone clear it', async () => {
      const { data } = await read(await api.call('GET', '/api/v1/crypto/cache/stats'));
      expect(data).to.deep.include({ entries: 1, hits: 5 });
      expect(data.budget).to.include({ limit: 30, available: 0, next_grant_in_seconds: 4.2, month: null });
      expect((await api.call('DELETE', '/api/v1/crypto/cache')).status).to.equal(403);
      expect(api.quotes.cleared).to.deep.equal([]);
      const headers = { authorization: `Bearer ${api.adminToken}` };
      expect((await read(await api.call('DELETE', '/api/v1/crypto/cache', { headers }))).data).to.deep.equal({
        removed: 3,
      });
      await api.call('DELETE', '/api/v1/crypto/cache?coins=BTC,eth', { headers });
      expect(api.quotes.cleared).to.deep.equal([undefined, ['btc', 'eth']]);
    });
  });

  describe('the frame', () => {
    it('answers unknown paths and methods in the envelope, OPTIONS and HEAD without a body', async () => {
      expect((await read(await api.call('GET', '/nope'))).error.code).to.equal('not_found');
      expect((await read(await api.call('GET', '/api/v1/nope'))).error.code).to.equal('not_found');
      const wrong = await api.call('GET', bulk);
      expect([wrong.status, wrong.headers.get('allow')]).to.deep.equal([405, 'POST, OPTIONS']);
      const options = await api.call('OPTIONS', self);
      expect([options.status, options.headers.get('allow')]).to.deep.equal([
        204,
        'GET, HEAD, DELETE, OPTIONS',
      ]);
      api.quotes.fresh.set('bitcoin/usd', '{"id":"bitcoin"}');
      const head = await api.call('HEAD', '/api/v1/crypto/bitcoin');
      expect([head.status, head.headers.get('content-length'), await head.text()]).to.deep.equal([
        200,
        '58',
        '',
      ]);
    });

    it('takes a request id only when it is well-formed', async () => {
      const idFor = async (given: string): Promise<string | null> =>
        (await api.call('GET', '/health/live', { headers: { 'x-request-id': given } })).headers.get(
          'x-request-id',
        );
      expect(await idFor('abc.DEF-12_3')).to.equal('abc.DEF-12_3');
      for (const bad of ['short', 'has a blank in it', 'x'.repeat(65), 'quote"quote']) {
        expect(await idFor(bad)).to.match(/^[0-9a-f]{12}-[0-9a-z]+$/);
      }
    });

    it('tells a client nothing of a fault but the request id', async () => {
      api.clientJobs.get = () => Promise.reject(new Error('select secret from users'));
      const response = await api.call('GET', self);
      const problem = await read(response);
      expect([response.status, problem.error.code]).to.deep.equal([500, 'internal_error']);
      expect(JSON.stringify(problem)).to.not.include('secret');
      expect(problem.request_id).to.equal(response.headers.get('x-request-id'));
    });

    it('lets browsers in from configured origins only', async () => {
      const ask = async (origin: string) =>
        api.call('OPTIONS', bulk, { headers: { origin, 'access-control-request-method': 'POST' } });
      const allowed = await ask('https://app.example');
      expect([allowed.status, allowed.headers.get('access-control-allow-origin')]).to.deep.equal([
        204,
        'https://app.example',
      ]);
      expect(allowed.headers.get('access-control-allow-headers')).to.include('Idempotency-Key');
      for (const origin of ['https://evil.example', 'http://localhost:3000', 'null']) {
        expect((await ask(origin)).headers.get('access-control-allow-origin')).to.equal(null);
      }
      const live = await api.call('GET', '/health/live', { headers: { origin: 'https://app.example' } });
      expect(live.headers.get('access-control-expose-headers')).to.include('X-Request-Id');
      expect(live.headers.get('vary')).to.equal('Origin');
    });

    it('describes every route of the table, and no other', async () => {
      const document = await read(await api.call('GET', '/openapi.json'));
      const described = Object.entries(document.paths as Record<string, object>).flatMap(([path, methods]) =>
        Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
      );
      const routed = api.routes.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`);
      expect(described).to.have.members(routed);
      const schema = document.paths[bulk].post.requestBody.content['application/json'].schema;
      expect(schema).to.deep.include({ additionalProperties: false });
      for (const name of ['coins', 'symbols'])
        expect(schema.properties[name]).to.include({ type: 'array', minItems: 1, maxItems: 250 });
      const page = await (await api.call('GET', '/docs')).text();
      for (const path of Object.keys(document.paths as object))
        expect(page).to.include(`<code>${path}</code>`);
    });

    it('counts requests by route and status', async () => {
      await (await api.call('GET', self)).text();
      await (await api.call('GET', '/nope')).text();
      const text = await (await api.call('GET', '/metrics')).text();
      expect(text).to.include('http_requests_total{method="GET",route="/api/v1/jobs/:id",status="200"} 1');
      expect(text).to.include('http_requests_total{method="ANY",route="unmatched",status="404"} 1');
      expect(text).to.match(
        /http_request_duration_seconds_bucket\{le="\+Inf",method="GET",route="\/api\/v1\/jobs\/:id"\} 1/,
      );
    });

    it('keeps metrics from whoever was forwarded, and behind the token when there is one', async () => {
      const forwarded = { 'x-forwarded-for': '203.0.113.7' };
      expect((await api.call('GET', '/metrics', { headers: forwarded })).status).to.equal(403);
      const guarded = await startApi({ config: { ...api.deps.config, METRICS_TOKEN: 'scrape me' } });
      expect((await guarded.call('GET', '/metrics')).status).to.equal(401);
      const headers = { ...forwarded, authorization: 'Bearer scrape me' };
      expect((await guarded.call('GET', '/metrics', { headers })).status).to.equal(200);
      await guarded.close(0);
    });

    it('says which check fails, and not why', async () => {
      const log = silentLogger();
      const checks = [
        { name: 'postgres', check: () => Promise.reject(new Error('password of joe is wrong')) },
      ];
      const sick = await startApi({ health: createHealth({ checks, clock: systemClock, log }) });
      const response = await sick.call('GET', '/health/ready');
      const text = await response.text();
      expect(response.status).to.equal(503);
      expect(text).to.include('"postgres":{"ok":false').and.not.include('joe');
      expect((await sick.call('GET', '/health/live')).status).to.equal(200);
      await sick.close(0);
    });

    it('survives a client that leaves in the middle of its body', async () => {
      const headers = {
        authorization: `Bearer ${api.token}`,
        'content-type': 'application/json',
        'content-length': 100,
      };
      const half = request(api.base + bulk, { method: 'POST', headers });
      const closed = new Promise((resolve) => half.on('close', resolve));
      half.on('error', () => undefined);
      half.write('{"coins":');
      half.on('socket', (socket) => socket.once('connect', () => setImmediate(() => half.destroy())));
      await closed;
      expect((await api.call('GET', '/health/live')).status).to.equal(200);
      expect(api.clientJobs.submitted).to.deep.equal([]);
    });
  });
});
