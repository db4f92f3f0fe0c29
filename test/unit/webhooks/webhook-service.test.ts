/** Which URLs a deployment takes, and how attempts are queued. */
import { expect } from 'chai';
import type { Knex } from 'knex';
import { loadConfig } from '../../../src/platform/config/load-config.ts';
import type { Queues } from '../../../src/platform/queue/queues.ts';
import { createWebhookService, type WebhookService } from '../../../src/features/webhooks/webhook-service.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

describe('the service of webhooks', () => {
  let added: unknown[][];
  /** Deliveries whose jobs Redis does not take. */
  let refused: (id: string) => boolean;

  beforeEach(() => {
    added = [];
    refused = () => false;
  });

  function service(different: Record<string, unknown> = {}): WebhookService {
    const queues = {
      add: (...job: [string, { deliveryId: string }, object]) => {
        added.push(job);
        return refused(job[1].deliveryId) ? Promise.reject(new Error('Redis is away')) : Promise.resolve();
      },
    } as unknown as Queues;
    const { log } = recordingLogger();
    const config = { ...loadConfig({}), ...different };
    return createWebhookService({ config, knex: (() => undefined) as unknown as Knex, queues, log });
  }
  const takesHttp = (different: Record<string, unknown>): boolean =>
    service(different).targets.problemOf('http://hooks.example.com/') === undefined;

  it('takes receivers without encryption outside of production, or where the operator says so', () => {
    expect(takesHttp({ APP_ENV: 'development' })).to.equal(true);
    expect(takesHttp({ APP_ENV: 'production' })).to.equal(false);
    expect(takesHttp({ APP_ENV: 'production', WEBHOOK_HTTP: 'on' })).to.equal(true);
    expect(takesHttp({ APP_ENV: 'development', WEBHOOK_HTTP: 'off' })).to.equal(false);
  });

  it('lets attempts go to the networks that the operator names, and to no others', () => {
    const { guard, targets } = service({ WEBHOOK_ALLOWED_NETWORKS: ['10.0.0.0/8'] });
    expect([guard.allows('10.1.2.3'), guard.allows('192.168.0.1')]).to.deep.equal([true, false]);
    expect(targets.problemOf('https://10.1.2.3/')).to.equal(undefined);
    expect(targets.problemOf('https://192.168.0.1/')).to.be.a('string');
  });

  it('queues each attempt once, and beside the one before it', async () => {
    const { queueAttempt } = service();
    expect(await queueAttempt({ id: 'a', attempts: 0 })).to.equal(true);
    expect(await queueAttempt({ id: 'a', attempts: 3 }, 5_000)).to.equal(true);
    expect(added).to.deep.equal([
      ['webhook.deliver', { deliveryId: 'a' }, { deduplication: { id: 'webhook-a-0' }, delay: 0 }],
      ['webhook.deliver', { deliveryId: 'a' }, { deduplication: { id: 'webhook-a-3' }, delay: 5_000 }],
    ]);
    refused = () => true;
    expect(await queueAttempt({ id: 'a', attempts: 4 })).to.equal(false);
  });

  it('queues all attempts of many, and does not wait for each in vain while Redis is away', async () => {
    const ids = Array.from({ length: 120 }, (_, n) => `d${n}`);
    await service().enqueueAttempts(ids);
    expect(added).to.have.length(120);
    added = [];
    refused = (id) => id !== 'd49';
    await service().enqueueAttempts(ids);
    expect(added, 'one of the first fifty was taken').to.have.length(100);
    added = [];
    refused = () => true;
    await service().enqueueAttempts(ids);
    expect(added).to.have.length(50);
  });
});
