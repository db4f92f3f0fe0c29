import { expect } from 'chai';
import { sleep } from '../../../src/platform/concurrency/sleep.ts';
import { newUser, type ApiClient } from '../../support/api-client.ts';
import { openBackstage, type Backstage } from '../../support/backstage.ts';
import { startStack, type Stack } from '../../support/stack.ts';

const crowdBulks = 2_000;
const perBulk = 250;
const crowdUsers = 4;
const submitters = 8;
/** Coins that the crowd wants; the others are for the user beside it. */
const crowdCoins = 19_000;
const currencies = ['usd', 'eur', 'gbp', 'jpy', 'chf', 'aud', 'cad', 'inr'];
/** After all of the crowd has been submitted, on a busy machine too. */
const deadlineSeconds = 240;

/** Longer than the lock of a job lives. */
const outageMs = 10_000;

const coinAt = (index: number): string => `sim-${String(index + 1).padStart(5, '0')}`;

/** Far more is wanted than 30 calls a minute bring: nearly every job waits until its deadline, with a Redis that goes away. */
describe('thousands of jobs that wait', function () {
  this.timeout(20 * 60_000);
  let stack: Stack;
  let backstage: Backstage;
  let crowd: ApiClient[];
  let others = 0;

  before(async () => {
    stack = await startStack({
      ownRedis: true,
      environment: { UPSTREAM_CALLS_PER_MINUTE: '30', JOB_DEADLINE: `${deadlineSeconds}s` },
    });
    backstage = openBackstage(stack);
    const { url } = stack.apis[0]!;
    crowd = await Promise.all(Array.from({ length: crowdUsers }, () => newUser(url)));
  });
  after(async () => {
    await backstage.close();
    await stack.stop();
  });

  async function submitBulk(bulk: number): Promise<void> {
    // Every bulk is another, so that none shares the run of another.
    const first = bulk * perBulk + Math.floor(bulk / 600) * 97;
    const coins = Array.from({ length: perBulk }, (_, index) => coinAt((first + index) % crowdCoins));
    const currency = currencies[Math.floor((bulk * perBulk) / crowdCoins) % currencies.length];
    const { status } = await crowd[bulk % crowdUsers]!.call('POST', '/crypto/bulk', {
      body: { coins, currency },
    });
    expect(status).to.equal(202);
  }

  async function submitCrowd(): Promise<void> {
    let next = 0;
    const submitSome = async (): Promise<void> => {
      while (next < crowdBulks) await submitBulk(next++);
    };
    await Promise.all(Array.from({ length: submitters }, submitSome));
  }

  /** Crowd jobs by state. */
  async function states(): Promise<Record<string, number>> {
    const rows = await backstage.query<{ state: string; count: number }>(
      'select state, count(*)::int from jobs where total > 1 group by state',
    );
    return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
  }

  /** Of a new user each time: a call for a single coin counts as a whole one, and who makes many waits for the turns of others. */
  async function endOfAnotherJob(timeoutMs: number): Promise<void> {
    const user = await newUser(stack.apis[0]!.url);
    const coin = coinAt(crowdCoins + others++);
    const startedAt = performance.now();
    const { body } = await user.call('POST', '/crypto/bulk', { body: { coins: [coin] } });
    const job = await user.jobEnd(body?.data.id as string, timeoutMs);
    expect(job).to.include({ state: 'completed' });
    expect(job.result.success_count).to.equal(1);
    const ms = (from: string, to: string): number =>
      Date.parse(job[to] as string) - Date.parse(job[from] as string);
    process.stdout.write(
      `      another user's coin: ${Math.round(performance.now() - startedAt)} ms, of which ${ms('created_at', 'started_at')} ms ` +
        `queued and ${ms('started_at', 'finished_at')} ms run\n`,
    );
  }

  it('leave room for the job of another user, which ends within 5 s', async () => {
    await submitCrowd();
    for (let job = 0; job < 3; job++) await endOfAnotherJob(5_000);
  });

  it('go on when Redis is away longer than their locks live, as often as that is', async () => {
    for (let outage = 0; outage < 4; outage++) {
      await stack.redis!.kill();
      await sleep(outageMs);
      await stack.redis!.restart();
      const startedAt = performance.now();
      await endOfAnotherJob(60_000);
      process.stdout.write(`      recovered after ${Math.round(performance.now() - startedAt)} ms\n`);
    }
  });

  it('complete at their deadline with what they have; none fails', async () => {
    const until = performance.now() + (deadlineSeconds + 300) * 1_000;
    const completed = async (): Promise<number> => (await states())['completed'] ?? 0;
    let count = await completed();
    while (count < crowdBulks && performance.now() < until) {
      const before = count;
      await sleep(1_000);
      count = await completed();
      // While many end at once, too, another user's job does not wait for them.
      if (count > before + 20) await endOfAnotherJob(5_000);
    }
    process.stdout.write(`      ${JSON.stringify(await states())}\n`);
    expect(await states()).to.deep.equal({ completed: crowdBulks });
    expect(stack.market.worstSlidingMinute()).to.be.at.most(30);
  });
});
