import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { freePort } from '../../embedded/free-port.ts';
import { processesWith, startEmbeddedRun, type EmbeddedRun } from '../support/embedded-run.ts';
import { waitFor } from '../support/wait-for.ts';

describe('npm start with nothing configured', function () {
  this.timeout(120_000);
  let dataDir: string;
  const runs: EmbeddedRun[] = [];

  async function start(spec: { port?: number; env?: NodeJS.ProcessEnv } = {}): Promise<EmbeddedRun> {
    const run = await startEmbeddedRun({ dataDir, ...spec });
    runs.push(run);
    return run;
  }

  async function startReady(env: NodeJS.ProcessEnv = {}): Promise<EmbeddedRun> {
    const run = await start({ env });
    await run.ready();
    return run;
  }

  const nothingRuns = (): Promise<boolean> =>
    waitFor(() => processesWith(dataDir).length === 0, { what: 'the end of every process of the run' });

  async function postgresPid(): Promise<number> {
    return Number.parseInt(await readFile(join(dataDir, 'postgres/cluster/postmaster.pid'), 'utf8'), 10);
  }

  async function redisPid(): Promise<number> {
    return Number(await readFile(join(dataDir, 'redis/pid'), 'utf8'));
  }

  beforeEach(async () => {
    const parent = await mkdtemp(join(tmpdir(), 'pricepool-up-'));
    // Open to the user that Postgres runs as; the closed case has a test of its own.
    await mkdir((dataDir = `${parent}-open`));
    await rm(parent, { recursive: true });
  });

  afterEach(async () => {
    await Promise.all(runs.splice(0).map((run) => run.end('SIGTERM')));
    await nothingRuns();
    await rm(dataDir, { recursive: true, force: true });
  });

  it('brings up everything, says that prices are simulated, keeps its data, and leaves nothing behind', async () => {
    const first = await startReady();
    expect(first.output()).to.match(/SIMULATED/);
    expect(first.output()).to.include(`http://127.0.0.1:${first.port}`);
    expect(first.output()).to.match(/DATABASE_URL=.*\n.*REDIS_URL=.*\n.*PROVIDER=coingecko/);
    expect(await first.get('/count')).to.deep.equal({ postgres: 1, redis: 1, market: 200 });
    expect(await first.end('SIGTERM')).to.deep.equal({ code: 0, signal: null });
    expect(processesWith(dataDir)).to.deep.equal([]);

    const second = await startReady();
    expect(await second.get('/count')).to.deep.equal({ postgres: 2, redis: 2, market: 200 });
    expect(await second.end('SIGINT')).to.deep.equal({ code: 0, signal: null });
    expect(processesWith(dataDir)).to.deep.equal([]);
  });

  it('refuses a second start on the same data and says who runs and where', async () => {
    const first = await startReady();
    const second = await start();
    expect(await second.exited).to.deep.equal({ code: 1, signal: null });
    expect(second.output()).to.include(`already runs on ${dataDir} (pid ${first.child.pid ?? 0}`);
    expect(second.output()).to.include(`http://127.0.0.1:${first.port}`);
    expect(await first.get('/health/ready')).to.have.property('pid');
  });

  it('names a busy port and a way out before it starts anything', async () => {
    const port = await freePort();
    const next = port + 1;
    const other = createServer().listen(port, '127.0.0.1');
    const run = await start({ port, env: { MARKET_PORT: String(next) } });
    expect(await run.exited).to.deep.equal({ code: 1, signal: null });
    other.close();
    expect(run.output())
      .to.match(new RegExp(`Port ${port} is taken.*PORT=\\d+ npm start`))
      .and.not.include(`PORT=${next} `);
    expect(existsSync(join(dataDir, 'postgres'))).to.equal(false);
    expect(existsSync(join(dataDir, 'redis'))).to.equal(false);
  });

  it('starts a killed Redis, Postgres, API and worker again', async () => {
    const run = await startReady();
    await run.get('/count');
    const { pid } = await run.get('/health/ready');
    process.kill(await redisPid(), 'SIGKILL');
    process.kill(await postgresPid(), 'SIGKILL');
    process.kill(Number(pid), 'SIGKILL');
    const names = ['Redis', 'Postgres', 'The API'];
    await waitFor(() => names.every((name) => run.output().includes(`${name} is back`)), {
      what: 'all three to be back',
    });
    // Redis may have lost what it had not flushed yet (a second at most); Postgres nothing that it had confirmed.
    const count = await waitFor(() => run.get('/count'), { what: 'the API to count again' });
    expect(count).to.have.property('postgres').that.is.greaterThan(1);
  });

  it('ends with a clear message when the API dies again and again', async () => {
    const run = await start({ env: { STAND_IN: 'crash' } });
    expect(await run.exited).to.deep.equal({ code: 1, signal: null });
    expect(run.output()).to.match(/The API ended 6 times within a minute/);
    expect(processesWith(dataDir)).to.deep.equal([]);
  });

  it('leaves nothing behind when it is killed, and starts again with its data', async () => {
    const first = await startReady();
    await first.get('/count');
    await first.end('SIGKILL');
    await nothingRuns();
    const second = await startReady();
    expect(await second.get('/count')).to.deep.include({ postgres: 2, market: 200 });
  });

  it('starts at once after a kill, while what was left behind is still ending', async () => {
    const first = await startReady();
    await first.get('/count');
    await first.end('SIGKILL');
    const second = await startReady();
    expect(await second.get('/count')).to.deep.include({ postgres: 2, market: 200 });
  });

  it('heals a data folder whose first start was interrupted', async () => {
    await mkdir(join(dataDir, 'postgres/cluster.4711/base'), { recursive: true });
    await mkdir(join(dataDir, 'postgres/cluster/global'), { recursive: true });
    await writeFile(join(dataDir, 'postgres/password'), 'kept-from-the-interrupted-start\n', { mode: 0o600 });
    await writeFile(join(dataDir, 'up.lock'), '{"pid":');
    const run = await startReady();
    expect(await run.get('/count')).to.deep.equal({ postgres: 1, redis: 1, market: 200 });
    expect(existsSync(join(dataDir, 'postgres/cluster.4711'))).to.equal(false);
  });

  it('starts nothing embedded in production', async () => {
    const run = await start({
      env: {
        APP_ENV: 'production',
        DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
        REDIS_URL: 'redis://127.0.0.1:1',
        JWT_SECRET: 'a-secret-of-at-least-thirty-two-characters',
        PROVIDER: 'simulated',
      },
    });
    expect(await run.exited).to.deep.equal({ code: 1, signal: null });
    expect(run.output()).to.match(
      /With APP_ENV=production no embedded services are started.*PROVIDER=coingecko/,
    );
  });

  it('says in one line that a folder to replay or a Postgres is not there, and tells no password', async () => {
    const replay = await start({ env: { PROVIDER: 'replay', REPLAY_DIR: '/nowhere/at/all' } });
    const database = await start({
      env: { DATABASE_URL: 'postgres://me:hunter2@127.0.0.1:1/none', PRICEPOOL_DATA_DIR: `${dataDir}/other` },
    });
    expect(await replay.exited).to.deep.equal({ code: 1, signal: null });
    expect(replay.output()).to.match(/^REPLAY_DIR must be .*\/nowhere\/at\/all does not exist\n$/);
    expect(await database.exited).to.deep.equal({ code: 1, signal: null });
    expect(database.output()).to.match(/Postgres at 127\.0\.0\.1:1\/none cannot be used: .*ECONNREFUSED/);
    expect(database.output()).to.not.match(/hunter2|^ +at /m);
  });

  it('names every wrong setting at once', async () => {
    const run = await start({ env: { PORT: 'eighty', LOG_LEVEL: 'loud' } });
    expect(await run.exited).to.deep.equal({ code: 1, signal: null });
    expect(run.output())
      .to.match(/PORT must/)
      .and.to.match(/LOG_LEVEL must/);
  });
});
