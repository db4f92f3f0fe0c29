import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { extname, join } from 'node:path';
import { expect } from 'chai';
import { startMarket } from '../../../embedded/market/market.ts';
import { projectRoot } from '../../../embedded/project-root.ts';
import { connectMarket } from '../../../embedded/market/remote.ts';

// The tests run from the sources through tsx and, for coverage, from the compiled build.
const extension = extname(import.meta.url);
const execArgv = extension === '.ts' ? ['--import', 'tsx'] : [];
const mainFile = join(import.meta.dirname, `../../../embedded/market/main${extension}`);

describe('the rate limit of the market', () => {
  it('admits exactly the limit in 60 seconds, and the calls come back one by one as the window slides', async () => {
    const time = { at: Date.UTC(2026, 0, 1) };
    const market = await startMarket({ callsPerMinute: 3, clock: { now: () => time.at } });
    try {
      const call = async () => {
        const response = await fetch(`${market.url}/ping`);
        await response.text();
        return [response.status, response.headers.get('retry-after')];
      };
      const ok = [200, null];
      expect([await call(), await call()]).to.deep.equal([ok, ok]);
      time.at += 20_000;
      expect([await call(), await call()]).to.deep.equal([ok, [429, '40']]);
      time.at += 39_999;
      expect(await call()).to.deep.equal([429, '1']);
      time.at += 1;
      expect([await call(), await call(), await call()]).to.deep.equal([ok, ok, [429, '20']]);
      expect([market.callCount(), market.rejected(), market.worstSlidingMinute()]).to.deep.equal([8, 3, 6]);
      market.setCallsPerMinute(undefined);
      expect(await call()).to.deep.equal(ok);
      market.resetCalls();
      expect([market.callCount(), market.rejected(), market.worstSlidingMinute()]).to.deep.equal([0, 0, 0]);
    } finally {
      await market.close();
    }
  });

  it('counts calls at once against the limit before any is answered', async () => {
    const market = await startMarket({ callsPerMinute: 5, latencyMs: { min: 5, max: 25 } });
    try {
      const statuses = await Promise.all(
        Array.from({ length: 20 }, async () => (await fetch(`${market.url}/ping`)).status),
      );
      expect(statuses.filter((status) => status === 200)).to.have.length(5);
      expect(statuses.filter((status) => status === 429)).to.have.length(15);
      expect(market.calls().every(({ path, status }) => path === '/ping' && status !== 0)).to.equal(true);
    } finally {
      await market.close();
    }
  });
});

describe('the key of the market', () => {
  it('is accepted as header or parameter; none, a wrong one and one of the other plan are told apart', async () => {
    const market = await startMarket({ apiKey: { key: 'CG-right', plan: 'demo' } });
    try {
      const call = async (headers: Record<string, string>, query = '') => {
        const response = await fetch(`${market.url}/ping${query}`, { headers });
        const body = (await response.json()) as { status?: { error_code: number } };
        return [response.status, body.status?.error_code];
      };
      expect(await call({ 'x-cg-demo-api-key': 'CG-right' })).to.deep.equal([200, undefined]);
      expect(await call({}, '?x_cg_demo_api_key=CG-right')).to.deep.equal([200, undefined]);
      expect(await call({})).to.deep.equal([401, 10002]);
      expect(await call({ 'x-cg-demo-api-key': 'CG-wrong' })).to.deep.equal([401, 10002]);
      expect(await call({ 'x-cg-pro-api-key': 'CG-right' })).to.deep.equal([400, 10010]);
    } finally {
      await market.close();
    }
  });
});

interface Ready {
  url: string;
  port: number;
  source: string;
}

describe('the market as a process', function () {
  this.timeout(20_000);
  let child: ChildProcess | undefined;

  const launch = async (...args: string[]) => {
    child = fork(mainFile, args, { execArgv, cwd: projectRoot, silent: true });
    const [ready] = (await once(child, 'message')) as [Ready];
    return { child, ready };
  };
  afterEach(() => void child?.kill('SIGKILL'));

  it('listens below the ephemeral ports, is controlled from outside and ends on SIGTERM', async () => {
    const started = await launch('--limit', '3', '--seed', '5', '--made-up', '2');
    const { url, port } = started.ready;
    expect(port).to.be.within(15_000, 29_999);
    const remote = connectMarket(url);
    await remote.inject({ kind: 'rate-limited', retryAfterSeconds: 9 }, { path: '/ping' });
    const spoilt = await fetch(`${url}/ping`);
    expect([spoilt.status, spoilt.headers.get('retry-after')]).to.deep.equal([429, '9']);
    await remote.inject('server-error', { count: Infinity });
    expect((await fetch(`${url}/ping`)).status).to.equal(500);
    await remote.clearFaults();
    const prices = await fetch(`${url}/simple/price?ids=sim-00001,sim-00002,sim-00003&vs_currencies=usd`);
    expect(await prices.json()).to.have.all.keys('sim-00001', 'sim-00002');
    expect((await fetch(`${url}/ping`)).status).to.equal(429);
    const report = await remote.calls();
    expect(report).to.include({ total: 4, rejected: 1, worstSlidingMinute: 4 });
    expect(report.calls.map(({ path, ids, status }) => [path, ids, status])).to.deep.equal([
      ['/ping', 0, 429],
      ['/ping', 0, 500],
      ['/simple/price', 3, 200],
      ['/ping', 0, 429],
    ]);
    await remote.setCallsPerMinute(undefined);
    await remote.setLatency({ min: 0, max: 1 });
    expect((await fetch(`${url}/ping`)).status).to.equal(200);
    await remote.resetCalls();
    expect(await remote.calls()).to.deep.equal({ total: 0, rejected: 0, worstSlidingMinute: 0, calls: [] });
    started.child.kill('SIGTERM');
    expect((await once(started.child, 'exit'))[0]).to.equal(0);
  });

  it('refuses control calls it does not understand', async () => {
    const { ready } = await launch();
    const remote = connectMarket(ready.url);
    const reason = (call: Promise<unknown>) =>
      call.then(String, (error: unknown) => (error as Error).message);
    expect(await reason(remote.inject('no-such-fault' as 'hang'))).to.match(/400.*fault/s);
    expect(await reason(remote.setLatency(-1))).to.match(/400.*latencyMs/s);
    expect((await fetch(new URL('/__market/nope', ready.url))).status).to.equal(404);
  });

  it('replays a folder, and ends when its parent goes away', async () => {
    const { child: replaying, ready } = await launch(
      ...['--replay', join(projectRoot, 'test/fixtures/history'), '--speed', '1', '--from', '2021-03-03'],
    );
    expect(ready.source).to.equal('replay');
    const body = await (await fetch(`${ready.url}/simple/price?ids=ethereum&vs_currencies=usd`)).json();
    expect(body).to.deep.equal({ ethereum: { usd: 1490.125 } });
    replaying.disconnect();
    expect((await once(replaying, 'exit'))[0]).to.equal(0);
  });

  it('says what is wrong with an option or a port and ends with 1', async () => {
    const taken = await startMarket();
    const fail = async (...args: string[]) => {
      const failing = fork(mainFile, args, { execArgv, cwd: projectRoot, silent: true });
      child = failing;
      let text = '';
      failing.stderr?.on('data', (chunk: Buffer) => (text += chunk.toString()));
      const [code] = (await once(failing, 'close')) as [number];
      return `${code} ${text}`;
    };
    try {
      expect(await fail('--limit', 'many')).to.match(/^1 market: --limit must be a whole number/);
      expect(await fail('--port', String(taken.port))).to.match(/^1 market: .*EADDRINUSE/);
      expect(await fail('--replay', join(projectRoot, 'src'))).to.match(/^1 market: no CoinGecko export/);
    } finally {
      await taken.close();
    }
  });
});
