import { readFile } from 'node:fs/promises';
import { Queue } from 'bullmq';
import { expect } from 'chai';
import type { Fault, FaultKind } from '../../../embedded/market/market-state.ts';
import { createRedisKeys } from '../../../src/platform/redis/keys.ts';
import { apiClient, newUser, type ApiClient } from '../../support/api-client.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

/**
 * Every way in which the price source fails, through the whole stack. Each failure meets a coin that has a good value, which
 * has grown old, and a coin that was never seen: the first must stay as it was and be called stale, the second must get a
 * state and no number; and both must become fresh when the source heals.
 */

/** Failures of the whole answer that may pass: tried again, then remembered for 10 s. */
const passing: readonly FaultKind[] = [
  'server-error',
  'server-error-html',
  'bad-gateway',
  'request-timeout',
  'uri-too-long',
  'empty-body',
  'invalid-json',
  'wrong-shape',
  'truncated-json',
  'reset-before',
  'reset-during',
  'huge-body',
  'hang',
  'slow-drip',
];
/** Failures that a retry does not heal: remembered for a minute. */
const lasting: readonly FaultKind[] = [
  'key-missing',
  'plan-restricted',
  'wrong-root-pro',
  'wrong-root-demo',
  'time-range',
  'firewall',
];
/** Answers without a usable price: asked again as soon as a quote would be. */
const withoutPrices: readonly FaultKind[] = [
  'nan-prices',
  'text-prices',
  'null-prices',
  'zero-prices',
  'negative-prices',
];
const rateLimits: readonly Fault[] = [
  { kind: 'rate-limited', retryAfterSeconds: 2 },
  { kind: 'rate-limited-text', retryAfterSeconds: 2 },
  { kind: 'rate-limited-html', retryAfterSeconds: 2 },
  { kind: 'rate-limited-as-200', retryAfterSeconds: 2 },
  'rate-limited-cloudflare',
  // A 503 that says when to come again.
  { kind: 'unavailable', retryAfterSeconds: 2 },
];

const freshMs = 1_000;
const upstreamTimeoutMs = 1_000;

interface Row {
  readonly id: string;
  readonly state: string;
  readonly price?: number | null;
  readonly error?: { readonly code: string };
}

describe('failures of the price source', () => {
  let stack: Stack;
  let user: ApiClient;
  const primed = new Map<string, Row>();

  const nameOf = (fault: Fault): FaultKind => (typeof fault === 'string' ? fault : fault.kind);
  const kinds = [...passing, ...lasting, ...withoutPrices, ...rateLimits.map(nameOf), 'blocked' as const];
  const coin = (fault: Fault | 'blocked', offset: number): string => {
    const index = kinds.indexOf(fault === 'blocked' ? fault : nameOf(fault)) + 1;
    return `sim-${String(offset + index).padStart(5, '0')}`;
  };
  const oldOf = (fault: Fault | 'blocked'): string => coin(fault, 100);
  const coldOf = (fault: Fault | 'blocked'): string => coin(fault, 200);

  before(async function () {
    this.timeout(120_000);
    stack = await startStack({
      apis: 2,
      workers: 2,
      environment: {
        QUOTE_TTL: `${freshMs / 1_000}s`,
        UPSTREAM_TIMEOUT: `${upstreamTimeoutMs}ms`,
        UPSTREAM_CALLS_PER_MINUTE: '3000',
        READ_WAIT: '500ms',
        // Every failure is to be met by calls, not by a circuit breaker that has opened for the one before.
        BREAKER_FAILURE_THRESHOLD: '1000',
      },
    });
    user = await newUser(stack.apis[0]!.url);
    for (const row of await fetchRows(kinds.map(oldOf))) primed.set(row.id, row);
    const primedAt = Date.now();
    await waitFor(() => Date.now() > primedAt + freshMs, { what: 'the good values to grow old' });
  });
  after(() => stack.stop());
  beforeEach(() => {
    stack.market.clearFaults();
    stack.market.resetCalls();
  });

  async function fetchRows(coins: readonly string[]): Promise<readonly Row[]> {
    const { status, body } = await user.call('POST', '/crypto/bulk', { body: { coins } });
    expect(status).to.equal(202);
    const job = await user.jobEnd(body?.data.id as string);
    expect(job.state).to.equal('completed');
    return job.result.portfolio as readonly Row[];
  }

  async function expectOldAndNone(fault: FaultKind): Promise<void> {
    const [old, cold] = await fetchRows([oldOf(fault), coldOf(fault)]);
    expect(old).to.include({ id: oldOf(fault), state: 'stale', price: primed.get(oldOf(fault))?.price });
    expect(cold?.price ?? null, 'no number').to.equal(null);
    if (withoutPrices.includes(fault)) {
      expect(cold).to.include({ id: coldOf(fault), state: 'unpriced', price: null });
      return;
    }
    expect(cold).to.include({ id: coldOf(fault), state: 'unavailable' });
    expect(cold?.error?.code).to.equal('unavailable');
  }

  async function expectRecovery(faults: readonly FaultKind[], timeoutMs: number): Promise<void> {
    const coins = faults.flatMap((fault) => [oldOf(fault), coldOf(fault)]);
    await waitFor(
      async () => {
        const rows = await fetchRows(coins);
        const sick = rows.filter(({ state, price }) => state !== 'fresh' || !((price ?? 0) > 0));
        expect(sick).to.deep.equal([]);
        return true;
      },
      { what: 'every coin to be fresh again', timeoutMs },
    );
  }

  for (const fault of [...lasting, ...withoutPrices]) {
    it(`${fault}: keeps the good value, and has none for the new coin`, async () => {
      stack.market.inject(fault, { count: Infinity });
      await expectOldAndNone(fault);
      expect(stack.market.callCount(), 'no retry').to.equal(1);
    });
  }

  it('grows by less than 50 MB, and ends in time, whatever is sent', async function () {
    this.timeout(120_000);
    const growth = await watchMemory(stack.workers.map(({ pid }) => pid));
    for (const fault of ['huge-body', 'hang', 'slow-drip', 'reset-during'] as const) {
      stack.market.clearFaults();
      stack.market.inject(fault, { count: Infinity });
      const startedAt = Date.now();
      await expectOldAndNone(fault);
      // Three tries with their pauses.
      expect(Date.now() - startedAt, fault).to.be.below(3 * upstreamTimeoutMs + 5_000);
    }
    expect(growth.stop()).to.be.below(50);
  });

  for (const fault of passing.filter(
    (kind) => !['huge-body', 'hang', 'slow-drip', 'reset-during'].includes(kind),
  )) {
    it(`${fault}: tries three times, keeps the good value, and has none for the new coin`, async () => {
      stack.market.inject(fault, { count: Infinity });
      await expectOldAndNone(fault);
      expect(stack.market.callCount()).to.be.within(3, fault === 'uri-too-long' ? 6 : 3);
    });
  }

  it('forgets passing failures after 10 s, and the next request succeeds', async function () {
    this.timeout(120_000);
    await expectRecovery(passing, 20_000);
  });

  it('heals within one job when a failure does pass', async () => {
    for (const fault of ['server-error-html', 'truncated-json', 'reset-before'] as const)
      stack.market.inject(fault);
    const [row] = await fetchRows(['sim-00300']);
    // Two retries are not enough for three failures: the third is the last word.
    expect(row).to.include({ state: 'unavailable' });
    stack.market.inject('bad-gateway');
    stack.market.inject('reset-during');
    const [healed] = await fetchRows(['sim-00301']);
    expect(healed).to.include({ state: 'fresh' });
  });

  it('takes good JSON for what it is, whatever it calls itself', async () => {
    stack.market.inject('wrong-content-type');
    const [row] = await fetchRows(['sim-00310']);
    expect(row).to.include({ state: 'fresh' });
  });

  for (const fault of rateLimits) {
    it(`${nameOf(fault)}: waits as long as it must, then answers`, async () => {
      stack.market.inject(fault);
      const rows = await fetchRows([oldOf(fault), coldOf(fault)]);
      expect(rows.map(({ state }) => state)).to.deep.equal(['fresh', 'fresh']);
      const [refused, next] = stack.market.calls();
      const seconds = typeof fault === 'string' ? 10 : (fault.retryAfterSeconds ?? 0);
      expect(next!.at - refused!.at).to.be.at.least(seconds * 1_000);
    });
  }

  it('sends no call from any process while Retry-After runs, and costs no attempt', async function () {
    this.timeout(120_000);
    stack.market.inject({ kind: 'rate-limited', retryAfterSeconds: 10 });
    const first = fetchRows([coldOf('blocked')]);
    await waitFor(() => stack.market.calls()[0]?.status === 429, { what: 'the refusal' });
    const others = await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const api = apiClient(stack.apis[index % 2]!.url, user.token);
        const currency = ['usd', 'eur', 'gbp', 'jpy'][index % 4];
        const body = { coins: [`sim-${String(400 + index).padStart(5, '0')}`], currency };
        return (await api.call('POST', '/crypto/bulk', { body })).body?.data.id as string;
      }),
    );
    const old = await user.call('GET', `/crypto/${oldOf('blocked')}`);
    expect(old.body?.data).to.include({ state: 'stale', price: primed.get(oldOf('blocked'))?.price });
    const cold = await user.call('GET', '/crypto/sim-00499');
    expect([cold.status, cold.body?.error?.code]).to.deep.equal([503, 'rate_limited']);
    expect(Number(cold.headers.get('retry-after'))).to.be.within(1, 10);
    expect(await attemptsOf(stack)).to.deep.equal({ spent: 0, failed: 0 });

    expect((await first)[0]).to.include({ state: 'fresh' });
    for (const id of others) expect((await user.jobEnd(id)).result.error_count).to.equal(0);
    expect(await attemptsOf(stack)).to.deep.equal({ spent: 0, failed: 0 });
    const [refused, next] = stack.market.calls();
    expect(next!.at - refused!.at).to.be.within(10_000, 15_000);
  });

  it('gives 200 equal requests at two APIs and two workers one call for each quote, and equal answers', async () => {
    stack.market.setLatency(100);
    const body = { coins: ['sim-00600', 'sim-00601'] };
    const startedAt = Date.now();
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        apiClient(stack.apis[index % 2]!.url, user.token).call('POST', '/crypto/bulk', {
          body,
          headers: { prefer: 'wait=10' },
        }),
      ),
    );
    stack.market.setLatency(20);
    expect(new Set(answers.map(({ status }) => status))).to.deep.equal(new Set([200]));
    const portfolios = answers.map((answer) => JSON.stringify(answer.body?.data.portfolio));
    // A quote is fresh for a second here: only where the requests took longer are the last of them due the next one.
    const distinct = new Set(portfolios).size;
    expect(distinct).to.be.at.most(1 + Math.floor((Date.now() - startedAt) / freshMs));
    expect(stack.market.callCount()).to.equal(distinct);
  });

  it('forgets lasting failures after a minute', async function () {
    this.timeout(120_000);
    await expectRecovery([...lasting, ...withoutPrices], 75_000);
  });
});

/** Attempts spent by all jobs in Redis, and jobs that have failed. */
async function attemptsOf(stack: Stack): Promise<{ spent: number; failed: number }> {
  const sum = { spent: 0, failed: 0 };
  for (const name of ['requests', 'refresh']) {
    const queue = new Queue(name, {
      connection: { url: stack.redisUrl },
      prefix: createRedisKeys(stack.redisPrefix).queues,
    });
    const jobs = await queue.getJobs(['active', 'waiting', 'delayed', 'prioritized', 'failed']);
    for (const job of jobs) sum.spent += job.attemptsMade;
    sum.failed += await queue.getFailedCount();
    await queue.close();
  }
  return sum;
}

interface MemoryWatch {
  /** Most growth of any process so far, in MB. */
  stop(): number;
}

const memorySampleMs = 20;

async function watchMemory(pids: readonly number[]): Promise<MemoryWatch> {
  const before = await Promise.all(pids.map(residentMb));
  let most = 0;
  const sample = async (): Promise<void> => {
    const now = await Promise.all(pids.map(residentMb));
    most = Math.max(most, ...now.map((mb, index) => mb - before[index]!));
  };
  const timer = setInterval(() => void sample(), memorySampleMs);
  return {
    stop() {
      clearInterval(timer);
      return most;
    },
  };
}

async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1_024;
}
