import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { freePort } from '../../embedded/free-port.ts';
import { isAlive } from '../../embedded/stale-process.ts';
import { startMarket, type Market } from '../../embedded/market/market.ts';
import { projectRoot } from '../../embedded/project-root.ts';
import { newUser, type ApiClient } from '../support/api-client.ts';
import { ensureBuild } from '../support/build.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startFleet, type Fleet } from '../support/fleet.ts';
import { uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';
import { waitFor } from '../support/wait-for.ts';

/** The build, under the real PM2: everything that `npm run fleet` does. */
describe('the fleet', () => {
  let database: TestDatabase;
  let market: Market;
  let fleet: Fleet;
  let environment: Readonly<Record<string, string>>;
  let user: ApiClient;

  before(async function () {
    this.timeout(180_000);
    await ensureBuild();
    database = await createTestDatabase();
    market = await startMarket({ latencyMs: 20, madeUpAssets: 20_000 });
    const port = await freePort();
    environment = {
      APP_ENV: 'test',
      DATABASE_URL: database.url,
      REDIS_URL: (await services()).redisUrl,
      REDIS_KEY_PREFIX: uniquePrefix(),
      PROVIDER: 'simulated',
      COINGECKO_BASE_URL: market.url,
      UPSTREAM_CALLS_PER_MINUTE: '6000',
      JWT_SECRET: 'a secret of the tests, long enough to be taken',
      BCRYPT_COST: '4',
      LOG_LEVEL: 'info',
      PORT: String(port),
    };
    // Migrated from source, and now looked at by the build: the two must mean the same migrations.
    expect(await prepare(environment)).to.equal('The schema is up to date\n');
    fleet = await startFleet(environment);
    await allOnline();
    user = await newUser(`http://127.0.0.1:${port}`);
  });

  after(async function () {
    this.timeout(120_000);
    await fleet.dispose();
    await market.close();
    await database.drop();
  });

  async function allOnline(): Promise<void> {
    const isReady = async (): Promise<boolean> => {
      const processes = await fleet.list();
      return processes.length === 4 && processes.every(({ status }) => status === 'online');
    };
    await waitFor(isReady, { what: 'four processes online', timeoutMs: 60_000 }).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}\n${fleet.output()}`);
    });
  }

  it('is two API processes that share a port, and two workers', async () => {
    const processes = await fleet.list();
    const kinds = processes.map(({ name, mode }) => `${name} ${mode}`);
    expect(kinds).to.have.members([
      'api cluster_mode',
      'api cluster_mode',
      'worker fork_mode',
      'worker fork_mode',
    ]);
    expect(processes.map(({ restarts }) => restarts)).to.deep.equal([0, 0, 0, 0]);
  });

  it('is renewed under load without a failed request or a lost job', async function () {
    this.timeout(150_000);
    const before = (await fleet.list()).map(({ pid }) => pid);
    const load = startLoad(user);
    await waitFor(() => load.accepted.length >= 50, { what: 'the load to run' });
    await fleet.reload();
    await allOnline();
    const untilNow = load.accepted.length;
    await waitFor(() => load.accepted.length >= untilNow + 50, { what: 'load after the reload' });
    await load.stop();

    const after = (await fleet.list()).map(({ pid }) => pid);
    expect(before.filter((pid) => after.includes(pid))).to.deep.equal([]);
    expect(load.failures).to.deep.equal([]);
    for (const id of load.accepted) expect((await user.jobEnd(id, 60_000)).state, id).to.equal('completed');
  });

  it('ends with nothing left behind', async function () {
    this.timeout(120_000);
    await fleet.list();
    expect(fleet.pids.size).to.be.at.least(8);
    expect(await fleet.stop()).to.equal(0);
    expect([...fleet.pids].filter(isAlive)).to.deep.equal([]);
    expect(await fleet.staleProcesses()).to.deep.equal([]);
    expect(fleet.output()).to.not.match(/SIGKILL|"level":60|unstable/);
  });

  it('says what is missing when it is not configured', async () => {
    const unset = { DATABASE_URL: '', REDIS_URL: '', JWT_SECRET: '', PROVIDER: '', COINGECKO_BASE_URL: '' };
    const error = await prepare({ ...environment, ...unset }).catch((failure: unknown) => failure);
    const { code, stderr } = error as { code: number; stderr: string };
    expect(code).to.equal(1);
    for (const name of ['DATABASE_URL', 'REDIS_URL', 'JWT_SECRET', 'PROVIDER'])
      expect(stderr).to.include(name);
    expect(stderr).to.not.include('    at ');
  });
});

/** What `npm run fleet` does before it starts PM2; gives its output. */
async function prepare(settings: Readonly<Record<string, string>>): Promise<string> {
  const script = join(projectRoot, 'dist/embedded/prepare-fleet.js');
  const options = { env: { ...process.env, ...settings }, timeout: 30_000 };
  return (await promisify(execFile)(process.execPath, [script], options)).stdout;
}

interface Load {
  /** Ids of the jobs that were answered 202. */
  readonly accepted: string[];
  readonly failures: string[];
  stop(): Promise<void>;
}

const clients = 4;

/** Submits jobs for ever new coins and reads one that is cached, as fast as the answers come. */
function startLoad(user: ApiClient): Load {
  const accepted: string[] = [];
  const failures: string[] = [];
  let next = 0;
  let stopped = false;
  const submit = async (): Promise<void> => {
    const coin = `sim-${String((next++ % 20_000) + 1).padStart(5, '0')}`;
    const answer = await user.call('POST', '/crypto/bulk', { body: { coins: [coin] } });
    if (answer.status === 202) accepted.push(answer.body?.data.id as string);
    else failures.push(`POST ${answer.status} ${JSON.stringify(answer.body)}`);
    const read = await user.call('GET', `/jobs/${accepted.at(-1)}`);
    if (read.status !== 200) failures.push(`GET ${read.status} ${JSON.stringify(read.body)}`);
  };
  const client = async (): Promise<void> => {
    while (!stopped) {
      await submit().catch((error: unknown) => failures.push(String((error as Error).cause ?? error)));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const running = Array.from({ length: clients }, client);
  return {
    accepted,
    failures,
    async stop() {
      stopped = true;
      await Promise.all(running);
    },
  };
}
