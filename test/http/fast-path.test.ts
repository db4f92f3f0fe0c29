import { expect } from 'chai';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AccountService } from '../../src/features/accounts/account-service.ts';
import { createLogger } from '../../src/platform/observability/logger.ts';
import { RateLimitedError } from '../../src/domain/errors.ts';
import { waitFor } from '../support/wait-for.ts';
import { startApi, type TestApi } from './support/ports.ts';

const bitcoin = '/api/v1/crypto/bitcoin';
const quote = '{"id":"bitcoin","price":1}';

describe('cached reads before Koa', () => {
  let api: TestApi;
  let charges: string[];
  let folder: string;

  /** Counts what is charged; `take` answers in its own way. */
  async function start(take?: AccountService['allowances']['take']): Promise<void> {
    charges = [];
    folder = await mkdtemp(join(tmpdir(), 'pricepool-quick-'));
    api = await startApi({
      log: createLogger({ level: 'info', name: 'api', file: join(folder, 'log') }),
      allowances: {
        take(policy, subject) {
          charges.push(policy.name);
          return take?.(policy, subject) ?? { policy, remaining: 7, resetSeconds: 60 };
        },
        isSpent: () => false,
      },
    });
    api.quotes.fresh.set('bitcoin/usd', quote);
  }

  afterEach(async () => {
    await api.close(0);
    await rm(folder, { recursive: true });
  });

  async function metrics(): Promise<string> {
    return await (await api.call('GET', '/metrics')).text();
  }

  /** Lines of the access log about reads, once there are that many. */
  async function lines(count: number): Promise<Record<string, unknown>[]> {
    let found: Record<string, unknown>[] = [];
    const condition = async (): Promise<boolean> => {
      const text = await readFile(join(folder, 'log'), 'utf8').catch(() => '');
      const all = text.split('\n').filter((line) => line.includes('"msg":"request"'));
      found = all.map((line) => JSON.parse(line) as Record<string, unknown>);
      return found.length >= count;
    };
    await waitFor(condition, { what: 'the access log' });
    return found;
  }

  it('charges, counts and logs what memory answers, and what it cannot answer, once each', async () => {
    await start();
    const asset = { assetId: 'ether', state: 'not_found', quote: undefined } as const;
    api.quotes.readings.set('ether', asset);
    const statuses: number[] = [];
    for (const path of [bitcoin, '/api/v1/crypto/ether', `${bitcoin}?currency=nothing+such`]) {
      const answer = await api.call('GET', path);
      expect(answer.headers.get('ratelimit'), path).to.equal('"user";r=7;t=60');
      statuses.push(answer.status);
      await answer.text();
    }
    expect(statuses).to.deep.equal([200, 404, 422]);
    expect(charges).to.deep.equal(['user', 'user', 'user']);
    const logged = await lines(3);
    expect(logged.map(({ status, path }) => [status, path])).to.deep.equal([
      [200, bitcoin],
      [404, '/api/v1/crypto/ether'],
      [422, bitcoin],
    ]);
    expect(
      logged.every(({ route, user }) => route === '/api/v1/crypto/:coinId' && user !== undefined),
    ).to.equal(true);
    const text = await metrics();
    for (const status of statuses) {
      expect(text).to.include(
        `http_requests_total{method="GET",route="/api/v1/crypto/:coinId",status="${status}"} 1\n`,
      );
    }
    expect(
      text.match(/http_requests_total\{method="GET",route="\/api\/v1\/crypto\/:coinId"/g),
    ).to.have.length(3);
  });

  it('lets in once when the answer about the limit has to be waited for', async () => {
    await start(async (policy) => Promise.resolve({ policy, remaining: 3, resetSeconds: 9 }));
    const answer = await api.call('GET', bitcoin);
    expect(answer.status).to.equal(200);
    expect(answer.headers.get('ratelimit')).to.equal('"user";r=3;t=9');
    expect(await answer.json()).to.deep.include({ data: { id: 'bitcoin', price: 1 } });
    expect(charges).to.deep.equal(['user']);
  });

  it('refuses a bad token, a missing one and a spent limit once, as any other route', async () => {
    await start((policy) => {
      if (policy.name !== 'user') return { policy, remaining: 7, resetSeconds: 60 };
      const limit = { policy, remaining: 0, resetSeconds: 5 };
      throw new RateLimitedError('Too many requests', { retryAfterSeconds: 5, limit });
    });
    for (const authorization of ['Bearer none', '']) {
      const answer = await api.call('GET', bitcoin, { headers: { authorization } });
      expect(answer.status).to.equal(401);
      expect(answer.headers.get('www-authenticate')).to.equal('Bearer');
      expect(await answer.text()).to.include(answer.headers.get('x-request-id'));
    }
    const spent = await api.call('GET', bitcoin);
    expect(spent.status).to.equal(429);
    expect(spent.headers.get('retry-after')).to.equal('5');
    expect(spent.headers.get('ratelimit')).to.equal('"user";r=0;t=5');
    expect(charges).to.deep.equal(['address', 'address', 'user']);
  });

  it('says the same to other spellings of the path, to HEAD and to pages of other origins', async () => {
    await start();
    const plain = await api.call('GET', bitcoin);
    const body = await plain.text();
    for (const path of [`${bitcoin}/`, '/api/v1/crypto/%62itcoin', '/API/v1/crypto/bitcoin', `${bitcoin}?`]) {
      const answer = await api.call('GET', path);
      expect(answer.status, path).to.equal(path.startsWith('/API') ? 404 : 200);
      if (answer.status === 200) expect(await answer.text(), path).to.equal(body);
    }
    const head = await api.call('HEAD', bitcoin);
    expect(head.headers.get('content-length')).to.equal(plain.headers.get('content-length'));
    const page = await api.call('GET', bitcoin, { headers: { origin: 'https://app.example' } });
    expect(page.headers.get('access-control-allow-origin')).to.equal('https://app.example');
    expect(page.headers.get('vary')).to.equal('Origin');
    expect(await page.text()).to.equal(body);
    // No coin is meant, so nobody is asked who he is.
    const none = await api.call('GET', '/api/v1/crypto/', { headers: { authorization: '' } });
    expect(none.status).to.equal(404);
  });

  it('answers in the order of the requests of one connection, though the first takes the longer way', async () => {
    await start();
    const { hostname, port } = new URL(api.base);
    const socket = connect(Number(port), hostname);
    const lines = ['Host: localhost', `Authorization: Bearer ${api.token}`];
    const ask = (path: string, ...more: string[]): string =>
      [`GET ${path} HTTP/1.1`, ...lines, ...more, '', ''].join('\r\n');
    socket.write(ask('/api/v1/crypto/ether') + ask(bitcoin, 'Connection: close'));
    let text = '';
    for await (const part of socket) text += String(part);
    expect(text.match(/HTTP\/1\.1 \d+/g)).to.deep.equal(['HTTP/1.1 404', 'HTTP/1.1 200']);
    expect(text.endsWith(`{"success":true,"message":"Quote","data":${quote}}`)).to.equal(true);
  });
});
