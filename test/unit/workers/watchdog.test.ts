import { expect } from 'chai';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import type { RunningWorker } from '../../../workers/runtime/create-worker.ts';
import { startWatchdog } from '../../../workers/runtime/watchdog.ts';
import { waitFor } from '../../support/wait-for.ts';

const intervalMs = 1;
const patienceMs = 45_000;

describe('the watchdog', () => {
  let now: number;
  let active: number;
  let lastActivityAt: number;
  let counts: () => Promise<Record<string, number>>;
  let polls: number;
  let stuck: string[];
  let isPaused: boolean;
  let stop: () => void;

  beforeEach(() => {
    now = 1_000_000;
    active = 0;
    lastActivityAt = now;
    polls = 0;
    stuck = [];
    isPaused = false;
    counts = () => Promise.resolve({ waiting: 1 });
    const worker: RunningWorker = {
      queue: 'requests',
      concurrency: 2,
      active: () => active,
      lastActivityAt: () => lastActivityAt,
      pause: () => undefined,
      resume: () => undefined,
      isPaused: () => isPaused,
      close: () => Promise.resolve(),
    };
    stop = startWatchdog({
      workers: [worker],
      queues: {
        counts: async () => {
          polls++;
          return await counts();
        },
      },
      log: silentLogger(),
      onStuck: (queue) => stuck.push(queue),
      clock: { now: () => now },
      intervalMs,
      patienceMs,
    });
  });
  afterEach(() => stop());

  /** Lets the watchdog look at the present state, and at nothing older. */
  async function poll(): Promise<void> {
    const before = polls;
    await waitFor(() => polls >= before + 2, { what: 'two looks' });
  }

  /** Time passes, with a look at its beginning and one at its end. */
  async function pass(ms: number): Promise<void> {
    now += 10 * intervalMs;
    await poll();
    now += ms;
    await poll();
  }

  it('gives a process up that has work and a free slot and does nothing', async () => {
    await pass(patienceMs - 1);
    expect(stuck).to.deep.equal([]);
    now += 1;
    await poll();
    expect(stuck[0]).to.equal('requests');
  });

  it('counts jobs with a priority as work too', async () => {
    counts = () => Promise.resolve({ waiting: 0, prioritized: 3 });
    await pass(patienceMs);
    expect(stuck[0]).to.equal('requests');
  });

  it('does not mind an idle queue, nor jobs that wait for their time', async () => {
    counts = () => Promise.resolve({ waiting: 0, prioritized: 0, delayed: 7 });
    await pass(10 * patienceMs);
    expect(stuck).to.deep.equal([]);
  });

  it('does not count the idle time before there was work', async () => {
    counts = () => Promise.resolve({ waiting: 0 });
    await pass(3_600_000);
    counts = () => Promise.resolve({ waiting: 1 });
    await pass(patienceMs - 1);
    expect(stuck).to.deep.equal([]);
  });

  it('does not mind slots that are all taken', async () => {
    active = 2;
    await pass(10 * patienceMs);
    expect(stuck).to.deep.equal([]);
  });

  it('begins anew after any job that started or ended', async () => {
    await pass(patienceMs - 1);
    lastActivityAt = now;
    await poll();
    await pass(patienceMs - 1);
    expect(stuck).to.deep.equal([]);
  });

  it('does not count an outage of Redis, and begins anew after it', async () => {
    now += 10;
    await poll();
    counts = () => Promise.reject(new Error('Redis is away'));
    await pass(10 * patienceMs);
    counts = () => Promise.resolve({ waiting: 1 });
    await pass(patienceMs - 1);
    expect(stuck).to.deep.equal([]);
  });

  it('looks no more once stopped', async () => {
    now += 10;
    await poll();
    stop();
    const atStop = polls;
    now += patienceMs;
    await new Promise((resolve) => setTimeout(resolve, 20 * intervalMs));
    expect(polls).to.equal(atStop);
    expect(stuck).to.deep.equal([]);
  });
});
