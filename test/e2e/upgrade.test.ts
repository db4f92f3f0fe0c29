/**
 * An upgrade: the code as it is now starts from the Postgres and Redis that an earlier one left behind, with jobs waiting in every
 * queue (test/fixtures/upgrade, made by test/support/make-upgrade-fixture.ts), and serves its users as if nothing had happened. Times
 * of the dump are moved to now (test/support/dump.ts). The API runs alone at first: what it answers then was not made anew.
 */
import { Queue } from 'bullmq';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import knexFactory from 'knex';
import { migrate } from '../../db/migrate.ts';
import { apiClient } from '../support/api-client.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { readPacked, restorePostgres, restoreRedis, type Dump } from '../support/dump.ts';
import { startReceiver, type Receiver } from '../support/receiver.ts';
import { startSmtp, type TestSmtp } from '../support/smtp.ts';
import { startStack, type Stack } from '../support/stack.ts';
import {
  callsPerMinute,
  dumpFile,
  knownFile,
  monthAround,
  asOpenAs,
  inWordsOfNow,
  stableAnswer,
  stablePaths,
  upgradeSettings,
  type Known,
} from '../support/upgrade-fixture.ts';
import { waitFor } from '../support/wait-for.ts';
import { logIn, succeed } from './support/identities.ts';

const roomMs = 120_000;
const minuteMs = 60_000;

describe('an upgrade', function () {
  this.timeout(240_000);
  let dump: Dump;
  let known: Known;
  let byMs: number;
  let database: TestDatabase;
  let receiver: Receiver;
  let smtp: TestSmtp;
  let stack: Stack;
  let redis: Redis;
  let settings: Record<string, string>;
  let url: string;

  before(async () => {
    [dump, known] = await Promise.all([readPacked<Dump>(dumpFile), readPacked<Known>(knownFile)]);
    [receiver, smtp] = await Promise.all([startReceiver(), startSmtp()]);
    stack = await startStack({ apis: 0, workers: 0, ownRedis: true, market: { historyDays: null } });
    redis = new Redis(stack.redisUrl);
    const now = Date.now();
    byMs = Math.floor((now - dump.takenAt) / 1_000) * 1_000;
    const options = {
      byMs,
      replace: [
        [known.receiverUrl, receiver.url],
        [`${known.prefix}:`, `${stack.redisPrefix}:`],
        [String(known.monthStart), String(monthAround(now).begin)],
      ],
    } as const;
    database = await createTestDatabase((empty) => restorePostgres(dump, empty, options));
    await restoreRedis(dump, { redis, prefix: stack.redisPrefix }, options);
    settings = {
      ...upgradeSettings(now, smtp.url),
      DATABASE_URL: database.url,
      JWT_SECRET: known.jwtSecret,
    };
    const knex = knexFactory({ client: 'pg', connection: database.url, pool: { min: 0, max: 1 } });
    await migrate(knex).finally(() => knex.destroy());
    url = (await stack.startApi(settings)).url;
  });
  after(async () => {
    redis.disconnect();
    await stack.stop();
    await database.drop();
    await smtp.close();
    await receiver.close();
  });

  const asOwner = (path: string) => succeed(url, known.people.owner.token, ['GET', path]);

  it('answers what it answered: portfolios, books, imports, alerts, keys and history', async () => {
    for (const path of stablePaths(known)) {
      const before = inWordsOfNow(known.answers[path]);
      const now = await stableAnswer(url, known.people.owner.token, path);
      expect(asOpenAs(before, now), path).to.deep.equal(before);
    }
  });

  it('knows its users: tokens of before are taken, passwords log in, and sessions go on', async () => {
    const { owner, other, admin, deleted } = known.people;
    for (const person of [owner, other, admin]) {
      expect((await succeed(url, person.token, ['GET', '/users/me'])).id).to.equal(person.id);
      await logIn(url, person);
    }
    const asUser = await apiClient(url, other.token).call('GET', `/portfolios/${known.portfolioId}`);
    expect(asUser.status, 'a portfolio of somebody else').to.equal(404);
    const refresh = (token: string) =>
      apiClient(url).call('POST', '/auth/refresh', { body: { refresh_token: token } });
    const refreshed = await refresh(other.refreshToken);
    expect(refreshed.status).to.equal(200);
    expect((await succeed(url, refreshed.body?.data.token as string, ['GET', '/users/me'])).id).to.equal(
      other.id,
    );
    const successor = refreshed.body?.data.refresh_token as string;
    const again = await refresh(other.refreshToken);
    expect(again.body?.data.refresh_token, 'a lost answer').to.equal(successor);
    expect((await refresh(successor)).status).to.equal(200);
    expect((await refresh(other.refreshToken)).status, 'a token that was used').to.equal(401);
    expect((await apiClient(url, deleted.token).call('GET', '/users/me')).status).to.equal(401);
    const { email, password } = deleted;
    expect((await apiClient(url).call('POST', '/auth/login', { body: { email, password } })).status).to.equal(
      401,
    );
  });

  it('lets keys of each scope do what they could, and no more', async () => {
    const calls = {
      prices: ['GET', '/crypto/bitcoin'],
      submission: ['POST', '/crypto/bulk', { coins: ['bitcoin'] }],
      reading: ['GET', `/portfolios/${known.portfolioId}/positions`],
      writing: ['POST', '/portfolios', { name: 'of a key' }],
      audit: ['GET', '/admin/audit'],
      alerts: ['GET', '/alerts'],
      alerting: ['POST', '/alerts', { kind: 'price', coin: 'bitcoin', direction: 'above', threshold: 1e9 }],
      deliveries: ['GET', '/webhooks/deliveries'],
      webhook: ['POST', '/webhooks/test', { url: `${receiver.url}/scopes` }],
    } as const;
    const may: Record<string, number[]> = {};
    for (const [scopes, key] of Object.entries(known.keys)) {
      may[scopes] = [];
      for (const [method, path, body] of Object.values(calls)) {
        const { status } = await apiClient(url, key).call(method, path, body === undefined ? {} : { body });
        may[scopes].push(status);
      }
    }
    expect(may).to.deep.equal({
      'prices:read': [200, 403, 403, 403, 403, 403, 403, 403, 403],
      'jobs:write': [403, 202, 403, 403, 403, 403, 403, 403, 403],
      'portfolio:read': [403, 403, 200, 403, 403, 200, 403, 200, 403],
      'portfolio:write': [403, 403, 403, 201, 403, 403, 201, 403, 202],
      'prices:read jobs:write': [200, 202, 403, 403, 403, 403, 403, 403, 403],
      admin: [403, 403, 403, 403, 200, 403, 403, 403, 403],
      revoked: Array.from({ length: 9 }, () => 401),
    });
  });

  it('shows jobs that wait as they were, and counts what was spent', async () => {
    for (const id of known.jobIds) expect((await asOwner(`/jobs/${id}`)).state, id).to.equal('queued');
    const { budget } = await asOwner('/crypto/cache/stats');
    expect(budget.month.spent).to.be.at.least(known.creditsSpent);
  });

  it('ends every job that waited, in every queue, once a worker runs', async () => {
    const waiting = waitingIn(dump);
    expect([...new Set(waiting.map(({ queue }) => queue))].sort()).to.deep.equal([
      'books',
      'mail',
      'portfolios',
      'refresh',
      'requests',
      'upkeep',
      'webhooks',
    ]);
    await stack.startWorker(settings);
    for (const id of known.jobIds) {
      const job = await apiClient(url, known.people.owner.token).jobEnd(id, roomMs);
      expect(job.state, `${String(job.name)} ${JSON.stringify(job.error)}`).to.equal('completed');
    }
    for (const { queue: name, id } of waiting.filter(({ queue }) => queue !== 'upkeep')) {
      const queue = new Queue(name, { connection: redis, prefix: `${stack.redisPrefix}:bull` });
      const states: string[] = [];
      await waitFor(
        async () => {
          const state = await queue.getJobState(id);
          if (states.at(-1) !== state) states.push(state);
          return ['completed', 'failed', 'unknown'].includes(state);
        },
        { what: `the end of ${name} ${id}`, timeoutMs: roomMs },
      );
      expect(states.at(-1), `${name} ${id}`).to.be.oneOf(['completed', 'unknown']);
      await queue.close();
    }
  });

  it('has done what the jobs were for', async () => {
    const { positions } = await asOwner(`/portfolios/${known.waitingPortfolioId}/positions?status=all`);
    const held = (positions as { asset: string; quantity: string; cost_basis: string }[]).map(
      ({ asset, quantity, cost_basis: basis }) => [asset, quantity, basis],
    );
    expect(held).to.have.deep.members([
      ['bitcoin', '2', '60030'],
      ['ethereum', '1', '2505'],
    ]);
    await waitFor(
      async () => (await asOwner(`/webhooks/deliveries/${known.deliveryId}`)).state === 'delivered',
      {
        what: 'the webhook',
        timeoutMs: roomMs,
      },
    );
    expect(receiver.received.map(({ path }) => path)).to.include.members(['/test', '/waited']);
    await waitFor(() => smtp.mails.length > 0, { what: 'the mail', timeoutMs: roomMs });
    expect(smtp.mails.map(({ recipients }) => recipients)).to.deep.equal([[known.people.owner.email]]);
  });

  it('has each schedule once', async () => {
    const place = { connection: redis, prefix: `${stack.redisPrefix}:bull` };
    const queue = new Queue('maintenance', place);
    const names = (await queue.getJobSchedulers()).map(({ name }) => name);
    const planned = (await queue.getJobs(['delayed', 'waiting', 'prioritized'])).map(({ name }) => name);
    await queue.close();
    expect(planned.toSorted(), 'jobs that are planned').to.deep.equal([...new Set(planned)].toSorted());
    // By the keys of the dump: those of before are still there, in the queue of now, and none has got a second name.
    const before = dump.keys.flatMap(([key]) => /^:bull:upkeep:repeat:([a-z.-]+)$/.exec(key)?.[1] ?? []);
    expect(before).to.have.length.above(5);
    expect(names).to.include.members(before);
    expect(names.toSorted(), 'schedules').to.deep.equal([...new Set(names)].toSorted());
    const former = new Queue('upkeep', place);
    await waitFor(async () => (await former.getJobSchedulersCount()) === 0, {
      what: 'the queue of before to go',
    });
    expect(await former.getJobCountByTypes('wait', 'delayed', 'prioritized')).to.equal(0);
    await former.close();
  });

  it('has never made more calls in a minute than allowed, those before it included', () => {
    const before = known.callsAt.map((at) => at + byMs);
    const all = [...before, ...stack.market.calls().map(({ at }) => at)].sort((a, b) => a - b);
    expect(all.length).to.be.above(before.length);
    const worst = Math.max(
      ...all.map((at, index) => all.slice(index).filter((later) => later < at + minuteMs).length),
    );
    expect(worst).to.be.at.most(callsPerMinute);
  });
});

/** Jobs that BullMQ had not begun, by the keys of the dump. */
function waitingIn(dump: Dump): { readonly queue: string; readonly id: string }[] {
  return dump.keys.flatMap(([key, type, , value]) => {
    const [, queue = '', list = ''] = /^:bull:([a-z]+):(wait|prioritized|delayed)$/.exec(key) ?? [];
    if (list === '') return [];
    const ids = type === 'list' ? value : value.filter((_, index) => index % 2 === 0);
    return ids.flatMap((id) => (typeof id === 'string' ? { queue, id } : []));
  });
}
