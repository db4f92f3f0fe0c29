/** Stores that fall silent without closing a connection. The bound of each wait is what is promised: 15 s. */
import { expect } from 'chai';
import { readSse, type SseReader } from '../../e2e/support/sse-reader.ts';
import { newUser, type ApiClient } from '../../support/api-client.ts';
import { services } from '../../support/services.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';
import { waitFor } from '../../support/wait-for.ts';

const promisedMs = 15_000;

describe('peers that fall silent', function () {
  this.timeout(180_000);
  let stack: Stack;
  let redis: TcpProxy;
  let postgres: TcpProxy;
  let user: ApiClient;
  let coins = 0;

  before(async () => {
    redis = await startTcpProxy((await services()).redisUrl);
    stack = await startStack({
      apis: 0,
      workers: 0,
      environment: { UPSTREAM_CALLS_PER_MINUTE: '1000', STREAM_RENEW_AFTER: '1s', REDIS_URL: redis.url },
      market: { callsPerMinute: 1_000 },
    });
    postgres = await startTcpProxy(stack.databaseUrl);
    const api = await stack.startApi({ DATABASE_URL: postgres.url });
    await stack.startWorker({ DATABASE_URL: postgres.url });
    user = await newUser(api.url);
    await healed();
  });
  after(async () => {
    await stack.stop();
    await redis.close();
    await postgres.close();
  });

  const isReady = async (): Promise<boolean> => (await user.call('GET', '/health/ready')).status === 200;

  /** A job of coins that nobody has asked for: it needs both stores, the API and the worker. */
  async function runJob(): Promise<boolean> {
    const ids = [0, 1].map(() => `sim-${String(++coins).padStart(5, '0')}`);
    const { status, body } = await user.call('POST', '/crypto/bulk', { body: { coins: ids } });
    if (status !== 202) return false;
    const { state } = await user.jobEnd(body?.data.id, promisedMs);
    return state === 'completed';
  }

  const healed = async (timeoutMs = 60_000): Promise<void> => {
    await waitFor(isReady, { what: 'readiness', timeoutMs });
    await waitFor(runJob, { what: 'a job', timeoutMs });
  };

  /** Waits until readiness has held for a second and a job comes to its end, and prints how long that took. */
  async function heals(what: string): Promise<void> {
    const since = performance.now();
    let holdsSince = Infinity;
    await waitFor(
      async () => {
        const ready = await isReady();
        holdsSince = ready ? Math.min(holdsSince, performance.now()) : Infinity;
        return performance.now() - holdsSince >= 1_000;
      },
      { what: 'readiness', timeoutMs: promisedMs },
    );
    const readyMs = holdsSince - since;
    await waitFor(runJob, { what: 'a job', timeoutMs: promisedMs - (performance.now() - since) });
    report(
      `${what}: ready after ${seconds(readyMs)}, a job done after ${seconds(performance.now() - since)}`,
    );
  }

  it('are replaced when every connection to Redis is half open', async () => {
    expect(redis.freeze()).to.be.greaterThan(4);
    await waitFor(async () => !(await isReady()), { what: 'a word of the outage' });
    await heals('Redis, all connections');
  });

  it('are replaced when only the connection for messages is half open', async () => {
    const reader: SseReader = await readSse(
      `${stack.apis[0]!.url}/api/v1/crypto/stream/prices?coins=bitcoin&interval=1`,
      { headers: { authorization: `Bearer ${user.token}` } },
    );
    const updates = (): number => reader.dataOf('price').length;
    await waitFor(() => updates() > 3, { what: 'prices' });
    expect(redis.freeze('pricepool-subscriber')).to.equal(2);
    const since = performance.now();
    // A look of its own would bring one a minute.
    const before = updates();
    await waitFor(() => updates() > before + 1, { what: 'prices again', timeoutMs: promisedMs });
    report(`Redis, messages: two prices after ${seconds(performance.now() - since)}`);
    reader.cut();
  });

  it('are replaced when only the connections of a queue are half open', async () => {
    expect(redis.freeze('pricepool-requests')).to.equal(1);
    // BullMQ names the connection that blocks.
    expect(redis.freeze(Buffer.from('requests').toString('base64'))).to.equal(1);
    await heals('Redis, a queue of the worker');
  });

  it('are replaced when new connections fall silent too, for a while', async () => {
    redis.freezeNew(true);
    redis.freeze();
    await waitFor(() => redis.live() === 0, { what: 'silence' });
    await new Promise((resolve) => setTimeout(resolve, 12_000));
    redis.freezeNew(false);
    await heals('Redis, after 12 s without any');
  });

  it('are replaced when every connection to Postgres is half open', async () => {
    const open = Array.from({ length: 10 }, () => user.call('GET', '/jobs'));
    await Promise.all(open);
    expect(postgres.freeze()).to.be.greaterThan(4);
    await heals('Postgres, idle connections');
  });

  it('are replaced when Postgres falls silent under load', async () => {
    let on = true;
    const load = Array.from({ length: 8 }, async () => {
      while (on) await user.call('POST', '/crypto/bulk', { body: { coins: ['bitcoin', 'ethereum'] } });
    });
    try {
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      expect(postgres.freeze()).to.be.greaterThan(4);
      await heals('Postgres, under load');
    } finally {
      on = false;
      await Promise.all(load);
    }
  });
});

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

function report(text: string): void {
  process.stdout.write(`      ${text}\n`);
}
