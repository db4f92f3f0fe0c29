/** Alerts on prices: once for each crossing, whoever evaluates, and whatever is missed or restarted in between. */
import { expect } from 'chai';
import {
  createAlertTransitionQueries,
  type AlertTransitionQueries,
} from '../../../src/features/alerts/queries/alert-transitions.ts';
import { createAlertWatch } from '../../../src/features/alerts/queries/alert-watch.ts';
import { createWebhookQueries } from '../../../src/features/webhooks/queries/webhook-deliveries.ts';
import { UnavailableError } from '../../../src/domain/errors.ts';
import { recordingLogger } from '../../support/recording-logger.ts';
import { waitFor } from '../../support/wait-for.ts';
import { openAlertRig, type AlertRig } from './alert-rig.ts';

describe('alerts on prices', () => {
  let rig: AlertRig;

  before(async () => {
    rig = await openAlertRig();
  });
  afterEach(() => rig.reset());
  after(() => rig.close());

  const armed = (id: string) => rig.until(id, ({ state }) => state === 'armed', 'the alert to be armed');
  const fired = (id: string, times = 1) =>
    rig.until(
      id,
      ({ state, firedCount }) => state === 'fired' && firedCount === times,
      `the alert to fire ${times} times`,
    );

  it('fire once for each crossing, though several processes evaluate them', async () => {
    await Promise.all([rig.start(), rig.start(), rig.start()]);
    const { id } = await rig.make();
    for (const [round, value] of [101, 103, 250].entries()) {
      const at = Date.now() + round * 20_000;
      await rig.tick('bitcoin', 90, at);
      await armed(id);
      // Later than the first: a process that is behind could take 90 for what came last.
      await rig.tick('bitcoin', value, at + 1);
      await fired(id, round + 1);
      await rig.tick('bitcoin', value + 1, at + 2);
    }
    expect(await rig.firedAt(id)).to.deep.equal(['101', '103', '250']);
  });

  it('fire not again at once, however often they begin anew, but as soon as they may', async () => {
    await rig.start();
    const transitionQueries = createAlertTransitionQueries({
      knex: rig.knex,
      outbox: createWebhookQueries(rig.knex),
    });
    const made = await rig.make({ fireIfTrue: true });
    await rig.tick('bitcoin', 120);
    const { version, firedAt } = await fired(made.id);
    const started = await rig.alerts.change({ ...made, version }, { state: 'pending' });
    const at = firedAt?.getTime() ?? NaN;
    const fire = async (receivedAt: number): Promise<number> => {
      const quote = { asOf: null, receivedAt, source: 'simulated', state: 'fresh' } as const;
      const transition = { to: 'fired', value: '121', quote, describe: () => ({}) } as const;
      const which = { id: made.id, userId: made.userId, version: started?.version ?? 0 };
      return (await transitionQueries.transition([{ ...which, ...transition }])).alerts.length;
    };
    expect(await fire(at + 9_000)).to.equal(0);
    await rig.channel.changed([made.id]);
    await rig.tick('bitcoin', 122, at + 9_500);
    await rig.tick('bitcoin', 123, at + 10_000);
    await fired(made.id, 2);
    expect(await rig.firedAt(made.id)).to.deep.equal(['120', '123']);
  });

  it('fire for many at once, and for each of them once', async () => {
    await Promise.all([rig.start(), rig.start()]);
    const made = await Promise.all(
      Array.from({ length: 250 }, (_, index) => rig.make({ threshold: String(100 + index) })),
    );
    await rig.tick('bitcoin', 50);
    for (const { id } of made) await armed(id);
    await rig.tick('bitcoin', 1_000);
    await waitFor(
      async () => (await rig.firings.page({ userId: rig.userId, offset: 0, limit: 1 })).total >= 250,
      {
        what: 'all to fire',
      },
    );
    for (const { id } of made) expect((await fired(id)).firedCount).to.equal(1);
    expect((await rig.firings.page({ userId: rig.userId, offset: 0, limit: 1 })).total).to.equal(250);
  });

  it('tell what has fired, with the quote behind it, and put a webhook beside it', async () => {
    await rig.start();
    const url = 'https://example.com/hook';
    const { id } = await rig.make({ url, note: 'sell' });
    const without = await rig.make();
    await rig.tick('bitcoin', 90);
    await armed(id);
    await armed(without.id);
    const at = Date.now();
    await rig.tick('bitcoin', 100.5, at);
    await fired(id);
    await fired(without.id);
    const { firings } = await rig.firings.page({ userId: rig.userId, alertId: id, offset: 0, limit: 9 });
    const body = JSON.parse(firings[0]?.body ?? '') as Record<string, Record<string, unknown>>;
    expect(body).to.deep.include({
      id: firings[0]?.id,
      value: '100.5',
      threshold: '100',
      quote: {
        as_of: new Date(at - 1_000).toISOString(),
        received_at: new Date(at).toISOString(),
        source: 'simulated',
        state: 'fresh',
      },
    });
    expect(body['alert']).to.include({ id, note: 'sell', state: 'fired', fired_count: 1, coin: 'bitcoin' });
    expect(body['alert']).not.to.have.property('url');
    const deliveries = await rig
      .knex('webhook_deliveries')
      .select<{ url: string; type: string; body: string }[]>('*');
    expect(deliveries.map(({ type, url: to }) => [type, to])).to.deep.equal([['alert.fired', url]]);
    expect(JSON.parse(deliveries[0]?.body ?? '')).to.deep.include({ type: 'alert.fired', data: body });
  });

  it('do not fire for what was received before they were armed', async () => {
    await rig.start();
    const { id } = await rig.make();
    const at = Date.now();
    await rig.tick('bitcoin', 90, at);
    await armed(id);
    await rig.tick('bitcoin', 120, at - 1);
    await rig.tick('bitcoin', 91, at + 1);
    await rig.tick('bitcoin', 130, at + 2);
    await fired(id);
    expect(await rig.firedAt(id)).to.deep.equal(['130']);
  });

  it('find what was missed while nobody evaluated', async () => {
    const first = await rig.start();
    const { id } = await rig.make();
    await rig.tick('bitcoin', 90);
    await armed(id);
    await first.close();
    await rig.store('bitcoin', 101);
    await rig.start();
    await fired(id);
    expect(await rig.firedAt(id)).to.deep.equal(['101']);
  });

  it('find what was missed in a gap of the connection', async () => {
    await rig.start();
    const { id } = await rig.make();
    await rig.tick('bitcoin', 90);
    await armed(id);
    await rig.store('bitcoin', 101);
    rig.cut();
    await fired(id);
  });

  it('are found by a look when the news of them is lost, and forgotten when they are deleted', async () => {
    const evaluator = await rig.start({ syncEveryMs: 50 });
    const { id, userId } = await rig.make({}, false);
    await waitFor(() => evaluator.size() === 1, { what: 'the alert to be found' });
    await rig.tick('bitcoin', 90);
    const { version } = await armed(id);
    expect(await rig.alerts.remove({ id, userId, version })).to.equal(true);
    await waitFor(() => evaluator.size() === 0, { what: 'the alert to be forgotten' });
    await rig.tick('bitcoin', 120);
    expect(await rig.firedAt(id)).to.deep.equal([]);
  });

  it('begin anew when their owner changes the threshold', async () => {
    await rig.start();
    const { id, userId } = await rig.make();
    await rig.tick('bitcoin', 90);
    const { version } = await armed(id);
    await rig.alerts.change({ id, userId, version }, { threshold: '200', state: 'pending' });
    await rig.channel.changed([id]);
    await rig.until(id, (alert) => alert.version > version + 1, 'the alert to be armed anew');
    await rig.tick('bitcoin', 150);
    await rig.tick('bitcoin', 200);
    await fired(id);
    expect(await rig.firedAt(id)).to.deep.equal(['200']);
  });

  it('have their assets wanted as long as they watch them', async () => {
    const evaluator = await rig.start();
    const { id, userId } = await rig.make({ assetId: 'solana' });
    await waitFor(() => rig.wants.some(({ assetIds }) => assetIds.includes('solana')), { what: 'a wish' });
    expect(rig.wants[0]).to.deep.include({ currency: 'usd', urgency: 'stream', requester: userId });
    await rig.alerts.remove({ id, userId, version: 1 });
    await rig.channel.changed([id]);
    await waitFor(() => evaluator.size() === 0, { what: 'the alert to be forgotten' });
  });

  it('say that their asset has no price', async () => {
    await rig.start();
    const { id } = await rig.make({ assetId: 'no-such-coin' });
    await waitFor(() => rig.wants.length > 0, { what: 'the alert to be watched' });
    const until = Date.now() + 60_000;
    await rig.fail({ assetId: 'no-such-coin', state: 'not_found', reason: 'unknown', until });
    await rig.until(id, ({ notEvaluated }) => notEvaluated === 'no_quote', 'the reason');
    await rig.tick('no-such-coin', 1);
    await rig.until(id, ({ notEvaluated }) => notEvaluated === null, 'the reason to be gone');
  });

  it('fire when Postgres is back, with what was seen while it was away', async () => {
    let isAway = false;
    let refused = 0;
    const real = createAlertTransitionQueries({ knex: rig.knex, outbox: createWebhookQueries(rig.knex) });
    const transitionQueries: AlertTransitionQueries = {
      transition: (batch) => {
        if (!isAway) return real.transition(batch);
        refused++;
        return Promise.reject(new UnavailableError('Database unavailable'));
      },
    };
    await rig.start({ transitionQueries });
    const { id } = await rig.make();
    const at = Date.now();
    await rig.tick('bitcoin', 90, at);
    await armed(id);
    isAway = true;
    for (const [index, price] of [101, 90, 102, 80].entries())
      await rig.tick('bitcoin', price, at + 1 + index * 15_000);
    await waitFor(() => refused >= 2, { what: 'the move to be refused again' });
    isAway = false;
    await rig.until(id, ({ firedCount, state }) => firedCount === 2 && state === 'armed', 'both crossings');
    expect(await rig.firedAt(id)).to.deep.equal(['101', '102']);
  });

  it('have their webhooks attempted, and their owners told, as soon as they have fired', async () => {
    const [attempted, notified]: [string[], string[]] = [[], []];
    const enqueueDeliveries = (ids: readonly string[]): Promise<void> =>
      Promise.resolve(void attempted.push(...ids));
    let isListening = false;
    const stop = rig.channel.listen({
      onFired: (userIds) => void notified.push(...userIds),
      onGap: () => (isListening = true),
    });
    await rig.start({ enqueueDeliveries });
    await waitFor(() => isListening, { what: 'the news' });
    const { id } = await rig.make({ url: 'https://example.com/hook' });
    await rig.tick('bitcoin', 90);
    await armed(id);
    await rig.tick('bitcoin', 101);
    await fired(id);
    await waitFor(() => notified.length > 0, { what: 'the owner to be told' });
    const deliveries = await rig.knex('webhook_deliveries').pluck<string[]>('id');
    expect([attempted, notified]).to.deep.equal([deliveries, [rig.userId]]);
    stop();
  });

  it('beyond what one process can evaluate are left out, and it says so once', async () => {
    const { log, lines } = recordingLogger();
    for (let n = 0; n < 4; n++) await rig.make();
    const evaluator = await rig.start({ limit: 2, log });
    expect(evaluator.size()).to.equal(2);
    expect(lines.filter(({ level }) => level === 'error')).to.deep.equal([
      {
        level: 'error',
        fields: { alerts: 2 },
        message:
          'too many active alerts for one process: those beyond the limit do not fire; delete or disable alerts, then restart the workers',
      },
    ]);
  });

  it('keep their firings for as long as they are promised, and no longer', async () => {
    await rig.start();
    const made = [await rig.make({ fireIfTrue: true }), await rig.make({ fireIfTrue: true })];
    await rig.tick('bitcoin', 120);
    for (const { id } of made) await fired(id);
    const age = (index: number, seconds: number): Promise<number> =>
      rig
        .knex('alert_firings')
        .where({ alert_id: made[index]?.id })
        .update({ at: rig.knex.raw(`now() - interval '${seconds} seconds'`) });
    await age(0, 90);
    await age(1, 110);
    await createAlertWatch(rig.knex).purge(100);
    expect(await rig.firedAt(made[0]!.id)).to.deep.equal(['120']);
    expect(await rig.firedAt(made[1]!.id)).to.deep.equal([]);
  });

  it('come page by page, the newest first, by kind, state and coin', async () => {
    const made = [
      await rig.make({}, false),
      await rig.make({ assetId: 'solana', state: 'disabled' }, false),
      await rig.make({ kind: 'change', windowSeconds: 300 }, false),
    ].map(({ id }) => id);
    const list = async (filter: object) => {
      const { alerts, total } = await rig.alerts.page({ userId: rig.userId, offset: 0, limit: 9, ...filter });
      return [total, ...alerts.map(({ id }) => made.indexOf(id))];
    };
    expect(await list({})).to.deep.equal([3, 2, 1, 0]);
    expect(await list({ offset: 1, limit: 1 })).to.deep.equal([3, 1]);
    expect(await list({ kind: 'price' })).to.deep.equal([2, 1, 0]);
    expect(await list({ state: 'disabled' })).to.deep.equal([1, 1]);
    expect(await list({ assetId: 'bitcoin', kind: 'change' })).to.deep.equal([1, 2]);
  });

  it('forget what was observed when they begin anew, and nothing by another change', async () => {
    const evaluator = await rig.start();
    const made = await rig.make();
    await rig.tick('bitcoin', 90);
    const { version } = await armed(made.id);
    await evaluator.close();
    const noted = await rig.alerts.change({ ...made, version }, { note: 'sell' });
    expect(noted).to.include({ state: 'armed', note: 'sell', lastValue: '90', version: version + 1 });
    expect(noted?.observedAt).to.be.instanceOf(Date);
    await createAlertWatch(rig.knex).storeReason([made.id], 'no_quote');
    const started = await rig.alerts.change({ ...made, version: version + 1 }, { state: 'pending' });
    expect(started).to.include({ state: 'pending', observedAt: null, notEvaluated: null });
  });

  it('of a deleted account are silent, and go', async () => {
    await rig.start();
    const userId = await rig.addUser();
    const { id } = await rig.make({ userId });
    await rig.tick('bitcoin', 90);
    await armed(id);
    await rig.knex('users').where({ id: userId }).update({ deleted_at: new Date() });
    const other = await rig.make();
    await rig.tick('bitcoin', 95);
    await armed(other.id);
    await rig.tick('bitcoin', 120);
    await fired(other.id);
    expect(await rig.firedAt(id)).to.deep.equal([]);
    await createAlertWatch(rig.knex).purge(86_400);
    expect(await rig.alerts.find(id, userId)).to.equal(undefined);
  });

  it('that were deleted stay known for an hour, so that every process hears of it', async () => {
    const { id, userId, version } = await rig.make();
    await rig.alerts.remove({ id, userId, version });
    const watch = createAlertWatch(rig.knex);
    const knownAfter = async (minutes: number): Promise<boolean[]> => {
      await rig
        .knex('alerts')
        .where({ id })
        .update({ deleted_at: rig.knex.raw(`now() - interval '${minutes} minutes'`) });
      await watch.purge(86_400);
      return (await watch.byIds([id])).map(({ isDeleted }) => isDeleted);
    };
    expect(await knownAfter(55)).to.deep.equal([true]);
    expect(await knownAfter(61)).to.deep.equal([]);
  });

  it('of one user have firings whose ids rise in the order of their commits', async () => {
    await Promise.all([rig.start(), rig.start()]);
    const made = await Promise.all(
      Array.from({ length: 40 }, (_, index) => rig.make({ assetId: `coin-${index}` })),
    );
    for (const { assetId } of made) await rig.tick(assetId ?? '', 90);
    for (const { id } of made) await armed(id);
    let cursor = '00000000-0000-0000-0000-000000000000';
    const seen: string[] = [];
    const reading = waitFor(
      async () => {
        for (const firing of await rig.firings.after(rig.userId, cursor, 100)) {
          seen.push(firing.alertId);
          cursor = firing.id;
        }
        return seen.length >= made.length;
      },
      { what: 'a reader that goes on from the last id to see every firing' },
    );
    await Promise.all(made.map(({ assetId }) => rig.tick(assetId ?? '', 120)));
    await reading;
    expect(new Set(seen).size).to.equal(made.length);
  });

  it('of one user become visible in the order of the ids of their firings', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const outbox = createWebhookQueries(rig.knex);
    const transitionQueries = createAlertTransitionQueries({
      knex: rig.knex,
      outbox: {
        enqueueIn: async (trx, delivery) => {
          if (delivery.url.endsWith('slow')) await held;
          return await outbox.enqueueIn(trx, delivery);
        },
      },
    });
    const visible: string[] = [];
    const fire = async (name: string): Promise<void> => {
      const alert = await rig.make({ state: 'armed', url: `https://example.com/${name}` });
      const quote = { asOf: null, receivedAt: Date.now(), source: 'simulated', state: 'fresh' } as const;
      const { id, userId, version } = alert;
      const describe = () => ({});
      await transitionQueries.transition([
        { id, userId, version, to: 'fired', value: '101', quote, describe },
      ]);
      const { firings } = await rig.firings.page({ userId, alertId: id, offset: 0, limit: 1 });
      visible.push(firings[0]?.id ?? '');
    };
    const slow = fire('slow');
    const isInTransaction = async (): Promise<boolean> => (await rig.waiting('idle in transaction')) > 0;
    await waitFor(isInTransaction, { what: 'the first to be under way' });
    const quick = fire('quick');
    const isLocked = async (): Promise<boolean> =>
      visible.length > 0 || (await rig.waiting('active', 'Lock')) > 0;
    await waitFor(isLocked, { what: 'the second to wait, or to be done' });
    release();
    await Promise.all([slow, quick]);
    expect(visible).to.deep.equal(visible.toSorted());
  });
});
