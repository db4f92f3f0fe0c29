import { expect } from 'chai';
import { registry, retentions, type JobName, type RetentionName } from '../../../jobs/registry.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { keepSchedules } from '../../../workers/runtime/schedules.ts';
import { waitFor } from '../../support/wait-for.ts';

describe('the schedules of a worker', () => {
  it('bring every periodic job back in its time, with data that it takes', async () => {
    const kept: (readonly [string, string, number])[] = [];
    const handle = (queue: string) => ({
      upsertJobScheduler(id: JobName, { every }: { every: number }, job: { name: JobName; data: unknown }) {
        expect(job.name).to.equal(id);
        expect(registry[id].schema.safeParse(job.data).success, id).to.equal(true);
        kept.push([queue, id, every]);
        return Promise.resolve();
      },
    });
    const stop = keepSchedules({ handle } as never, {
      log: silentLogger(),
      restsNow: () => false,
      isMaintained: false,
    });
    const periodic = Object.values(registry).filter(({ every }) => every !== undefined).length;
    await waitFor(() => kept.length >= periodic, { what: 'all schedules' });
    stop();
    expect(kept).to.have.length(periodic);
    expect(kept).to.include.deep.members([
      ['maintenance', 'jobs.reconcile', 5_000],
      ...(Object.keys(retentions) as RetentionName[]).map((name) => [
        'maintenance',
        name,
        name === 'candles.purge' ? 60_000 : 600_000,
      ]),
      ['maintenance', 'calls.sum', 300_000],
      ['maintenance', 'tier.check', 60_000],
      ['maintenance', 'quotes.warm', 5_000],
      ['maintenance', 'assets.check', 10_000],
      ['maintenance', 'candles.roll', 60_000],
      ['maintenance', 'webhooks.check', 5_000],
      ['maintenance', 'snapshots.check', 60_000],
      ['maintenance', 'books.check', 5_000],
    ]);
  });
});
