/** Stores that answer and refuse, with real processes. The bound of each wait is what is promised. */
import { expect } from 'chai';
import type { ChildProcess } from 'node:child_process';
import { freePort } from '../../../embedded/free-port.ts';
import { newUser, type ApiClient } from '../../support/api-client.ts';
import { openBackstage, type Backstage } from '../../support/backstage.ts';
import { spawnMain } from '../../support/spawn-main.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';
import { waitFor } from '../../support/wait-for.ts';

const promisedMs = 15_000;

describe('stores that refuse', function () {
  this.timeout(180_000);
  let stack: Stack;
  let backstage: Backstage;
  let user: ApiClient;
  let databaseName: string;
  let coins = 0;

  before(async () => {
    stack = await startStack();
    backstage = openBackstage(stack);
    user = await newUser(stack.apis[0]!.url);
    databaseName = new URL(stack.databaseUrl).pathname.slice(1);
  });
  after(async () => {
    await backstage.close();
    await stack.stop();
  });

  const submit = () =>
    user.call('POST', '/crypto/bulk', { body: { coins: [`sim-${String(++coins).padStart(5, '0')}`] } });
  const ready = () => user.call('GET', '/health/ready');

  /** Ends every connection to the database but our own, as a server does that is demoted. */
  const cutAll = (): Promise<unknown> =>
    backstage.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid() ' +
        "and application_name = 'pricepool'",
      [databaseName],
    );

  it('a primary that is demoted behind its address: not ready, 503 for changes, healed by the failover', async () => {
    expect((await submit()).status).to.equal(202);
    await backstage.query(`alter database ${databaseName} set default_transaction_read_only = on`);
    await cutAll();
    // At first only that connections fail.
    await waitFor(
      async () => {
        const { status, body } = await ready();
        return status === 503 && body?.error?.detail === 'postgres: is read-only: it is configured so';
      },
      { what: 'readiness that says why', timeoutMs: promisedMs },
    );
    const refused = await submit();
    expect(refused.status).to.equal(503);
    expect(refused.body?.error?.code).to.equal('database_read_only');
    expect(Number(refused.headers.get('retry-after'))).to.be.greaterThan(0);
    expect((await user.call('POST', '/portfolios', { body: { name: 'one' } })).status).to.equal(503);
    expect((await user.call('GET', '/jobs')).status).to.equal(200);

    // New connections find the new primary; those that are open do not.
    await backstage.query(`alter database ${databaseName} reset default_transaction_read_only`);
    const since = performance.now();
    await waitFor(async () => (await ready()).status === 200, { what: 'readiness', timeoutMs: promisedMs });
    const readyMs = performance.now() - since;
    const { body } = await waitFor(
      async () => {
        const answer = await submit();
        return answer.status === 202 && answer;
      },
      { what: 'a change', timeoutMs: promisedMs - readyMs },
    );
    const job = await user.jobEnd(body?.data.id, promisedMs);
    expect(job.state).to.equal('completed');
    report(
      `failover: ready after ${seconds(readyMs)}, a job done after ${seconds(performance.now() - since)}`,
    );
  });

  it('connections that die inside transactions: 503 and no other failure', async () => {
    const statuses = new Map<number, number>();
    let portfolioId = '';
    await waitFor(
      async () => {
        const { body } = await user.call('POST', '/portfolios', { body: { name: 'many' } });
        portfolioId = body?.data.id as string;
        return portfolioId;
      },
      { what: 'a portfolio' },
    );
    let on = true;
    const transaction = {
      type: 'buy',
      executed_at: '2024-01-01T12:00:00Z',
      received: { asset: 'bitcoin', quantity: '1' },
      value: '100',
    };
    const writers = [
      () => user.call('POST', `/portfolios/${portfolioId}/transactions`, { body: transaction }),
      submit,
      () => user.call('POST', '/portfolios', { body: { name: `p${++coins}` } }),
      () => user.call('POST', '/api-keys', { body: { name: `k${++coins}`, scopes: ['prices:read'] } }),
      () => user.call('GET', '/jobs'),
    ];
    const load = [...writers, ...writers].map(async (write) => {
      while (on) {
        const { status, body } = await write();
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        if (status >= 500 && status !== 503) report(JSON.stringify(body));
      }
    });
    try {
      for (let round = 0; round < 40; round += 1) {
        await cutAll();
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    } finally {
      on = false;
      await Promise.all(load);
    }
    report(`answers: ${JSON.stringify(Object.fromEntries(statuses))}`);
    expect([...statuses.keys()].filter((status) => status >= 500)).to.deep.equal([503]);
    await waitFor(async () => (await submit()).status === 202, { what: 'a change', timeoutMs: promisedMs });
  });

  describe('the start of a process', () => {
    const entries = { API: 'src/main.ts', worker: 'workers/main.ts' } as const;
    const running: ChildProcess[] = [];
    afterEach(() => {
      for (const child of running.splice(0)) if (child.exitCode === null) child.kill('SIGKILL');
    });

    async function start(...[entry, environment]: [Parameters<typeof spawnMain>[0], Record<string, string>]) {
      const life = await spawnMain(entry, stack, environment);
      running.push(life.child);
      return life;
    }

    for (const [kind, entry] of Object.entries(entries)) {
      it(`of the ${kind}: says which commands Redis refuses, and ends`, async () => {
        const name = `user-${stack.redisPrefix}-${kind}`;
        await backstage.redis.call('ACL', 'SETUSER', name, 'on', '>secret', '~*', '&*', '+@all', '-info');
        const url = new URL(stack.redisUrl);
        url.username = name;
        url.password = 'secret';
        try {
          const life = await start(entry, { REDIS_URL: url.href });
          expect(await life.end('the end of the process', 60_000), life.said.out).to.equal(1);
          expect(life.said.out).to.match(/"refused":\["INFO"\].*Redis refuses required commands/);
          expect(life.said.out).to.include(`ACL SETUSER ${name} ~${stack.redisPrefix}:*`);
        } finally {
          await backstage.redis.call('ACL', 'DELUSER', name);
        }
      });

      it(`of the ${kind}: SIGTERM ends it within 12 s, whatever it waits for`, async () => {
        const silent = {
          redis: await startTcpProxy(stack.redisUrl),
          postgres: await startTcpProxy(stack.databaseUrl),
        };
        silent.redis.freezeNew(true);
        silent.postgres.freezeNew(true);
        const nobody = await freePort();
        const phases = {
          'both are away': {
            REDIS_URL: `redis://127.0.0.1:${nobody}`,
            DATABASE_URL: `postgres://x:y@127.0.0.1:${nobody}/z`,
          },
          'Redis is silent': { REDIS_URL: silent.redis.url },
          'Postgres is silent': { DATABASE_URL: silent.postgres.url },
          'all is well': {},
        };
        try {
          for (const [phase, environment] of Object.entries(phases)) {
            const life = await start(entry, environment);
            await life.started;
            life.child.kill('SIGTERM');
            const since = performance.now();
            const code = await life.end(`the end while ${phase}`, 12_000);
            report(
              `${kind}, ${phase}: ended after ${seconds(performance.now() - since)} with ${String(code)}`,
            );
            expect(code, phase).to.equal(0);
          }
        } finally {
          await silent.redis.close();
          await silent.postgres.close();
        }
      });
    }
  });
});

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

function report(text: string): void {
  process.stdout.write(`      ${text}\n`);
}
