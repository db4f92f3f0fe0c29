import { expect } from 'chai';
import type { NewUsage } from '../../../src/features/accounts/queries/usage.ts';
import {
  createBufferedUsageCounter,
  type UsageCounter,
} from '../../../src/features/accounts/usage-counter.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';

const joe = { userId: '01934c2a-0000-7000-8000-000000000001' };
const joesKey = { ...joe, keyId: '01934c2a-0000-7000-8000-00000000000a' };
const hourMs = 3_600_000;
const never = 2 ** 31 - 1;

describe('the tally of usage', () => {
  let now: number;
  let added: (readonly NewUsage[])[];
  let failWith: Error | undefined;
  let whileAdding: () => void;
  let counter: UsageCounter;
  let warnings: string[];

  function create(maxEntries = 100): UsageCounter {
    const log = silentLogger();
    log.warn = (first: unknown, message?: string) => void warnings.push(message ?? String(first));
    const queries = {
      add(rows: readonly NewUsage[]) {
        whileAdding();
        if (failWith !== undefined) return Promise.reject(failWith);
        added.push(rows);
        return Promise.resolve();
      },
    };
    return createBufferedUsageCounter({
      queries,
      log,
      clock: { now: () => now },
      flushEveryMs: never,
      maxEntries,
    });
  }

  beforeEach(() => {
    now = Date.parse('2026-03-01T22:30:00Z');
    added = [];
    warnings = [];
    failWith = undefined;
    whileAdding = () => undefined;
    counter = create();
  });
  afterEach(() => counter.close());

  const row = (who: { userId: string; keyId?: string }, counts: Partial<NewUsage>): NewUsage => {
    const none = { requests: 0, jobs: 0, upstreamCalls: 0 };
    return { day: '2026-03-01', userId: who.userId, keyId: who.keyId, ...none, ...counts };
  };

  it('adds what a user did, with a key and without', async () => {
    counter.request(joe);
    counter.request(joe);
    counter.request(joesKey);
    counter.job(joesKey);
    counter.calls(joesKey, 0.25);
    counter.calls(joesKey, 0.5);
    await counter.flush();
    expect(added).to.deep.equal([
      [row(joe, { requests: 2 }), row(joesKey, { requests: 1, jobs: 1, upstreamCalls: 0.75 })],
    ]);
  });

  it('adds nothing twice, and nothing at all when nothing happened', async () => {
    counter.request(joe);
    await counter.flush();
    await counter.flush();
    counter.job(joe);
    await counter.flush();
    expect(added).to.deep.equal([[row(joe, { requests: 1 })], [row(joe, { jobs: 1 })]]);
  });

  it('keeps what could not be added, with what is counted meanwhile', async () => {
    counter.request(joe);
    failWith = new Error('Postgres is away');
    whileAdding = () => counter.request(joe);
    await counter.flush();
    counter.calls(joe, 0.5);
    failWith = undefined;
    whileAdding = () => undefined;
    await counter.flush();
    expect(added).to.deep.equal([[row(joe, { requests: 2, upstreamCalls: 0.5 })]]);
  });

  it('counts for the UTC day on which it happened', async () => {
    counter.request(joe);
    failWith = new Error('Postgres is away');
    await counter.flush();
    now += 2 * hourMs;
    counter.request(joe);
    failWith = undefined;
    await counter.flush();
    expect(added.flat()).to.deep.equal([
      row(joe, { requests: 1 }),
      row(joe, { requests: 1, day: '2026-03-02' }),
    ]);
  });

  it('leaves out strangers when it is full, says so once, and counts on for those it knows', async () => {
    counter = create(2);
    const stranger = (index: number) => ({ userId: `01934c2a-0000-7000-8000-0000000001${index}0` });
    for (const who of [joe, joesKey, stranger(1), stranger(2), joe]) counter.request(who);
    await counter.flush();
    expect(added).to.deep.equal([[row(joe, { requests: 2 }), row(joesKey, { requests: 1 })]]);
    expect(warnings).to.have.length(1);
  });

  it('has room again once everything was added', async () => {
    counter = create(1);
    counter.request(joe);
    await counter.flush();
    await counter.flush();
    counter.request(joesKey);
    await counter.close();
    expect(added.flat()).to.deep.equal([row(joe, { requests: 1 }), row(joesKey, { requests: 1 })]);
  });

  it('adds at its end what a flush that runs does not have', async () => {
    counter.request(joe);
    const flushing = counter.flush();
    counter.job(joe);
    await counter.close();
    await flushing;
    expect(added).to.deep.equal([[row(joe, { requests: 1 })], [row(joe, { jobs: 1 })]]);
  });
});
