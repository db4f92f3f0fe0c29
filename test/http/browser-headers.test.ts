/** What browsers are told: who may read answers, and what an answer may do. */
import { expect } from 'chai';
import { loadConfig } from '../../src/platform/config/load-config.ts';
import { startApi, type TestApi } from './support/ports.ts';

const origin = 'https://app.example';
const live = '/health/live';
const closed = "default-src 'none'; frame-ancestors 'none'";

describe('headers for browsers', () => {
  let api: TestApi | undefined;

  afterEach(() => api?.close(0));

  async function start(CORS_ORIGINS: string): Promise<TestApi> {
    api = await startApi({ config: loadConfig({ APP_ENV: 'test', CORS_ORIGINS, READ_WAIT: '50ms' }) });
    return api;
  }

  const namesIn = (header: string | null): string[] => (header ?? '').split(', ');

  it('lets pages of a configured origin read the limits, and send an API key', async () => {
    const server = await start(origin);
    const answer = await server.call('GET', live, { headers: { origin } });
    expect(answer.headers.get('access-control-allow-origin')).to.equal(origin);
    expect(namesIn(answer.headers.get('access-control-expose-headers'))).to.include.members([
      'RateLimit',
      'RateLimit-Policy',
      'Retry-After',
      'X-Request-Id',
    ]);
    const preflight = await server.call('OPTIONS', '/api/v1/crypto/bulk', {
      headers: { origin, 'access-control-request-method': 'POST' },
    });
    expect(namesIn(preflight.headers.get('access-control-allow-headers'))).to.include.members([
      'Authorization',
      'X-Api-Key',
    ]);
  });

  for (const configured of [origin, '*'] as const) {
    it(`lets no page use the browser's credentials when the origins are ${configured}`, async () => {
      const server = await start(configured);
      for (const [method, headers] of [
        ['GET', { origin }],
        ['OPTIONS', { origin, 'access-control-request-method': 'GET' }],
      ] as const) {
        const answer = await server.call(method, live, { headers });
        expect(answer.headers.get('access-control-allow-origin')).to.equal(origin);
        expect(answer.headers.get('access-control-allow-credentials')).to.equal(null);
        expect(answer.headers.get('vary')).to.equal('Origin');
      }
    });
  }

  it('tells caches that answers differ by origin, and other origins nothing', async () => {
    const server = await start(origin);
    const answer = await server.call('GET', live, {
      headers: { origin: 'https://app.example.evil.example' },
    });
    const cors = [...answer.headers.keys()].filter((name) => name.startsWith('access-control-'));
    expect(cors).to.deep.equal([]);
    expect(answer.headers.get('vary')).to.equal('Origin');
  });

  it('gives every answer the headers that close it', async () => {
    const server = await start('');
    server.quotes.fresh.set('bitcoin/usd', '{"id":"bitcoin","price":1}');
    for (const path of ['/api/v1/crypto/bitcoin', '/api/v1/jobs/none', '/nowhere', live, '/openapi.json']) {
      const { headers } = await server.call('GET', path);
      const seen = Object.fromEntries(headers);
      expect(seen, path).to.include({
        'content-security-policy': closed,
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-resource-policy': 'same-origin',
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
      });
      expect(seen, path).to.not.have.any.keys('x-powered-by', 'server');
    }
  });

  it('leaves the page of the documentation its own policy', async () => {
    const server = await start('');
    const { headers } = await server.call('GET', '/docs');
    const policy = headers.get('content-security-policy');
    expect(policy)
      .to.match(/^default-src 'none'; style-src 'sha256-/)
      .and.include("frame-ancestors 'none'");
    expect(headers.get('x-frame-options')).to.equal('DENY');
  });
});
