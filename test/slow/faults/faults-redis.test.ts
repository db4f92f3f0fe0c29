import { expect } from 'chai';
import { newUser, type ApiClient } from '../../support/api-client.ts';
import { openBackstage, type Backstage } from '../../support/backstage.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

/** Length of the outage under load; the long one of the design is run by hand. */
const outageMs = 1000 * Number(process.env.OUTAGE_SECONDS ?? '10');
const submissionsPerSecond = 100;

/** A Redis that is not there yet, goes away under load, and forgets everything. One deployment lives through all of it. */
describe('faults of Redis', function () {
  this.timeout(120_000 + outageMs);
  let stack: Stack;
  let user: ApiClient;
  let backstage: Backstage;

  before(async () => {
    const environment = { UPSTREAM_CALLS_PER_MINUTE: '600' };
    stack = await startStack({ apis: 0, workers: 0, ownRedis: true, environment });
    backstage = openBackstage(stack);
  });
  after(async () => {
    await backstage.close();
    await stack.stop();
  });

  const submit = async (coins: readonly string[]): Promise<string> => {
    const { status, body } = await user.call('POST', '/crypto/bulk', { body: { coins } });
    expect(status, JSON.stringify(body)).to.equal(202);
    return body?.data.id as string;
  };

  const statesOf = async (ids: readonly string[]): Promise<Record<string, number>> => {
    const rows = await backstage.query<{ state: string; n: string }>(
      'select state, count(*) as n from jobs where id = any($1) group by state',
      [ids],
    );
    return Object.fromEntries(rows.map(({ state, n }) => [state, Number(n)]));
  };

  const expectAllRunning = (): void => {
    for (const running of [...stack.apis, ...stack.workers]) {
      expect(running.isRunning(), `process ${running.pid} runs`).to.equal(true);
    }
  };

  it('starts without it, says that it is not ready, accepts jobs, and heals within 5 s of its return', async () => {
    await stack.redis!.kill();
    const api = await stack.startApi();
    await stack.startWorker();
    await stack.startWorker();
    user = await newUser(api.url);
    const ready = await user.call('GET', '/health/ready');
    expect(ready.status).to.equal(503);
    expect(ready.body?.data.checks.redis.ok).to.equal(false);
    expect((await user.call('GET', '/health/live')).status).to.equal(200);
    const answer = await user.call('POST', '/crypto/bulk', { body: { coins: ['bitcoin'] } });
    expect(answer.status).to.equal(202);
    expect(answer.body?.data.eta_seconds).to.equal(null);

    await stack.redis!.restart();
    const backAt = Date.now();
    await waitFor(async () => (await user.call('GET', '/health/ready')).status === 200, {
      what: 'readiness',
    });
    const tookMs = Date.now() - backAt;
    expect(tookMs).to.be.at.most(5_000);
    const job = await user.jobEnd(answer.body?.data.id, 30_000);
    expect(job.state).to.equal('completed');
    expectAllRunning();
    report(
      `ready ${tookMs} ms after Redis, the job accepted before was done after ${Date.now() - backAt} ms`,
    );
  });

  it(`loses no job of ${submissionsPerSecond} a second while it is gone for ${outageMs / 1000} s`, async () => {
    const load = startLoad(user);
    await waitFor(() => load.accepted.length > submissionsPerSecond, {
      what: 'submissions before the outage',
    });
    await stack.redis!.kill();
    const acceptedBefore = load.accepted.length;
    await new Promise((resolve) => setTimeout(resolve, outageMs));
    const acceptedMeanwhile = load.accepted.length - acceptedBefore;
    await stack.redis!.restart();
    const backAt = new Date();
    const acceptedSoFar = load.accepted.length;
    const goesOn = (): boolean => {
      expect(load.otherAnswers).to.deep.equal([]);
      return load.accepted.length > acceptedSoFar + submissionsPerSecond;
    };
    await waitFor(goesOn, { what: 'submissions after the outage' }).finally(() => load.stop());

    expect(load.otherAnswers).to.deep.equal([]);
    expect(load.slowestMs).to.be.at.most(2_000);
    expect(acceptedMeanwhile).to.be.at.least((outageMs / 1000) * submissionsPerSecond * 0.5);
    await waitFor(async () => (await statesOf(load.accepted))['completed'] === load.accepted.length, {
      what: 'every accepted job to complete',
      timeoutMs: 60_000,
    });
    const doneMs = Date.now() - backAt.getTime();
    expect(await statesOf(load.accepted)).to.deep.equal({ completed: load.accepted.length });
    const [first] = await backstage.query<{ at: Date }>(
      'select min(finished_at) as at from jobs where finished_at > $1',
      [backAt],
    );
    const resumedMs = (first?.at.getTime() ?? Infinity) - backAt.getTime();
    // The promise is 5 s on a quiet machine.
    expect(resumedMs).to.be.at.most(10_000);
    expectAllRunning();
    report(
      `${load.accepted.length} jobs accepted, ${acceptedMeanwhile} of them without Redis; slowest answer ${Math.round(load.slowestMs)} ms; ` +
        `workers resumed after ${resumedMs} ms; all done after ${doneMs} ms`,
    );
  });

  it('stays within the budget and completes every job when it is wiped with jobs in flight', async () => {
    for (const worker of stack.workers) worker.kill('SIGTERM');
    for (const worker of stack.workers) expect(await worker.exited).to.deep.equal({ code: 0, signal: null });
    // Another key of the provider is another budget: this one has not been used.
    const environment = { UPSTREAM_CALLS_PER_MINUTE: String(scarce), COINGECKO_API_KEY: 'scarce' };
    const workers = await Promise.all([stack.startWorker(environment), stack.startWorker(environment)]);
    const rebuilds = async (): Promise<number> => {
      const logs = await Promise.all(workers.map((worker) => worker.log()));
      return logs.join('').split('the budget was rebuilt').length - 1;
    };
    stack.market.resetCalls();
    const ids: string[] = [];
    let wipedAt = 0;
    // Half of the budget is granted at once: a limiter that forgot would grant it anew after each wipe.
    for (let wipe = 0; wipe < 4; wipe++) {
      ids.push(await submit([`sim-${18_000 + wipe}`]), await submit([`sim-${18_100 + wipe}`]));
      await waitFor(async () => stack.market.callCount() > 0 && (await rebuilds()) > wipe, {
        what: `jobs in flight, and a budget that was asked after ${wipe} wipes`,
      });
      await backstage.redis.flushall();
      wipedAt = Date.now();
    }
    await waitFor(async () => (await statesOf(ids))['completed'] === ids.length, {
      what: 'every job to complete',
      timeoutMs: 60_000,
    });
    expect(stack.market.worstSlidingMinute()).to.be.within(1, scarce);
    expectNoResultIsEmpty(await Promise.all(ids.map((id) => user.jobEnd(id))));
    report(
      `${ids.length} jobs completed ${Date.now() - wipedAt} ms after the last wipe, with ${stack.market.callCount()} calls`,
    );
  });
});

const scarce = 4;

function expectNoResultIsEmpty(jobs: readonly { result: { success_count: number } }[]): void {
  expect(jobs.map(({ result }) => result.success_count)).to.deep.equal(jobs.map(() => 1));
}

interface Load {
  readonly accepted: string[];
  /** Status codes other than 202, and failures. */
  readonly otherAnswers: string[];
  readonly slowestMs: number;
  stop(): Promise<void>;
}

/** Submits jobs of two coins at a fixed rate, whether or not the ones before were answered. */
function startLoad(user: ApiClient): Load {
  const load = { accepted: [] as string[], otherAnswers: [] as string[], slowestMs: 0 };
  const underWay = new Set<Promise<void>>();
  let count = 0;
  const submit = async (): Promise<void> => {
    const number = ++count;
    const coins = [
      `sim-${String(1 + (number % 97)).padStart(5, '0')}`,
      `sim-${String(100 + number).padStart(5, '0')}`,
    ];
    const since = performance.now();
    try {
      const { status, body } = await user.call('POST', '/crypto/bulk', { body: { coins } });
      if (status === 202) load.accepted.push(body?.data.id as string);
      else load.otherAnswers.push(`${status} ${JSON.stringify(body)}`);
    } catch (error) {
      load.otherAnswers.push(String(error));
    }
    load.slowestMs = Math.max(load.slowestMs, performance.now() - since);
  };
  const timer = setInterval(() => {
    const sent = submit().finally(() => underWay.delete(sent));
    underWay.add(sent);
  }, 1000 / submissionsPerSecond);
  return Object.assign(load, {
    async stop() {
      clearInterval(timer);
      await Promise.all(underWay);
    },
  });
}

/** Measured figures, for whoever runs the tests. */
function report(text: string): void {
  process.stdout.write(`      ${text}\n`);
}
