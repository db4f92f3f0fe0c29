import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { expect } from 'chai';
import type { Redis } from 'ioredis';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { openDatabase } from '../../../db/connection.ts';
import { createJobQueries, type JobQueries } from '../../../src/features/jobs/queries/jobs.ts';
import { createRunQueries, type RunQueries } from '../../../src/features/jobs/queries/runs.ts';
import {
  pendingPerUser,
  type DeliveryRecord,
  type DeliveryState,
} from '../../../src/features/webhooks/queries/webhook-deliveries.ts';
import { messageOf } from '../../../src/domain/errors.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { openQueues, type Queues } from '../../../src/platform/queue/queues.ts';
import { closeRedis, openRedis } from '../../../src/platform/redis/connections.ts';
import { createWebhookService, type WebhookService } from '../../../src/features/webhooks/webhook-service.ts';
import { loadConfig } from '../../../src/platform/config/load-config.ts';
import { verifyWebhook } from '../../../client/webhooks.ts';
import { createWebhookDeliver } from '../../../workers/processors/webhooks/deliver-webhook.ts';
import { createWebhooksCheck } from '../../../workers/processors/webhooks/module.ts';
import type { RunningWorker } from '../../../workers/runtime/create-worker.ts';
import { signer, startDeliveries } from '../../support/deliveries.ts';
import { jobContext } from '../../support/job-context.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { flushPrefix, uniquePrefix } from '../../support/redis.ts';
import { startReceiver, status, type Receiver } from '../../support/receiver.ts';
import { services } from '../../support/services.ts';
import { waitFor } from '../../support/wait-for.ts';

const log = silentLogger();
const prefix = uniquePrefix();

interface WorkerOptions {
  readonly pausesMs?: readonly number[];
  readonly perHost?: number;
}

describe('webhooks on their way', () => {
  let database: TestDatabase;
  let knex: Knex;
  let redis: Redis;
  let queues: Queues;
  let deliveries: WebhookService['deliveries'];
  let jobs: JobQueries;
  let runs: RunQueries;
  let outbox: WebhookService;
  let receiver: Receiver;
  let userId: string;
  const workers: RunningWorker[] = [];
  const connections: Redis[] = [];
  const reported: string[][] = [];

  before(async () => {
    database = await createTestDatabase();
    knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 8 });
    const { redisUrl: url } = await services();
    redis = openRedis({ url, role: 'command', name: 'test', log });
    await waitFor(() => redis.status === 'ready', { what: 'Redis' });
    queues = openQueues({ redis, prefix, clock: systemClock, log });
    outbox = createWebhookService({ config: loadConfig({}), knex, queues, log });
    deliveries = outbox.deliveries;
    const onDeliveries = (ids: readonly string[]): void => void reported.push([...ids]);
    jobs = createJobQueries(knex, onDeliveries);
    runs = createRunQueries(knex, onDeliveries);
    receiver = await startReceiver();
  });
  beforeEach(async () => {
    userId = await newUser();
    receiver.received.length = 0;
    receiver.answer = status(204);
    reported.length = 0;
  });
  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.close(1_000)));
    await Promise.all(connections.splice(0).map(closeRedis));
    await flushPrefix(redis, prefix);
    await knex('webhook_deliveries').delete();
  });
  after(async () => {
    await receiver.close();
    await queues.close();
    await closeRedis(redis);
    await knex.destroy();
    await database.drop();
  });

  async function newUser(): Promise<string> {
    const id = uuidv7();
    await knex('users').insert({ id, username: id, email: `${id}@example.com`, password_hash: 'x' });
    return id;
  }

  async function startWorker({ pausesMs = [20, 20], perHost = 10 }: WorkerOptions = {}): Promise<void> {
    const { redisUrl: url } = await services();
    const blocking = openRedis({ url, role: 'blocking', name: 'test-webhooks', log });
    connections.push(blocking);
    const options = { webhooks: outbox, redis: blocking, prefix, pausesMs, perHost };
    workers.push(startDeliveries({ ...options, findJob: (id) => jobs.find(id) }));
  }

  const check = (): Promise<number> => createWebhooksCheck(outbox)();

  async function put(url = `${receiver.url}/in`, payload: object = { n: 1 }): Promise<string> {
    const id = await deliveries.enqueue({ userId, url, type: 'test.happened', payload });
    await outbox.enqueueAttempts([id]);
    return id;
  }

  async function read(id: string): Promise<DeliveryRecord> {
    const found = await deliveries.find(id, userId);
    if (found === undefined) throw new Error('the delivery is gone');
    return found;
  }

  const end = (id: string, state: DeliveryState): Promise<DeliveryRecord> =>
    waitFor(async () => ((await read(id)).state === state ? await read(id) : undefined), {
      what: `the delivery to be ${state}`,
    });

  it('are delivered once, signed so that the receiver can verify them', async () => {
    await startWorker();
    const id = await put();
    expect(await end(id, 'delivered')).to.include({
      attempts: 1,
      lastStatus: 204,
      lastError: null,
      nextAt: null,
    });
    expect(receiver.received).to.have.length(1);
    const [webhook] = receiver.received;
    const secret = signer.secretOf({ userId, generation: 0 });
    expect(webhook?.headers).to.include({ 'webhook-id': id, 'content-type': 'application/json' });
    const event = await verifyWebhook(webhook ?? { body: '', headers: {} }, secret);
    expect(event).to.deep.include({ type: 'test.happened', data: { n: 1 } });
  });

  it('are there only if the transaction that they tell of is', async () => {
    const request = { userId, url: receiver.url, type: 'x.y', payload: {} };
    const id = await knex
      .transaction(async (trx) => {
        const stored = await outbox.enqueueIn(trx, request);
        expect(await trx('webhook_deliveries').where({ id: stored })).to.have.length(1);
        throw new Error(stored);
      })
      .catch(messageOf);
    expect(await deliveries.find(id, userId)).to.equal(undefined);
  });

  it('are tried again with the same id and body until they are taken', async () => {
    const codes = [500, 429];
    receiver.answer = (response) => response.writeHead(codes.shift() ?? 200).end();
    await startWorker();
    const id = await put();
    expect(await end(id, 'delivered')).to.include({ attempts: 3, lastStatus: 200 });
    expect(receiver.received.map(({ headers }) => headers['webhook-id'])).to.deep.equal([id, id, id]);
    expect(new Set(receiver.received.map(({ body }) => body))).to.have.property('size', 1);
  });

  it('wait in between, as long as the pause says', async () => {
    receiver.answer = status(500);
    await startWorker({ pausesMs: [3_600_000] });
    const id = await put();
    await waitFor(async () => (await read(id)).lastError, { what: 'the first attempt' });
    const { attempts, nextAt, state, lastStatus } = await read(id);
    expect({ attempts, state, lastStatus }).to.deep.equal({ attempts: 1, state: 'pending', lastStatus: 500 });
    expect(nextAt?.getTime()).to.be.within(Date.now() + 3_500_000, Date.now() + 3_600_000);
    expect(await check()).to.equal(0);
    await waitFor(async () => (await queues.counts('webhooks'))['delayed'] === 1, {
      what: 'the delayed job',
    });
  });

  it('end as dead letters after the last attempt, and begin anew when their owner says so', async () => {
    receiver.answer = status(500);
    await startWorker();
    const id = await put();
    const dead = await end(id, 'dead');
    expect(dead).to.include({ attempts: 3, lastStatus: 500, lastError: 'The receiver answered 500' });
    expect(dead.endedAt).to.be.instanceOf(Date);
    const listed = await deliveries.list({ userId, state: 'dead', offset: 0, limit: 10 });
    expect(listed.deliveries.map((each) => each.id)).to.deep.equal([id]);

    receiver.answer = status(200);
    expect(await deliveries.retry(id, await newUser())).to.equal(undefined);
    expect(await deliveries.retry(id, userId)).to.include({ state: 'pending', attempts: 0 });
    await outbox.enqueueAttempts([id]);
    expect(await end(id, 'delivered')).to.include({ attempts: 1, lastStatus: 200 });
    expect(await deliveries.retry(id, userId)).to.equal(undefined);
  });

  it('are given up at once when the receiver is gone or must not be called', async () => {
    receiver.answer = status(410);
    await startWorker({ pausesMs: [60_000] });
    expect(await end(await put(), 'dead')).to.include({ attempts: 1, lastStatus: 410 });
    const metadata = await end(await put('http://169.254.169.254/latest/meta-data/'), 'dead');
    expect(metadata).to.include({ attempts: 1, lastStatus: null });
    expect(metadata.lastError).to.include('public');
  });

  it('are given up when the account was deleted', async () => {
    const id = await deliveries.enqueue({ userId, url: receiver.url, type: 'x.y', payload: {} });
    await knex('users').where({ id: userId }).update({ deleted_at: new Date() });
    await startWorker();
    await outbox.enqueueAttempts([id]);
    expect(await end(id, 'dead')).to.include({ lastError: 'The account was deleted' });
    expect(receiver.received).to.have.length(0);
  });

  it('that Redis has lost are found due', async () => {
    const ids = await Promise.all(
      Array.from({ length: 250 }, () =>
        deliveries.enqueue({ userId, url: receiver.url, type: 'x.y', payload: {} }),
      ),
    );
    expect(await check()).to.equal(250);
    await startWorker();
    await waitFor(() => receiver.received.length === ids.length, { what: 'all of them', timeoutMs: 20_000 });
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).to.equal(ids.length);
  });

  it('whose attempt was lost with its process are attempted again', async () => {
    const id = await deliveries.enqueue({ userId, url: receiver.url, type: 'x.y', payload: {} });
    expect(await deliveries.claim(id, 0.8)).to.include({ attempt: 1 });
    expect(await deliveries.claim(id, 30), 'while it lasts').to.equal(undefined);
    await startWorker();
    await waitFor(async () => (await check()) > 0 || receiver.received.length > 0, { what: 'it to be due' });
    expect(await end(id, 'delivered')).to.include({ attempts: 2 });
    const late = { id, attempt: 1, status: 500, error: 'late', next: 'dead' } as const;
    expect(await deliveries.settle(late), 'the lost attempt has no say').to.equal(false);
  });

  it('whose attempt was taken over meanwhile are neither counted by it nor tried again', async () => {
    const id = await deliveries.enqueue({ userId, url: receiver.url, type: 'x.y', payload: {} });
    const [counted, queued]: [string[], string[]] = [[], []];
    const deliver = createWebhookDeliver({
      webhooks: {
        deliveries,
        signer,
        queueAttempt: (attempt) => Promise.resolve(queued.push(attempt.id) > 0),
      },
      findJob: () => Promise.resolve(undefined),
      send: async () => {
        await knex('webhook_deliveries').where({ id }).increment('attempts', 1);
        return { status: 500, error: 'late' };
      },
      slots: { enter: () => ({ leave: () => undefined }) },
      rules: { pausesMs: [20, 20, 20], random: () => 0 },
      clock: { now: () => Date.now() },
      log,
      count: (outcome) => counted.push(outcome),
    });
    await deliver({ deliveryId: id }, jobContext());
    expect([counted, queued]).to.deep.equal([[], []]);
    expect(await read(id)).to.include({ state: 'pending', attempts: 2, lastError: null });
  });

  it('that could not be queued are looked for again from there on', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 3; i++)
      ids.push(await deliveries.enqueue({ userId, url: receiver.url, type: 'x.y', payload: {} }));
    const requested: (string | undefined)[] = [];
    let isAway = true;
    const poll = createWebhooksCheck({
      deliveries: {
        ...deliveries,
        due: (place) => {
          requested.push(place.after);
          return deliveries.due(place);
        },
      },
      queueAttempt: () => Promise.resolve(!isAway),
    });
    expect(await poll()).to.equal(0);
    isAway = false;
    expect(await poll()).to.equal(ids.length);
    expect(requested).to.deep.equal([undefined, undefined]);
    // Nothing lay behind those: the next look is for all again.
    expect(await poll()).to.equal(ids.length);
    expect(requested).to.deep.equal([undefined, undefined, undefined]);
  });

  it('are attempted once, however many jobs and workers there are for them', async () => {
    await Promise.all([startWorker(), startWorker()]);
    const ids = await Promise.all(Array.from({ length: 20 }, () => put()));
    for (let round = 0; round < 5; round++) {
      await Promise.all(ids.map((id) => queues.add('webhook.deliver', { deliveryId: id })));
    }
    await Promise.all(ids.map((id) => end(id, 'delivered')));
    await waitFor(
      async () => {
        const { waiting, active } = await queues.counts('webhooks');
        return waiting === 0 && active === 0;
      },
      { what: 'all jobs to end' },
    );
    expect(receiver.received).to.have.length(ids.length);
  });

  it('go on to others while one receiver is slow', async () => {
    const slow = await startReceiver();
    slow.answer = () => undefined;
    try {
      await startWorker({ perHost: 2, pausesMs: [60_000] });
      await Promise.all(Array.from({ length: 60 }, () => put(slow.url)));
      await waitFor(() => slow.received.length > 0, { what: 'the slow one to be called' });
      await end(await put(), 'delivered');
      expect(slow.received.length).to.be.at.most(4);
    } finally {
      await slow.close();
    }
  });

  it('are kept as dead letters where too many wait', async () => {
    const rows = Array.from({ length: pendingPerUser - 1 }, () => ({
      id: uuidv7(),
      user_id: userId,
      url: receiver.url,
      type: 'x.y',
      body: '{}',
    }));
    await knex.batchInsert('webhook_deliveries', rows, 500);
    const request = { userId, url: receiver.url, type: 'x.y', payload: {} };
    const ids = [await deliveries.enqueue(request), await deliveries.enqueue(request)];
    const states = await Promise.all(ids.map(read));
    expect(states.map(({ state }) => state)).to.deep.equal(['pending', 'dead']);
    expect(states[1]).to.include({ lastError: 'Too many deliveries were waiting' });
    expect(await deliveries.retry(ids[1] ?? '', userId)).to.equal(undefined);
    const other = { ...request, userId: await newUser() };
    const [row] = await knex('webhook_deliveries').where({ id: await deliveries.enqueue(other) });
    expect(row).to.include({ state: 'pending' });
  });

  it('are attempted again when an attempt is given back, which then does not count', async () => {
    const id = await deliveries.enqueue({ userId, url: receiver.url, type: 'x.y', payload: {} });
    const claimed = await deliveries.claim(id, 30);
    expect(await check(), 'under way').to.equal(0);
    await deliveries.giveBack({ id, attempt: 7 });
    expect(await deliveries.claim(id, 30), 'by another attempt').to.equal(undefined);
    await deliveries.giveBack({ id, attempt: claimed?.attempt ?? 0 });
    expect(await read(id)).to.include({ state: 'pending', attempts: 0 });
    expect(await check()).to.equal(1);
    expect(await deliveries.claim(id, 30)).to.include({ attempt: 1 });
  });

  it('show no outcome of the attempt before while one is made, and are not begun anew then', async () => {
    const id = await deliveries.enqueue({ userId, url: receiver.url, type: 'x.y', payload: {} });
    await deliveries.claim(id, 30);
    const next = { afterMs: 0 };
    await deliveries.settle({ id, attempt: 1, status: 500, error: 'The receiver answered 500', next });
    expect(await read(id)).to.include({ lastStatus: 500, lastError: 'The receiver answered 500' });
    await deliveries.claim(id, 30);
    expect(await read(id)).to.include({ attempts: 2, lastStatus: null, lastError: null });
    expect(await deliveries.retry(id, userId)).to.equal(undefined);
  });

  it('are kept when they begin anew, however long ago they were given up', async () => {
    const id = await deliveries.enqueue({ userId, url: receiver.url, type: 'x.y', payload: {} });
    const long = knex.raw("now() - interval '9 days'");
    await knex('webhook_deliveries').where({ id }).update({ state: 'dead', last_error: 'x', ended_at: long });
    await deliveries.retry(id, userId);
    await deliveries.purge(86_400);
    expect(await read(id)).to.include({ state: 'pending' });
  });

  it('are counted while they wait, and as dead letters', async () => {
    const [dead, delivered] = [await put(), await put(), await put()];
    await knex('webhook_deliveries').where({ id: dead }).update({ state: 'dead', ended_at: new Date() });
    await knex('webhook_deliveries')
      .where({ id: delivered })
      .update({ state: 'delivered', ended_at: new Date() });
    expect(await deliveries.countByState()).to.deep.equal({ pending: 1, dead: 1 });
  });

  it('are refused when they are too long', async () => {
    const refusal = await put(receiver.url, { text: 'x'.repeat(256 * 1024) }).catch(messageOf);
    expect(refusal).to.equal('a webhook test.happened is too long');
  });

  it('are deleted when they ended long ago', async () => {
    const id = await put();
    await knex('webhook_deliveries')
      .where({ id })
      .update({
        state: 'dead',
        ended_at: knex.raw("now() - interval '2 days'"),
      });
    const waiting = await put();
    expect(await deliveries.purge(86_400)).to.equal(1);
    expect(await deliveries.find(id, userId)).to.equal(undefined);
    expect(await deliveries.find(waiting, userId)).to.include({ state: 'pending' });
  });

  describe('that tell of the end of a job', () => {
    const newJob = (different: object = {}) => ({
      id: uuidv7(),
      userId,
      name: 'bulk.fetch',
      workKey: uuidv7(),
      submission: { currency: 'usd', assets: ['bitcoin'] },
      total: 1,
      callbackUrl: `${receiver.url}/job`,
      ...different,
    });
    const ended = async (
      job: { id: string; workKey: string },
      body = '{"portfolio":[1],"error_count":0}',
    ) => {
      await runs.complete({ workKey: job.workKey, startedAt: new Date() }, uuidv7(), body);
      return await read(job.id);
    };

    it('are stored by the statement that completes it, for those who asked', async () => {
      const job = newJob();
      const sharing = newJob({ workKey: job.workKey, callbackUrl: `${receiver.url}/other` });
      const silent = newJob({ workKey: job.workKey, callbackUrl: undefined });
      await Promise.all([job, sharing, silent].map(jobs.insert));
      expect(await ended(job)).to.include({ type: 'job.completed', body: null, url: `${receiver.url}/job` });
      expect(await read(sharing.id)).to.include({ url: `${receiver.url}/other` });
      expect(await deliveries.find(silent.id, userId)).to.equal(undefined);
      expect(reported.map((ids) => ids.toSorted())).to.deep.equal([[job.id, sharing.id].toSorted()]);
      expect(await ended(job), 'done twice').to.include({ state: 'pending' });
      expect(reported).to.have.length(1);
    });

    it('carry the job with its result', async () => {
      await startWorker();
      const job = newJob();
      await jobs.insert(job);
      await ended(job);
      await outbox.enqueueAttempts([job.id]);
      await end(job.id, 'delivered');
      const event = JSON.parse(receiver.received[0]?.body ?? '') as { type: string; data: object };
      expect(event.type).to.equal('job.completed');
      expect(event.data).to.deep.include({
        id: job.id,
        state: 'completed',
        result: { portfolio: [1], error_count: 0 },
        links: { self: `/api/v1/jobs/${job.id}`, events: `/api/v1/jobs/${job.id}/events` },
      });
    });

    it('leave out a result that is too large', async () => {
      await startWorker();
      const job = newJob();
      await jobs.insert(job);
      await ended(job, JSON.stringify({ portfolio: ['x'.repeat(300 * 1024)], error_count: 0 }));
      await outbox.enqueueAttempts([job.id]);
      await end(job.id, 'delivered');
      const event = JSON.parse(receiver.received[0]?.body ?? '') as { data: object };
      expect(event.data).to.include({ id: job.id, state: 'completed', result_omitted: true });
      expect(event.data).to.not.have.property('result');
    });

    it('tell of failure and cancellation too', async () => {
      const [failing, cancelled] = [newJob(), newJob()];
      await Promise.all([failing, cancelled].map(jobs.insert));
      await runs.fail({ workKey: failing.workKey, startedAt: new Date() }, { code: 'x', message: 'y' });
      expect(await jobs.cancel(cancelled.id)).to.include({
        id: cancelled.id,
        state: 'cancelled',
        version: 2,
      });
      expect(await jobs.cancel(cancelled.id)).to.equal(undefined);
      expect(await read(failing.id)).to.include({ type: 'job.failed' });
      expect(await read(cancelled.id)).to.include({ type: 'job.cancelled' });
      expect(reported).to.deep.equal([[failing.id], [cancelled.id]]);
    });

    it('keep the job from being deleted until they have ended', async () => {
      const job = newJob();
      await jobs.insert(job);
      await ended(job);
      await knex('jobs')
        .where({ id: job.id })
        .update({ finished_at: knex.raw("now() - interval '2 days'") });
      await runs.purge(86_400);
      expect((await jobs.find(job.id))?.resultJson).to.be.a('string');
      await knex('webhook_deliveries').where({ id: job.id }).update({ state: 'dead', last_error: 'x' });
      await runs.purge(86_400);
      expect(await jobs.find(job.id)).to.equal(undefined);
      expect(await deliveries.retry(job.id, userId), 'nothing left to tell').to.equal(undefined);
    });

    it('do not keep a job from ending where too many wait', async () => {
      const rows = Array.from({ length: pendingPerUser }, () => ({
        id: uuidv7(),
        user_id: userId,
        url: receiver.url,
        type: 'x.y',
        body: '{}',
      }));
      await knex.batchInsert('webhook_deliveries', rows, 500);
      const job = newJob();
      await jobs.insert(job);
      expect(await ended(job)).to.include({ state: 'dead', lastError: 'Too many deliveries were waiting' });
      expect(await jobs.find(job.id)).to.include({ state: 'completed' });
    });
  });
});
