/** What belongs to somebody is found, listed, counted, changed and ended by its owner alone: asked of the real statements. */
import { expect } from 'chai';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { openDatabase } from '../../../db/connection.ts';
import { createFiringQueries } from '../../../src/features/alerts/queries/alert-firings.ts';
import { createAlertQueries, type NewAlert } from '../../../src/features/alerts/queries/alerts.ts';
import { createApiKeyQueries } from '../../../src/features/accounts/queries/api-keys.ts';
import { createJobQueries, type NewJob } from '../../../src/features/jobs/queries/jobs.ts';
import { createRunQueries } from '../../../src/features/jobs/queries/runs.ts';
import { createSessionQueries } from '../../../src/features/accounts/queries/sessions.ts';
import { createWebhookQueries } from '../../../src/features/webhooks/queries/webhook-deliveries.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

const life = { revocationSeconds: 900 };
const page = { offset: 0, limit: 10 };
const url = 'https://receiver.example/hook';
const idempotency = { key: 'once', route: 'bulk.fetch', bodyHash: 'hash' };

describe('what belongs to a user', () => {
  let database: TestDatabase;
  let knex: Knex;
  let owner: string;
  let other: string;

  before(async () => {
    database = await createTestDatabase();
    knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 4 });
  });
  beforeEach(async () => {
    [owner, other] = [await addUser(), await addUser()];
  });
  after(async () => {
    await knex.destroy();
    await database.drop();
  });

  async function addUser(): Promise<string> {
    const id = uuidv7();
    await knex('users').insert({ id, username: id, email: `${id}@example.com`, password_hash: 'x' });
    return id;
  }

  describe('an alert', () => {
    const newAlert = (userId: string): NewAlert => ({
      userId,
      kind: 'price',
      assetId: 'bitcoin',
      portfolioId: null,
      currency: 'usd',
      windowSeconds: null,
      direction: 'above',
      threshold: '100',
      hysteresis: '1',
      hysteresisUnit: 'percent',
      repeat: 'once',
      fireIfTrue: false,
      url: null,
      note: null,
      state: 'armed',
    });

    it('is found and listed for its owner alone', async () => {
      const alerts = createAlertQueries(knex);
      const { id } = await alerts.insert(newAlert(owner), 10);
      expect((await alerts.find(id, owner))?.id).to.equal(id);
      expect(await alerts.find(id, other)).to.equal(undefined);
      const { alerts: listed, total } = await alerts.page({ userId: owner, ...page });
      expect([listed.map((each) => each.id), total]).to.deep.equal([[id], 1]);
      const filters = [{}, { kind: 'price', state: 'armed', assetId: 'bitcoin' }] as const;
      for (const filter of filters)
        expect(await alerts.page({ userId: other, ...filter, ...page })).to.deep.equal({
          alerts: [],
          total: 0,
        });
    });

    it('is changed, begun anew and deleted by its owner alone', async () => {
      const alerts = createAlertQueries(knex);
      const { id, version } = await alerts.insert(newAlert(owner), 10);
      const [mine, theirs] = [owner, other].map((userId) => ({ id, userId, version }));
      for (const change of [{ threshold: '1' }, { state: 'pending' }, { state: 'disabled' }] as const)
        expect(await alerts.change(theirs!, change)).to.equal(undefined);
      expect(await alerts.remove(theirs!)).to.equal(false);
      expect(await alerts.find(id, owner)).to.include({ threshold: '100', state: 'armed', version });
      expect(await alerts.change(mine!, { threshold: '7' })).to.include({ threshold: '7' });
      // Whoever saw the alert before that does not overwrite it.
      expect(await alerts.change(mine!, { threshold: '8' })).to.equal(undefined);
      expect(await alerts.remove(mine!)).to.equal(false);
      expect(await alerts.find(id, owner)).to.include({ threshold: '7', version: version + 1 });
      expect(await alerts.remove({ ...mine!, version: version + 1 })).to.equal(true);
      expect(await alerts.find(id, owner)).to.equal(undefined);
    });

    it('takes up room among those of its owner alone, and the last place once', async () => {
      const alerts = createAlertQueries(knex);
      await alerts.insert(newAlert(owner), 2);
      await alerts.insert(newAlert(other), 2);
      await alerts.insert(newAlert(owner), 2);
      const [refused] = await Promise.allSettled([alerts.insert(newAlert(owner), 2)]);
      expect(refused)
        .to.deep.include({ status: 'rejected' })
        .and.have.nested.property('reason.code', 'alert_limit');
      const { id, version } = (await alerts.page({ userId: owner, ...page })).alerts[0]!;
      await alerts.remove({ id, userId: owner, version });
      expect((await alerts.insert(newAlert(owner), 2)).userId).to.equal(owner);
    });

    it('tells of its firings its owner alone', async () => {
      const [alerts, firings] = [createAlertQueries(knex), createFiringQueries(knex)];
      const alert = await alerts.insert(newAlert(owner), 10);
      const before = uuidv7();
      const id = uuidv7();
      const quote = { value: '101', as_of: new Date(), received_at: new Date(), source: 'simulated' };
      await knex('alert_firings').insert({
        ...quote,
        id,
        alert_id: alert.id,
        user_id: owner,
        at: new Date(),
        body: '{}',
      });
      expect((await firings.page({ userId: owner, ...page })).firings.map((each) => each.id)).to.deep.equal([
        id,
      ]);
      for (const alertId of [undefined, alert.id])
        expect(await firings.page({ userId: other, alertId, ...page })).to.deep.equal({
          firings: [],
          total: 0,
        });
      expect((await firings.after(owner, before, 10)).map((each) => each.id)).to.deep.equal([id]);
      expect(await firings.after(other, before, 10)).to.deep.equal([]);
      expect([...(await firings.newest([other, owner]))]).to.deep.equal([[owner, id]]);
    });
  });

  describe('an API key', () => {
    it('is listed for and revoked by its owner alone', async () => {
      const keys = createApiKeyQueries(knex, life);
      const hash = Buffer.from(uuidv7());
      const { id } = await keys.insert({
        userId: owner,
        name: 'mine',
        prefix: 'ppk_abcdefgh',
        hash,
        scopes: ['prices:read'],
        dailyQuota: null,
        expiresAt: null,
        by: {},
      });
      expect(await keys.list(other)).to.deep.equal([]);
      expect((await keys.list(owner)).map((each) => each.id)).to.deep.equal([id]);
      expect(await keys.revoke({ id, userId: other, by: {} })).to.equal(undefined);
      expect(await keys.findUsable(hash)).to.include({ id, userId: owner });
      const revoked = await keys.revoke({ id, userId: owner, by: {} });
      expect(revoked).to.have.length(1);
      expect(revoked?.[0]).to.include({ kind: 'key', subject: id });
      expect(await keys.findUsable(hash)).to.equal(undefined);
      const events = await knex('audit_events').where({ user_id: owner, type: 'key.revoked' });
      expect(events).to.have.length(1);
    });
  });

  describe('a session', () => {
    it('stays when somebody else ends all of theirs', async () => {
      const sessions = createSessionQueries(knex, life);
      const opened = async (userId: string): Promise<Buffer> => {
        const refreshHash = Buffer.from(uuidv7());
        await sessions.open({ userId, generation: 0, refreshHash, expiresInSeconds: 60, by: {} });
        return refreshHash;
      };
      const [mine, theirs] = [await opened(owner), await opened(other)];
      const ended = await sessions.endAll({ userId: other, by: {} });
      expect(ended.map(({ subject }) => subject)).to.deep.equal([other]);
      const rotate = async (hash: Buffer): Promise<string> =>
        (await sessions.rotate({ hash, nextHash: Buffer.from(uuidv7()), expiresInSeconds: 60, by: {} })).kind;
      expect([await rotate(mine), await rotate(theirs)]).to.deep.equal(['rotated', 'unknown']);
    });
  });

  it('opens no session with a password that was changed while it was compared', async () => {
    const sessions = createSessionQueries(knex, life);
    const open = (generation: number): Promise<unknown> =>
      sessions.open({
        userId: owner,
        generation,
        refreshHash: Buffer.from(uuidv7()),
        expiresInSeconds: 60,
        by: {},
      });
    expect(await open(0)).to.have.property('id');
    await sessions.endAll({ userId: owner, by: {} });
    expect(await open(0)).to.equal(undefined);
    expect(await open(1)).to.have.property('id');
  });

  describe('a webhook', () => {
    it('is found, listed and begun anew for its owner alone', async () => {
      const deliveries = createWebhookQueries(knex);
      const id = await deliveries.enqueue({ userId: owner, url, type: 'webhook.test', payload: {} });
      await knex('webhook_deliveries')
        .where({ id })
        .update({ state: 'dead', last_error: 'The connection was lost', ended_at: new Date(), attempts: 8 });
      expect(await deliveries.find(id, other)).to.equal(undefined);
      for (const state of [undefined, 'dead'] as const)
        expect(await deliveries.list({ userId: other, state, ...page })).to.deep.equal({
          deliveries: [],
          total: 0,
        });
      expect(await deliveries.retry(id, other)).to.equal(undefined);
      expect(await deliveries.find(id, owner)).to.include({ state: 'dead', attempts: 8 });
      expect((await deliveries.list({ userId: owner, ...page })).total).to.equal(1);
      expect(await deliveries.retry(id, owner)).to.include({ state: 'pending', attempts: 0 });
    });

    it('is signed with a secret that nobody else rotates', async () => {
      const secrets = createWebhookQueries(knex);
      await secrets.rotateSecret(other, {});
      expect(await secrets.currentSecret(owner)).to.deep.equal({ generation: 0, rotatedAt: null });
      expect(await secrets.rotateSecret(owner, {})).to.include({ generation: 1 });
      expect(await secrets.rotateSecret(owner, {})).to.include({ generation: 2 });
      expect(await secrets.currentSecret(other)).to.include({ generation: 1 });
    });
  });

  describe('a job', () => {
    const newJob = (userId: string, more: Partial<NewJob> = {}): NewJob => ({
      id: uuidv7(),
      userId,
      name: 'bulk.fetch',
      workKey: `work-of-${userId}`,
      submission: { currency: 'usd' },
      total: 1,
      ...more,
    });

    it('is listed and counted for its owner alone', async () => {
      const jobs = createJobQueries(knex);
      const mine = newJob(owner);
      await jobs.insert(mine);
      expect((await jobs.list({ userId: owner, ...page })).jobs.map(({ id }) => id)).to.deep.equal([mine.id]);
      for (const filter of [{}, { state: 'queued', names: ['bulk.fetch'] }] as const)
        expect(await jobs.list({ userId: other, ...filter, ...page })).to.deep.equal({ jobs: [], total: 0 });
      expect(await jobs.countOpenOfNames(owner, ['bulk.fetch'])).to.equal(1);
      expect(await jobs.countOpenOfNames(other, ['bulk.fetch'])).to.equal(0);
      expect(await Promise.all([owner, other].map((id) => jobs.countOpenOfUser(id)))).to.deep.equal([1, 0]);
    });

    it('holds an idempotency key of its owner alone', async () => {
      const jobs = createJobQueries(knex);
      const [mine, theirs] = [newJob(owner, { idempotency }), newJob(other, { idempotency })];
      expect([(await jobs.insert(mine))?.id, (await jobs.insert(theirs))?.id]).to.deep.equal([
        mine.id,
        theirs.id,
      ]);
      expect(await jobs.insert(newJob(owner, { idempotency }))).to.equal(undefined);
      const held = (userId: string) => jobs.findByIdempotencyKey(userId, idempotency.route, idempotency.key);
      expect((await held(owner))?.job.id).to.equal(mine.id);
      expect((await held(other))?.job.id).to.equal(theirs.id);
    });

    for (const state of ['open', 'completed'] as const)
      it(`of the same work is found for its owner alone when it is ${state}`, async () => {
        const jobs = createJobQueries(knex);
        const mine = newJob(owner, { name: 'performance.compute' });
        await jobs.insert(mine);
        if (state === 'completed')
          await createRunQueries(knex).complete(
            { workKey: mine.workKey, startedAt: new Date() },
            uuidv7(),
            '{}',
          );
        expect(await jobs.findByWork(owner, mine.workKey)).to.equal(mine.id);
        expect(await jobs.findByWork(other, mine.workKey)).to.equal(undefined);
      });
  });
});
