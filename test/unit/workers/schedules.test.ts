import { mock } from 'node:test';
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

  describe('and', () => {
    let kept: { readonly name: string; readonly opts: unknown }[];
    let removed: string[];
    /** What setting a schedule waits for. */
    let hold: Promise<void>;
    let stop: () => void;
    const periodic = Object.values(registry).filter(({ every }) => every !== undefined).length;

    beforeEach(() => {
      [kept, removed, hold] = [[], [], Promise.resolve()];
      mock.timers.enable({ apis: ['setInterval'] });
    });
    afterEach(() => {
      stop();
      mock.timers.reset();
    });

    function start(different: Partial<Parameters<typeof keepSchedules>[1]> = {}): void {
      const upsertJobScheduler = async (
        name: string,
        _every: object,
        { opts }: { opts: unknown },
      ): Promise<void> => {
        kept.push({ name, opts });
        await hold;
      };
      const queues = {
        handle: () => ({ upsertJobScheduler }),
        removePeriodic: (queue: string) => Promise.resolve(void removed.push(queue)),
      };
      const usual = { log: silentLogger(), restsNow: () => false, isMaintained: true };
      stop = keepSchedules(queues as never, { ...usual, ...different });
    }
    const turns = async (): Promise<void> => {
      for (let n = 0; n < 5; n++) await new Promise((resolve) => setImmediate(resolve));
    };

    it('are set again every ten seconds, until the process ends', async () => {
      start();
      await turns();
      expect(kept).to.have.length(periodic);
      mock.timers.tick(10_000);
      await turns();
      expect(kept).to.have.length(2 * periodic);
      stop();
      mock.timers.tick(60_000);
      await turns();
      expect(kept).to.have.length(2 * periodic);
    });

    it('are set by one renewal at a time, however long Redis takes', async () => {
      let answer = (): void => undefined;
      hold = new Promise((resolve) => (answer = resolve));
      start();
      mock.timers.tick(50_000);
      await turns();
      expect(kept).to.have.length(1);
      answer();
      await turns();
      expect(kept).to.have.length(periodic);
    });

    it('are set again after Redis was away, which is no reason to end', async () => {
      hold = Promise.reject(new Error('Redis is away'));
      hold.catch(() => undefined);
      start();
      await turns();
      hold = Promise.resolve();
      kept = [];
      mock.timers.tick(10_000);
      await turns();
      expect(kept).to.have.length(periodic);
    });

    it('are not set by a process whose clock is off', async () => {
      let rests = true;
      start({ restsNow: () => rests });
      await turns();
      expect([kept, removed]).to.deep.equal([[], []]);
      rests = false;
      mock.timers.tick(10_000);
      await turns();
      expect(kept).to.have.length(periodic);
    });

    it('take those of an earlier version away only where periodic jobs run', async () => {
      start({ isMaintained: false });
      await turns();
      expect([kept.length, removed]).to.deep.equal([periodic, []]);
      stop();
      start();
      await turns();
      expect(removed).to.deep.equal(['upkeep']);
    });

    it('leave no job behind that went well, and few that did not', async () => {
      start();
      await turns();
      for (const { opts } of kept) expect(opts).to.deep.equal({ removeOnComplete: true, removeOnFail: 100 });
    });
  });
});
