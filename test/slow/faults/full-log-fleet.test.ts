/** The output of a fleet that cannot be written, under the real PM2: no process ends or waits because of it. */
import { expect } from 'chai';
import { freePort } from '../../../embedded/free-port.ts';
import { startMarket, type Market } from '../../../embedded/market/market.ts';
import { newUser } from '../../support/api-client.ts';
import { ensureBuild } from '../../support/build.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { startFleet, type Fleet } from '../../support/fleet.ts';
import { uniquePrefix } from '../../support/redis.ts';
import { services } from '../../support/services.ts';
import { waitFor } from '../../support/wait-for.ts';

describe('the output of a fleet that cannot be written', function () {
  this.timeout(300_000);
  let database: TestDatabase;
  let market: Market;
  let fleet: Fleet | undefined;
  let port: number;

  before(async () => {
    await ensureBuild();
    database = await createTestDatabase();
    market = await startMarket({ latencyMs: 20 });
  });
  afterEach(async () => {
    await fleet?.dispose();
    fleet = undefined;
  });
  after(async () => {
    await market.close();
    await database.drop();
  });

  async function start(outputFile?: string): Promise<Fleet> {
    port = await freePort();
    const environment = {
      APP_ENV: 'test',
      DATABASE_URL: database.url,
      REDIS_URL: (await services()).redisUrl,
      REDIS_KEY_PREFIX: uniquePrefix(),
      PROVIDER: 'simulated',
      COINGECKO_BASE_URL: market.url,
      UPSTREAM_CALLS_PER_MINUTE: '6000',
      JWT_SECRET: 'a secret of the tests, long enough to be taken',
      BCRYPT_COST: '4',
      RATE_LIMIT_USER: '1000000',
      RATE_LIMIT_ADDRESS: '1000000',
      LOG_LEVEL: 'info',
      PORT: String(port),
    };
    const started = await startFleet(environment, outputFile);
    fleet = started;
    const isOnline = async (): Promise<boolean> => {
      const processes = await started.list();
      return processes.length === 4 && processes.every(({ status }) => status === 'online');
    };
    await waitFor(isOnline, { what: 'four processes online', timeoutMs: 90_000 });
    return started;
  }

  /** Asks for more than a pipe or a sink takes, and expects every answer, a job, and the processes that there were. */
  async function expectToServe(running: Fleet): Promise<void> {
    const before = await running.list();
    const user = await newUser(`http://127.0.0.1:${port}`);
    for (let round = 0; round < 200; round += 1) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => user.call('GET', '/users/me')));
      expect(new Set(answers.map(({ status }) => status))).to.deep.equal(new Set([200]));
    }
    const { body } = await user.call('POST', '/crypto/bulk', { body: { coins: ['bitcoin'] } });
    expect((await user.jobEnd(body?.data.id)).state).to.equal('completed');
    expect(await running.list()).to.deep.equal(before);
  }

  it('on a full disk', async () => {
    const running = await start('/dev/full');
    await expectToServe(running);
    expect(await running.stop()).to.equal(0);
  });

  it('to a reader that has gone', async () => {
    const running = await start();
    running.neglectOutput('leave');
    await expectToServe(running);
    expect(await running.stop()).to.equal(0);
  });

  it('to a reader that does not read: it ends too', async () => {
    const running = await start();
    running.neglectOutput('pause');
    await expectToServe(running);
    // By itself or, where a write hangs, by SIGKILL.
    expect(await running.stop()).to.be.oneOf([0, null]);
  });
});
