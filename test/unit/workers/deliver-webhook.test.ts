/** One attempt to deliver a webhook: whose turn it is, what is counted and logged of it, and what follows. */
import { expect } from 'chai';
import type { Attempted } from '../../../src/features/webhooks/verdict.ts';
import type { WebhookService } from '../../../src/features/webhooks/webhook-service.ts';
import {
  createWebhookDeliver,
  type DeliverDeps,
} from '../../../workers/processors/webhooks/deliver-webhook.ts';
import {
  createWebhooksCheck,
  createWebhooksProcessors,
} from '../../../workers/processors/webhooks/module.ts';
import { Requeue } from '../../../workers/runtime/requeue.ts';
import { jobRecord } from '../../http/support/ports.ts';
import { jobContext } from '../../support/job-context.ts';
import { recordingLogger, type LoggedLine } from '../../support/recording-logger.ts';

const id = '01934c2a-0000-7000-8000-0000000000d1';

describe('an attempt of a worker', () => {
  let calls: unknown[][];
  let lines: LoggedLine[];
  let deps: DeliverDeps;
  /** What the receiver answers. */
  let answer: () => Promise<Attempted>;
  let claimed: Record<string, unknown> | undefined;
  let waiting: { userId: string; url: string } | undefined;

  beforeEach(() => {
    calls = [];
    const logger = recordingLogger();
    lines = logger.lines;
    answer = () => Promise.resolve({ status: 204 });
    waiting = { userId: 'joe', url: 'https://hooks.example.com:8443/in?token=secret' };
    claimed = { id, ...waiting, type: 'x.y', body: '{"a":1}', attempt: 2, isOrphan: false };
    const call =
      <T>(name: string, result: () => T) =>
      (...given: unknown[]): Promise<T> => {
        calls.push([name, ...given]);
        return Promise.resolve(result());
      };
    deps = {
      webhooks: {
        deliveries: {
          waiting: call('waiting', () => waiting),
          claim: call('claim', () => claimed),
          settle: call('settle', () => true),
          giveBack: call('giveBack', () => undefined),
        } as unknown as WebhookService['deliveries'],
        queueAttempt: call('queue', () => true),
        signer: {
          headersOf: ({ timestamp, body }: { timestamp: number; body: string }) => ({
            signed: `${timestamp} ${body}`,
          }),
        } as unknown as WebhookService['signer'],
      },
      findJob: call('findJob', () => undefined),
      send: (request) => {
        calls.push(['send', request]);
        return answer();
      },
      slots: {
        enter: (...given) => {
          calls.push(['enter', ...given]);
          return { leave: (tookMs) => void calls.push(['leave', tookMs === undefined ? 'unused' : 'used']) };
        },
      },
      rules: { pausesMs: [10, 20], random: () => 0 },
      clock: { now: () => 1_700_000_000_999 },
      log: logger.log,
      count: (outcome) => void calls.push(['count', outcome]),
    };
  });

  const attempt = (context: Partial<ReturnType<typeof jobContext>> = {}): Promise<unknown> =>
    createWebhookDeliver(deps)({ deliveryId: id }, { ...jobContext(), ...context }).catch(
      (error: unknown) => error,
    );
  const named = (name: string): unknown[][] => calls.filter(([each]) => each === name);

  it('is signed for its second, counted, and leaves its turn with how long it took', async () => {
    expect(await attempt()).to.equal(null);
    const [[, sent] = []] = named('send') as [string, { headers: object; body: string }][];
    expect(sent?.headers).to.include({
      signed: '1700000000 {"a":1}',
      'content-type': 'application/json',
      'user-agent': 'Pricepool-Webhooks/1',
    });
    expect(calls.map(([name]) => name)).to.deep.equal([
      'waiting',
      'enter',
      'claim',
      'send',
      'settle',
      'count',
      'leave',
    ]);
    expect(named('settle')).to.deep.equal([
      ['settle', { id, attempt: 2, status: 204, error: null, next: 'delivered' }],
    ]);
    expect([named('count'), named('leave')]).to.deep.equal([[['count', 'delivered']], [['leave', 'used']]]);
    expect(lines).to.deep.equal([]);
  });

  it('that failed is followed by the next one, after its pause', async () => {
    answer = () => Promise.resolve({ status: 500, error: 'The receiver answered 500' });
    await attempt();
    expect(named('count')).to.deep.equal([['count', 'failed']]);
    expect(named('queue')).to.deep.equal([['queue', { id, attempts: 2 }, 20]]);
    expect(lines.map(({ level }) => level)).to.deep.equal(['debug']);
  });

  it('that was the last is counted and logged, without the secrets of the URL', async () => {
    claimed = { ...claimed, attempt: 3 };
    answer = () => Promise.resolve({ status: 500, error: 'The receiver answered 500' });
    await attempt();
    expect([named('count'), named('queue')]).to.deep.equal([[['count', 'dead']], []]);
    expect(lines).to.deep.equal([
      {
        level: 'warn',
        fields: {
          delivery: id,
          user: 'joe',
          attempt: 3,
          host: 'hooks.example.com:8443',
          error: 'The receiver answered 500',
        },
        message:
          'a webhook could not be delivered and is not retried; see `error` for what the receiver answered',
      },
    ]);
  });

  it('comes back later where its host or its user has no turn, and claims nothing', async () => {
    deps = {
      ...deps,
      slots: {
        enter: (...given) => {
          calls.push(['enter', ...given]);
          return { retryAfterMs: 700 };
        },
      },
    };
    for (const start of [1, 2]) {
      const outcome = await attempt({ start });
      expect(outcome).to.be.instanceOf(Requeue).that.includes({ delayMs: 700 });
    }
    const owners = { host: 'hooks.example.com:8443', user: 'joe' };
    expect(named('enter')).to.deep.equal([
      ['enter', owners, false],
      ['enter', owners, true],
    ]);
    expect(named('claim')).to.deep.equal([]);
  });

  it('leaves its turn though nothing was to be attempted, or Postgres was away', async () => {
    claimed = undefined;
    await attempt();
    const away = new Error('Postgres is away');
    const { deliveries } = deps.webhooks;
    deps = {
      ...deps,
      webhooks: { ...deps.webhooks, deliveries: { ...deliveries, claim: () => Promise.reject(away) } },
    };
    expect(await attempt()).to.equal(away);
    expect(named('leave')).to.deep.equal([
      ['leave', 'unused'],
      ['leave', 'unused'],
    ]);
    expect(named('send')).to.deep.equal([]);
  });

  it('takes no turn for what waits no more', async () => {
    waiting = undefined;
    expect(await attempt()).to.equal(null);
    expect(calls).to.deep.equal([['waiting', id]]);
  });

  it('is given back, and not counted, when its process ends', async () => {
    const ending = new AbortController();
    answer = () => {
      ending.abort();
      return Promise.reject(new Error('ending'));
    };
    expect(await attempt({ callSignal: ending.signal })).to.be.instanceOf(Requeue);
    expect(named('giveBack')).to.have.length(1);
    expect([named('settle'), named('count')]).to.deep.equal([[], []]);
  });

  it('is given back by a fault of ours, which is logged', async () => {
    const fault = new TypeError('a bug');
    answer = () => Promise.reject(fault);
    expect(await attempt()).to.equal(fault);
    expect(named('giveBack')).to.have.length(1);
    expect(lines[0]).to.deep.include({ level: 'warn', fields: { delivery: id, reason: 'a bug' } });
  });

  it('of a deleted account, or about a job that is gone, is not made and is the last', async () => {
    const mine = claimed;
    claimed = { ...mine, isOrphan: true };
    await attempt();
    claimed = { ...mine, body: null };
    await attempt();
    expect(named('send')).to.deep.equal([]);
    expect(named('settle').map(([, settled]) => settled)).to.deep.equal(
      ['The account was deleted', 'The job is no longer stored'].map((error) => ({
        id,
        attempt: 2,
        status: null,
        error,
        next: 'dead',
      })),
    );
  });

  it('about a job tells when it ended, the same at every attempt', async () => {
    claimed = { ...claimed, body: null };
    const finishedAt = new Date('2026-01-02T03:04:05Z');
    const job = jobRecord({ id, state: 'failed', finishedAt, error: { code: 'x', message: 'y' } });
    deps = { ...deps, findJob: () => Promise.resolve(job) };
    for (let n = 0; n < 2; n++) await attempt();
    const bodies = named('send').map(([, sent]) => (sent as { body: string }).body);
    expect(bodies[0]).to.equal(bodies[1]);
    expect(JSON.parse(bodies[0] ?? '')).to.deep.include({
      type: 'job.failed',
      timestamp: finishedAt.toISOString(),
    });
  });
});

describe('the check for webhooks that are due', () => {
  const pageSize = 200;

  /** A check over so many due deliveries. */
  function over(count: number) {
    const all = Array.from({ length: count }, (_, n) => ({ id: `d${n}`, attempts: n % 3 }));
    const [queued, begins]: [string[], (string | undefined)[]] = [[], []];
    const check = createWebhooksCheck({
      deliveries: {
        due: ({ limit, after }: { limit: number; after?: string | undefined }) => {
          begins.push(after);
          const from = Number(after ?? 0);
          const due = all.slice(from, from + limit);
          return Promise.resolve({ due, next: due.length === 0 ? undefined : String(from + due.length) });
        },
      } as unknown as WebhookService['deliveries'],
      queueAttempt: ({ id: each, attempts }) => {
        queued.push(`${each}/${attempts}`);
        return Promise.resolve(true);
      },
    });
    return { check, queued, begins };
  }

  it('looks at a thousand at a time, goes on behind them, and begins again at the end', async () => {
    const { check, queued, begins } = over(5 * pageSize + 7);
    expect([await check(), await check(), await check()]).to.deep.equal([1_000, 7, 1_000]);
    expect(begins.slice(0, 7)).to.deep.equal([undefined, '200', '400', '600', '800', '1000', undefined]);
    expect(queued.slice(0, 4)).to.deep.equal(['d0/0', 'd1/1', 'd2/2', 'd3/0']);
  });
});

describe('the worker of webhooks', () => {
  function open(secrets: object) {
    const { log, lines } = recordingLogger();
    const counted: unknown[][] = [];
    const platform = {
      config: { WEBHOOK_SECRET: undefined, JWT_SECRET: undefined, WEBHOOK_RETENTION: 77, ...secrets },
      clock: { now: () => 0 },
      keys: { webhookAttempts: 'attempts' },
      log,
      redis: { hincrby: (...given: unknown[]) => Promise.reject(new Error(`away ${counted.push(given)}`)) },
    };
    const waiting = { userId: 'joe', url: 'https://10.0.0.1/' };
    const webhooks = {
      guard: { allows: () => false },
      targets: { problemOf: () => undefined },
      signer: { headersOf: () => ({}) },
      deliveries: {
        purge: (seconds: number) => Promise.resolve(seconds),
        waiting: () => Promise.resolve(waiting),
        claim: () => Promise.resolve({ ...waiting, id, attempt: 1, body: '{}', isOrphan: false }),
        settle: () => Promise.resolve(true),
      },
    };
    const module = createWebhooksProcessors(
      platform as never,
      {
        webhooks,
        findJob: () => Promise.resolve(undefined),
      } as never,
    );
    return { module, lines, counted };
  }

  it('warns where nothing secret signs', () => {
    const bare = open({});
    bare.module.processors.webhooks();
    expect(bare.lines.map(({ level }) => level)).to.deep.equal(['warn']);
    for (const secrets of [{ WEBHOOK_SECRET: 'x' }, { JWT_SECRET: 'x' }]) {
      const { module, lines } = open(secrets);
      module.processors.webhooks();
      expect(lines).to.deep.equal([]);
    }
  });

  it('counts attempts of the fleet in Redis, and is not stopped by a Redis that is away', async () => {
    const { module, counted } = open({ JWT_SECRET: 'x' });
    await module.processors.webhooks()['webhook.deliver']({ deliveryId: id }, jobContext());
    expect(counted).to.deep.equal([['attempts', 'dead', 1]]);
  });

  it('deletes those that ended longer ago than the operator says', async () => {
    expect(await open({}).module.retentions['deliveries.purge'].deliveries()).to.equal(77);
  });
});
