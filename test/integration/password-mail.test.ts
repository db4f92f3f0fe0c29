import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { expect } from 'chai';
import type { Redis } from 'ioredis';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { openDatabase } from '../../db/connection.ts';
import { createUserQueries, type UserQueries } from '../../src/features/accounts/queries/users.ts';
import { hashOfSecret, isSecret } from '../../src/features/accounts/secrets.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { createMailer } from '../../src/platform/mail/mailer.ts';
import { openQueues, type Queues } from '../../src/platform/queue/queues.ts';
import { closeRedis, openRedis } from '../../src/platform/redis/connections.ts';
import { createResetMail } from '../../src/features/accounts/account-service.ts';
import { loadConfig } from '../../src/platform/config/load-config.ts';
import { createShutdown } from '../../src/platform/observability/shutdown.ts';
import { createAccountsProcessors } from '../../workers/processors/accounts/module.ts';
import { createWorker, type RunningWorker } from '../../workers/runtime/create-worker.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';
import { startSmtp, type TestSmtp } from '../support/smtp.ts';
import { waitFor } from '../support/wait-for.ts';

const life = { revocationSeconds: 900 };
const prefix = uniquePrefix();
const log = silentLogger();
const by = { address: '192.0.2.7', requestId: 'r1' };

describe('the mail that resets a password', () => {
  let database: TestDatabase;
  let knex: Knex;
  let resets: UserQueries;
  let redis: Redis;
  let blocking: Redis;
  let queues: Queues;
  let smtp: TestSmtp;
  let mailer: ReturnType<typeof createMailer>;
  let worker: RunningWorker | undefined;
  const shutdown = createShutdown(log);
  let email: string;

  before(async () => {
    database = await createTestDatabase();
    knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 4 });
    resets = createUserQueries(knex, life);
    const { redisUrl: url } = await services();
    redis = openRedis({ url, role: 'command', name: 'test', log });
    blocking = openRedis({ url, role: 'blocking', name: 'test-mail', log });
    await waitFor(() => redis.status === 'ready', { what: 'Redis' });
    queues = openQueues({ redis, prefix, clock: systemClock, log });
    smtp = await startSmtp();
    mailer = createMailer({ url: smtp.url, from: 'Pricepool <no-reply@pricepool.example>' });
  });
  beforeEach(async () => {
    email = await newAccount();
    smtp.mails.length = 0;
  });
  afterEach(async () => {
    await worker?.close(1_000);
    worker = undefined;
  });
  after(async () => {
    mailer.close();
    await shutdown.run('the test is over');
    await smtp.close();
    await queues.close();
    await flushPrefix(redis, prefix);
    await Promise.all([closeRedis(redis), closeRedis(blocking)]);
    await knex.destroy();
    await database.drop();
  });

  async function newAccount(): Promise<string> {
    const id = uuidv7();
    const address = `ada-${id}@example.com`;
    await knex('users').insert({ id, username: `ada-${id}`, email: address, password_hash: 'old' });
    return address;
  }

  function startWorker(publicUrl?: string): void {
    const config = loadConfig({
      APP_ENV: 'test',
      SMTP_URL: smtp.url,
      MAIL_FROM: 'Pricepool <no-reply@pricepool.example>',
      ...(publicUrl === undefined ? {} : { PUBLIC_URL: publicUrl }),
    });
    const processors = createAccountsProcessors({ config, knex, shutdown }).processors.mail();
    if (processors === undefined) throw new Error('there is a mail server');
    worker = createWorker({ queue: 'mail', processors, redis: blocking, prefix, concurrency: 1, log });
  }

  const ask = (to: string): Promise<void> => createResetMail(queues)({ email: to, ...by });
  /** As a reader shows it: long lines are joined again. */
  const bodyOf = (raw: string): string =>
    raw.slice(raw.indexOf('\n\n')).replaceAll('=\n', '').replaceAll('=3D', '=');
  const oneMail = async (): Promise<string> => {
    const mail = await waitFor(() => smtp.mails[0], { what: 'a mail' });
    expect(mail.recipients).to.deep.equal([email]);
    expect(mail.from).to.equal('no-reply@pricepool.example');
    return mail.raw;
  };

  it('brings a token that is good for one reset, and says which call takes it', async () => {
    startWorker();
    await ask(email);
    const raw = await oneMail();
    expect(raw)
      .to.contain(`\nTo: ${email}\n`)
      .and.match(/\nContent-Type: text\/plain/);
    expect(bodyOf(raw)).to.contain('POST /api/v1/auth/password/reset');
    const token =
      bodyOf(raw)
        .split('\n')
        .find((line) => isSecret('reset', line)) ?? '';
    const redeemed = await resets.redeemReset({ hash: hashOfSecret(token), passwordHash: 'new', by });
    expect((await resets.find(redeemed?.userId ?? uuidv7()))?.email).to.equal(email);
    const event = (await knex('audit_events').where({ type: 'password.reset_requested' }).first()) as object;
    expect(event).to.include({ user_id: redeemed?.userId, address: by.address, request_id: by.requestId });
  });

  it('brings a link where the public address is known, with the token behind a #', async () => {
    startWorker('https://prices.example/app/');
    await ask(email);
    const found = /https:\/\/prices\.example\/app\/reset#(\S+)/.exec(bodyOf(await oneMail()));
    expect(await resets.isResetLive(hashOfSecret(found?.[1] ?? ''))).to.equal(true);
  });

  it('comes once for many requests in a minute, and to nobody without an account', async () => {
    await Promise.all([ask('nobody@example.com'), ask(email), ask(email), ask(email)]);
    startWorker();
    await oneMail();
    await waitFor(
      async () => (await queues.handle('mail').getJobCountByTypes('active', 'waiting', 'delayed')) === 0,
      {
        what: 'an empty queue',
      },
    );
    expect(smtp.mails).to.have.length(1);
  });

  it('comes later when the mail server refuses it for the moment', async () => {
    smtp.refuse(1);
    startWorker();
    await ask(email);
    await oneMail();
  });

  it('leaves no token in Redis', async () => {
    startWorker();
    await ask(email);
    await oneMail();
    const jobs = await queues.handle('mail').getJobs(['completed', 'failed', 'active', 'waiting']);
    expect(jobs.length).to.be.greaterThan(0);
    expect(JSON.stringify(jobs.map((job) => job.asJSON()))).not.to.contain('ppp_');
  });

  it('has one recipient and no headers of others, whatever address and subject are', async () => {
    const odd = [email, 'ada@example.com, eve@example.com', 'ada@example.com\r\nBcc: eve@example.com'];
    for (const to of odd) {
      await mailer.send({ to, subject: 'Hello\r\nX-Evil: 1', text: 'x' }).catch(() => undefined);
    }
    expect(smtp.mails[0]?.recipients).to.deep.equal([email]);
    expect(smtp.mails.flatMap(({ recipients }) => recipients)).not.to.include('eve@example.com');
    for (const { raw, recipients } of smtp.mails) {
      expect(recipients).to.have.length(1);
      expect(raw).not.to.match(/^(Bcc|X-Evil):/im);
    }
  });

  it('fails where no server answers', async () => {
    const nowhere = createMailer({ url: 'smtp://127.0.0.1:1', from: 'x@example.com' });
    const failed = await nowhere
      .send({ to: email, subject: 's', text: 't' })
      .catch((error: unknown) => error);
    nowhere.close();
    expect(failed).to.be.instanceOf(Error).and.include({ code: 'ESOCKET' });
  });
});
