import { expect } from 'chai';
import { newUser, type ApiClient } from '../../support/api-client.ts';
import { openBackstage, type Backstage } from '../../support/backstage.ts';
import { startGateway, type Gateway } from '../../support/gateway.ts';
import { startStack, type Stack, type StackProcess } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

/**
 * Workers that are killed, stopped and ended while they have jobs in hand. The gateway holds the upstream calls of a
 * currency, so a job in that currency stays active until the test lets it go.
 */
describe('faults of workers', function () {
  this.timeout(120_000);
  let stack: Stack;
  let user: ApiClient;
  let gateway: Gateway;
  let backstage: Backstage;
  /** The only worker that runs when a test begins. */
  let current: StackProcess;
  let coins = 0;

  before(async () => {
    // Held calls must outlast a takeover: what they bring would else be their failure.
    const environment = { UPSTREAM_TIMEOUT: '40s', UPSTREAM_CALLS_PER_MINUTE: String(callsPerMinute) };
    stack = await startStack({ apis: 1, workers: 0, environment });
    gateway = await startGateway(stack.market.url);
    backstage = openBackstage(stack);
    user = await newUser(stack.apis[0]!.url);
    current = await startWorker();
  });
  after(async () => {
    await backstage.close();
    await gateway.close();
    await stack.stop();
  });

  const startWorker = (): Promise<StackProcess> => stack.startWorker({ COINGECKO_BASE_URL: gateway.url });

  /** Submits a bulk job of two coins that nobody has asked for before. */
  async function submit(currency: string): Promise<string> {
    const ids = [0, 1].map(() => `sim-${String(++coins).padStart(5, '0')}`);
    const { status, body } = await user.call('POST', '/crypto/bulk', { body: { coins: ids, currency } });
    expect(status).to.equal(202);
    return body?.data.id as string;
  }

  const submitMany = (count: number, currency: string): Promise<string[]> =>
    Promise.all(Array.from({ length: count }, () => submit(currency)));

  /** Waits until the job runs for the `start`-th time. */
  async function untilStarted(id: string, start: number): Promise<void> {
    await waitFor(
      async () => {
        const job = await backstage.jobOf(id);
        return job?.attemptsStarted === start && (await job.isActive());
      },
      { what: `start ${start} of job ${id}`, timeoutMs: 60_000 },
    );
  }

  async function untilHeld(currency: string): Promise<void> {
    await waitFor(() => gateway.held(currency) > 0, { what: `an upstream call in ${currency}` });
  }

  /** Kills the current worker; another one takes its place. */
  async function killCurrent(): Promise<void> {
    current.kill('SIGKILL');
    await current.exited;
    current = await startWorker();
  }

  const resultsOf = async (id: string): Promise<number> =>
    (
      await backstage.query(
        "select 1 from job_results where body like (select '%\"' || (data->'assets'->>0) || '\"%' from jobs where id = $1)",
        [id],
      )
    ).length;

  it('has five active jobs done by another worker within 15 s when theirs is killed', async () => {
    gateway.hold('usd');
    const ids = await submitMany(5, 'usd');
    await waitFor(async () => (await backstage.requests.getActiveCount()) === 5, {
      what: 'five active jobs',
    });
    await untilHeld('usd');

    const heir = await startWorker();
    const killedAt = Date.now();
    current.kill('SIGKILL');
    current = heir;
    gateway.release('usd');
    const ends = await Promise.all(ids.map((id) => user.jobEnd(id, 20_000)));
    const tookMs = Date.now() - killedAt;

    for (const { state, result } of ends) {
      expect(state).to.equal('completed');
      expect(result).to.include({ success_count: 2, error_count: 0 });
    }
    expect(await backstage.requests.getFailedCount()).to.equal(0);
    expect(tookMs).to.be.at.most(15_000);
    report(`five jobs of a killed worker were done after ${tookMs} ms`);
  });

  it('completes a job on its fourth start, and fails one that ends every worker for all to see', async () => {
    gateway.hold('eur');
    gateway.hold('gbp');
    const [lucky, poison] = [await submit('eur'), await submit('gbp')];
    for (let start = 1; start <= 3; start++) {
      await Promise.all([untilStarted(lucky, start), untilStarted(poison, start)]);
      await killCurrent();
    }
    gateway.release('eur');
    expect(await user.jobEnd(lucky, 30_000)).to.include({ state: 'completed' });
    expect(await backstage.jobOf(lucky)).to.include({ attemptsStarted: 4, stalledCounter: 3 });

    await untilStarted(poison, 4);
    await killCurrent();
    const dead = await user.jobEnd(poison, 30_000);
    gateway.release('gbp');
    expect(dead.state).to.equal('failed');
    expect(dead.error.code).to.equal('job_failed');
    expect(dead.error.message).to.match(/worker process repeatedly/);
    expect(await backstage.requests.getFailedCount()).to.equal(1);
    const last: unknown[] = [];
    for await (const { event } of user.events(`/jobs/${poison}/events`)) last.push(event);
    expect(last.slice(-2)).to.deep.equal(['job.failed', 'end']);

    await untilReconciled(lucky);
    expect(
      await backstage.requests.getJobCountByTypes('active', 'waiting', 'delayed', 'prioritized'),
    ).to.equal(0);
    expect((await user.call('GET', `/jobs/${poison}`)).body?.data.state).to.equal('failed');
  });

  /** Only the reconciler can find a row that was put beside the API: when that row has ended, it has looked at all. */
  async function untilReconciled(like: string): Promise<void> {
    const [row] = await backstage.query<{ id: string }>(
      `insert into jobs (id, user_id, name, work_key, data, total)
       select gen_random_uuid(), user_id, name, 'beside-' || work_key, data, total from jobs where id = $1 returning id`,
      [like],
    );
    await user.jobEnd(row?.id ?? '', 30_000);
  }

  it('keeps the one result of a new owner when a stopped worker comes back', async () => {
    gateway.hold('chf');
    stack.market.resetCalls();
    const id = await submit('chf');
    await untilStarted(id, 1);
    await untilHeld('chf');
    const zombie = current;
    current = await startWorker();
    zombie.kill('SIGSTOP');
    await untilStarted(id, 2);

    zombie.kill('SIGCONT');
    await waitFor(async () => (await zombie.log()).includes('has lost the lock'), {
      what: 'the stopped worker to notice that its job is not its own',
    });
    expect((await backstage.jobOf(id))?.attemptsStarted).to.equal(2);
    gateway.release('chf');
    const job = await user.jobEnd(id, 20_000);
    expect(job).to.include({ state: 'completed' });
    expect(job.result).to.include({ success_count: 2 });

    zombie.kill('SIGTERM');
    expect(await zombie.exited).to.deep.equal({ code: 0, signal: null });
    expect(await resultsOf(id)).to.equal(1);
    expect((await user.call('GET', `/jobs/${id}`)).body?.data).to.deep.equal(job);
    const events: string[] = [];
    for await (const { event } of user.events(`/jobs/${id}/events`)) events.push(event);
    expect(events.filter((event) => event === 'job.completed')).to.have.length(1);
    expect(events.filter((event) => event === 'job.coin')).to.have.length(2);
    // One call of each owner: the stopped worker makes none after it has lost its jobs.
    expect(gateway.received('chf')).to.be.within(1, 2);
    expect(stack.market.worstSlidingMinute()).to.be.within(1, callsPerMinute);
    report(`a stopped worker and its heir made ${gateway.received('chf')} upstream calls`);
  });

  it('puts jobs back at SIGTERM without an attempt, and exits with 0 within 10 s', async () => {
    gateway.hold('jpy');
    const ids = await submitMany(2, 'jpy');
    await untilHeld('jpy');
    stack.market.inject({ kind: 'rate-limited', retryAfterSeconds: 5 });
    ids.push(...(await submitMany(3, 'aud')));
    await waitFor(async () => (await backstage.requests.getActiveCount()) === 5, {
      what: 'five active jobs',
    });
    await waitFor(() => stack.market.calls().at(-1)?.status === 429, { what: 'a 429 of the market' });

    expect(gateway.held('jpy')).to.be.greaterThan(0);
    const sentAt = Date.now();
    current.kill('SIGTERM');
    const end = await current.exited;
    const tookMs = Date.now() - sentAt;
    expect(end).to.deep.equal({ code: 0, signal: null });
    expect(tookMs).to.be.at.most(10_000);
    // Client jobs have a priority, so they wait in the queue's prioritized set.
    const waiting = await backstage.requests.getPrioritized();
    expect(waiting).to.have.length(5);
    expect(waiting.map(({ attemptsMade }) => attemptsMade)).to.deep.equal([0, 0, 0, 0, 0]);
    report(`a worker with five active jobs ended after ${tookMs} ms`);

    gateway.release('jpy');
    current = await startWorker();
    for (const id of ids) expect((await user.jobEnd(id, 30_000)).state).to.equal('completed');
  });
});

const callsPerMinute = 60;

/** Measured figures, for whoever runs the tests. */
function report(text: string): void {
  process.stdout.write(`      ${text}\n`);
}
