/** The checks beside the price sources: what they enqueue, and what the operator has switched off. */
import { expect } from 'chai';
import { createUpstreamProcessors } from '../../../workers/processors/upstream/module.ts';
import { jobContext } from '../../support/job-context.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';

const now = Date.parse('2026-03-10T00:00:00Z');

describe('the maintenance of the price sources', () => {
  let enqueued: string[];
  /** Hours of the ledger that are not summed yet. */
  let hours: number;
  let purged: string[];
  let attempts: unknown[][];

  beforeEach(() => {
    [enqueued, hours, purged, attempts] = [[], 0, [], []];
  });

  function open({
    sync = 'daily',
    reportsLimits = true,
    reportedAgoMs = undefined as number | undefined,
  } = {}) {
    const platform = {
      config: { ASSET_SYNC: sync },
      clock: { now: () => now },
      log: silentLogger(),
      redis: {
        set: (...given: unknown[]) => Promise.resolve(attempts.push(given) > 1 ? null : 'OK'),
      },
      queues: {
        add: (name: string, _data: object, { deduplication }: { deduplication: { id: string } }) =>
          Promise.resolve(void enqueued.push(`${name} ${deduplication.id}`)),
      },
      keys: { tierAttempt: (key: string) => `attempt:${key}` },
    };
    const assets = { list: { due: () => Promise.resolve({ list: true, pages: [], isEmpty: true }) } };
    const { processors, retentions } = createUpstreamProcessors(platform as never, {
      quotes: { enqueue: { assets: () => Promise.resolve(void enqueued.push('assets')) } } as never,
      upstream: {
        budget: { key: 'coingecko' },
        reportsLimits,
        callLog: {
          sumHour: () => Promise.resolve(hours-- > 0),
          purge: (before: Date) => Promise.resolve(purged.push(`calls ${before.toISOString()}`)),
          purgeSums: (before: Date) => Promise.resolve(purged.push(`sums ${before.toISOString()}`)),
          reportedAgoMs: (key: string) => Promise.resolve(key === 'coingecko' ? reportedAgoMs : Number.NaN),
        },
      } as never,
      assets: assets as never,
      callbacks: () => {
        throw new Error('nothing is refreshed here');
      },
    });
    return { jobs: processors.maintenance(), retentions };
  }

  it('sums the ledger until nothing is left, and stops when the process ends', async () => {
    hours = 3;
    expect(await open().jobs['calls.sum']({}, jobContext())).to.deep.equal({ hours: 3 });
    hours = 3;
    expect(await open().jobs['calls.sum']({}, jobContext(AbortSignal.abort()))).to.deep.equal({ hours: 0 });
  });

  it('keeps the ledger and its sums for two months', async () => {
    const { calls, sums } = open().retentions['calls.purge'];
    await Promise.all([calls(), sums()]);
    expect(purged).to.deep.equal(['calls 2026-01-07T00:00:00.000Z', 'sums 2026-01-07T00:00:00.000Z']);
  });

  it('fetches no list of assets where the operator has switched that off', async () => {
    expect(await open({ sync: 'off' }).jobs['assets.check']()).to.deep.equal({
      enqueued: false,
    });
    expect(enqueued).to.deep.equal([]);
  });

  it('asks for the limits of the key of a source that tells them, once an hour until it has', async () => {
    expect(await open({ reportsLimits: false }).jobs['tier.check']()).to.deep.equal({
      enqueued: false,
    });
    expect(attempts).to.deep.equal([]);
    const { jobs } = open();
    expect(await jobs['tier.check']()).to.deep.equal({ enqueued: true });
    expect(await jobs['tier.check']()).to.deep.equal({ enqueued: false });
    expect(enqueued).to.deep.equal(['tier.refresh tier']);
    expect(attempts[0]).to.deep.equal(['attempt:coingecko', '1', 'PX', 3_600_000, 'NX']);
  });

  it('asks again a day after the last answer, and leaves no attempt before', async () => {
    const day = 86_400_000;
    expect(await open({ reportedAgoMs: day - 1 }).jobs['tier.check']()).to.deep.equal({
      enqueued: false,
    });
    expect(attempts).to.deep.equal([]);
    expect(await open({ reportedAgoMs: day }).jobs['tier.check']()).to.deep.equal({
      enqueued: true,
    });
  });
});
