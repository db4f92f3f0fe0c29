import { createServer, request as forward } from 'node:http';
import { expect } from 'chai';
import { listenLocally } from '../../../embedded/market/market.ts';
import { newUser, type ApiClient } from '../../support/api-client.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

/**
 * The budget over a fleet under pressure: three worker processes with far more to fetch than is allowed, one of them killed
 * while it calls, and more demand at the moment in which the first calls leave the window.
 */
const limit = 60;
const windowMs = 60_000;
/** Assets of one job, and of one upstream call. */
const batch = 250;

describe('the budget of a fleet', () => {
  let stack: Stack;
  let user: ApiClient;
  const meters: Meter[] = [];

  before(async function () {
    this.timeout(120_000);
    stack = await startStack({
      apis: 1,
      workers: 0,
      market: { latencyMs: 1_500, madeUpAssets: 20_000, callsPerMinute: limit },
      environment: { UPSTREAM_CALLS_PER_MINUTE: String(limit) },
    });
    user = await newUser(stack.apis[0]!.url);
    for (let worker = 0; worker < 3; worker++) {
      const meter = await startMeter(stack.market.url);
      meters.push(meter);
      await stack.startWorker({ COINGECKO_BASE_URL: meter.url });
    }
  });
  after(async function () {
    this.timeout(120_000);
    await stack.stop();
    await Promise.all(meters.map((meter) => meter.close()));
  });

  /** Jobs of which each needs a call of its own. */
  async function submitJobs(currency: string, count: number): Promise<void> {
    const answers = await Promise.all(
      Array.from({ length: count }, (_, job) => {
        const coins = Array.from({ length: batch }, (__, index) => coinAt(job * batch + index));
        return user.call('POST', '/crypto/bulk', { body: { coins, currency } });
      }),
    );
    expect(new Set(answers.map(({ status }) => status))).to.deep.equal(new Set([202]));
  }

  it('is never exceeded in any 60 s, nor left unused', async function () {
    this.timeout(120_000);
    const { market } = stack;
    await Promise.all([submitJobs('usd', 80), submitJobs('eur', 80), submitJobs('gbp', 40)]);
    await waitFor(() => market.callCount() > 0, { what: 'the first call' });
    const firstAt = market.calls()[0]!.at;

    const victim = meters[0]!;
    await waitFor(() => victim.running() > 0 && market.callCount() >= 10, { what: 'a call to be under way' });
    stack.workers[0]!.kill('SIGKILL');
    const madeByVictim = victim.total();

    const untilEdge = firstAt + windowMs - 2_000;
    await waitFor(() => Date.now() > untilEdge, { what: 'the edge of the window', timeoutMs: windowMs });
    await submitJobs('jpy', 20);
    await waitFor(() => Date.now() > firstAt + windowMs + 10_000, {
      what: 'the next window',
      timeoutMs: 60_000,
    });

    expect(market.worstSlidingMinute()).to.be.at.most(limit);
    expect(market.rejected(), 'refused by a market with the same limit').to.equal(0);
    const inFirstWindow = market.calls().filter(({ at }) => at < firstAt + windowMs).length;
    expect(inFirstWindow, 'calls of the first window').to.be.within(limit * 0.9, limit);
    expect(market.callCount(), 'calls go on in the next window').to.be.above(inFirstWindow);
    expect(victim.total(), 'calls of the killed process').to.equal(madeByVictim);
    // Who takes how many is chance; that all take part, and none more than five at once, is not.
    for (const meter of meters) {
      expect(meter.total()).to.be.at.least(1);
      expect(meter.maxAtOnce()).to.be.at.most(5);
    }
    expect(Math.max(...meters.map((meter) => meter.maxAtOnce())), 'calls at once').to.be.at.least(2);
  });
});

function coinAt(index: number): string {
  return `sim-${String(index + 1).padStart(5, '0')}`;
}

/** Stands between one worker and the market, and counts. */
interface Meter {
  readonly url: string;
  running(): number;
  maxAtOnce(): number;
  total(): number;
  close(): Promise<void>;
}

async function startMeter(marketUrl: string): Promise<Meter> {
  const { origin, host } = new URL(marketUrl);
  let [running, most, total] = [0, 0, 0];
  const server = createServer((request, response) => {
    total++;
    most = Math.max(most, ++running);
    response.once('close', () => {
      running--;
    });
    const headers = { ...request.headers, host };
    const onward = forward(`${origin}${request.url ?? ''}`, { headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    onward.end();
  });
  const port = await listenLocally(server, 0);
  return {
    url: `http://127.0.0.1:${port}/api/v3`,
    running: () => running,
    maxAtOnce: () => most,
    total: () => total,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
