import { expect } from 'chai';
import type { NewUsage } from '../../../src/features/accounts/queries/usage.ts';
import { createUsageTally, type UsageTally } from '../../../src/features/accounts/usage-counter.ts';
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
  let tally: UsageTally;
  let warnings: string[];

  function create(maxEntries = 100): UsageTally {
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
    return createUsageTally({ queries, log, clock: { now: () => now }, flushEveryMs: never, maxEntries });
  }

  beforeEach(() => {
    now = Date.parse('2026-03-01T22:30:00Z');
    added = [];
    warnings = [];
    failWith = undefined;
    whileAdding = () => undefined;
    tally = create();
  });
  afterEach(() => tally.close());

  const row = (who: { userId: string; keyId?: string }, counts: Partial<NewUsage>): NewUsage => {
    const none = { requests: 0, jobs: 0, upstreamCalls: 0 };
    return { day: '2026-03-01', userId: who.userId, keyId: who.keyId, ...none, ...counts };
  };

  it('adds what a user did, with a key and without', async () => {
    tally.request(joe);
    tally.request(joe);
    tally.request(joesKey);
    tally.job(joesKey);
    tally.calls(joesKey, 0.25);
    tally.calls(joesKey, 0.5);
    await tally.flush();
    expect(added).to.deep.equal([
      [row(joe, { requests: 2 }), row(joesKey, { requests: 1, jobs: 1, upstreamCalls: 0.75 })],
    ]);
  });

  it('adds nothing twice, and nothing at all when nothing happened', async () => {
    tally.request(joe);
    await tally.flush();
    await tally.flush();
    tally.job(joe);
    await tally.flush();
    expect(added).to.deep.equal([[row(joe, { requests: 1 })], [row(joe, { jobs: 1 })]]);
  });

  it('keeps what could not be added, with what is counted meanwhile', async () => {
    tally.request(joe);
    failWith = new Error('Postgres is away');
    whileAdding = () => tally.request(joe);
    await tally.flush();
    tally.calls(joe, 0.5);
    failWith = undefined;
    whileAdding = () => undefined;
    await tally.flush();
    expect(added).to.deep.equal([[row(joe, { requests: 2, upstreamCalls: 0.5 })]]);
  });

  it('counts for the UTC day on which it happened', async () => {
    tally.request(joe);
    failWith = new Error('Postgres is away');
    await tally.flush();
    now += 2 * hourMs;
    tally.request(joe);
    failWith = undefined;
    await tally.flush();
    expect(added.flat()).to.deep.equal([
      row(joe, { requests: 1 }),
      row(joe, { requests: 1, day: '2026-03-02' }),
    ]);
  });

  it('leaves out strangers when it is full, says so once, and counts on for those it knows', async () => {
    tally = create(2);
    const stranger = (index: number) => ({ userId: `01934c2a-0000-7000-8000-0000000001${index}0` });
    for (const who of [joe, joesKey, stranger(1), stranger(2), joe]) tally.request(who);
    await tally.flush();
    expect(added).to.deep.equal([[row(joe, { requests: 2 }), row(joesKey, { requests: 1 })]]);
    expect(warnings).to.have.length(1);
  });

  it('has room again once everything was added', async () => {
    tally = create(1);
    tally.request(joe);
    await tally.flush();
    await tally.flush();
    tally.request(joesKey);
    await tally.close();
    expect(added.flat()).to.deep.equal([row(joe, { requests: 1 }), row(joesKey, { requests: 1 })]);
  });

  it('adds at its end what a flush that runs does not have', async () => {
    tally.request(joe);
    const flushing = tally.flush();
    tally.job(joe);
    await tally.close();
    await flushing;
    expect(added).to.deep.equal([[row(joe, { requests: 1 })], [row(joe, { jobs: 1 })]]);
  });
});
