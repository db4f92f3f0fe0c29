/** What a process stands on is there until the last of what uses it has ended. */
import { expect } from 'chai';
import { loadConfig } from '../../src/platform/config/load-config.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { createShutdown, shutdownPhases } from '../../src/platform/observability/shutdown.ts';
import { openPlatform, type Platform } from '../../src/platform/platform.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';
import { waitFor } from '../support/wait-for.ts';

describe('the end of a process', () => {
  let database: TestDatabase;

  before(async () => {
    database = await createTestDatabase();
  });
  after(() => database.drop());

  /** Whether Postgres, both kinds of connection to Redis, and the queues still take something. */
  async function alive({ knex, redis, subscriber, queues }: Platform): Promise<Record<string, boolean>> {
    const parts = {
      postgres: () => knex.raw('select 1'),
      redis: () => redis.ping(),
      subscriber: () =>
        subscriber.status === 'ready' ? Promise.resolve() : Promise.reject(new Error('closed')),
      queues: () => queues.counts('requests'),
    };
    const found = Object.entries(parts).map(async ([name, ask]) => {
      const [outcome] = await Promise.allSettled([ask()]);
      return [name, outcome.status === 'fulfilled'] as const;
    });
    return Object.fromEntries(await Promise.all(found));
  }

  it('closes Postgres and Redis after streams, queues and threads', async () => {
    const { redisUrl } = await services();
    const log = silentLogger();
    const shutdown = createShutdown(log);
    const config = loadConfig({
      APP_ENV: 'test',
      DATABASE_URL: database.url,
      REDIS_URL: redisUrl,
      REDIS_KEY_PREFIX: uniquePrefix(),
    });
    const pipeline = openPlatform({ config, log, shutdown });
    const { redis, subscriber } = pipeline;
    await waitFor(() => redis.status === 'ready' && subscriber.status === 'ready', { what: 'Redis' });
    const whole = { postgres: true, redis: true, subscriber: true, queues: true };
    expect(await alive(pipeline)).to.deep.equal(whole);
    const seen: Record<string, Record<string, boolean>> = {};
    for (const phase of shutdownPhases)
      if (phase !== 'clients')
        shutdown.add(phase, 'what uses the stores', async () => void (seen[phase] = await alive(pipeline)));
    await shutdown.run('test');
    for (const phase of ['announce', 'accept', 'work', 'streams'])
      expect(seen[phase], phase).to.deep.equal(whole);
    for (const phase of ['queues', 'threads'])
      expect(seen[phase], phase).to.include({ postgres: true, redis: true, subscriber: true });
    expect(await alive(pipeline)).to.include({ postgres: false, redis: false, subscriber: false });
  });
});
