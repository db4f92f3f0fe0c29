import { expect } from 'chai';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import type { OpenWork } from '../../../src/features/jobs/queries/runs.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import { createReconcile } from '../../../workers/processors/jobs/module.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

describe('the reconciliation of jobs', () => {
  /** Where each page that was read began. */
  let looked: (string | undefined)[];
  let added: { name: string; workKey: string; priority: number | undefined }[];

  /** `pages` pages of one open job each; `live` are the works that Redis still has. */
  function maintenanceOver(pages: number, live: readonly string[] = []) {
    [looked, added] = [[], []];
    const runs = {
      openWork({ after }: { after?: string | undefined }) {
        looked.push(after);
        const page = Number(after ?? 0);
        const next = page + 1 < pages ? String(page + 1) : undefined;
        const work = { workKey: `w${page}`, requester: { userId: 'joe' }, submission: {}, total: 7 };
        return Promise.resolve({ works: [{ ...work, name: 'bulk.fetch' }], next });
      },
    } as unknown as Parameters<typeof createReconcile>[1];
    const queues = {
      has: (_name: string, workKey: string) => Promise.resolve(live.includes(workKey)),
      add(name: string, { workKey }: { workKey: string }, { priority }: { priority?: number }) {
        added.push({ name, workKey, priority });
        return Promise.resolve();
      },
    } as unknown as Platform['queues'];
    const reconcile = createReconcile({ queues, log: silentLogger() }, runs);
    return async (): Promise<number> => (await reconcile({}, {} as never)).added;
  }

  it('adds every open work again', async () => {
    const poll = maintenanceOver(3);
    expect(await poll()).to.equal(3);
    expect(added).to.deep.equal(
      ['w0', 'w1', 'w2'].map((workKey) => ({ name: 'bulk.fetch', workKey, priority: 7 })),
    );
  });

  it('leaves alone what Redis still has', async () => {
    expect(await maintenanceOver(3, ['w0', 'w2'])()).to.equal(1);
    expect(added.map(({ workKey }) => workKey)).to.deep.equal(['w1']);
  });

  it('goes on behind the pages of the last look, and from the beginning after the end', async () => {
    const poll = maintenanceOver(7);
    expect([await poll(), await poll(), await poll()]).to.deep.equal([5, 2, 5]);
    expect(looked.slice(0, 8)).to.deep.equal([undefined, '1', '2', '3', '4', '5', '6', undefined]);
  });

  /** One page of these works, none of which Redis has. */
  async function addedOf(works: readonly Partial<OpenWork>[]) {
    const jobs: { readonly name: string; readonly data: object; readonly options: object }[] = [];
    const { log, lines } = recordingLogger();
    const queues = {
      has: () => Promise.resolve(false),
      add: (name: string, data: object, options: object) =>
        Promise.resolve(void jobs.push({ name, data, options })),
    } as unknown as Platform['queues'];
    const work = { name: 'bulk.fetch', workKey: 'w', requester: { userId: 'joe' }, submission: {}, total: 7 };
    const requested: unknown[] = [];
    const runs = {
      openWork: (page: object) => {
        requested.push(page);
        return Promise.resolve({ works: works.map((each) => ({ ...work, ...each })), next: undefined });
      },
    };
    const { added: count } = await createReconcile({ queues, log }, runs)({}, {} as never);
    return { count, jobs, lines, requested };
  }

  it('adds it as it was submitted: on the same account, deduplicated by its work', async () => {
    const requester = { userId: 'joe', keyId: 'key' };
    const { jobs, requested } = await addedOf([{ requester, submission: { currency: 'eur' } }]);
    expect(jobs).to.deep.equal([
      {
        name: 'bulk.fetch',
        data: { currency: 'eur', workKey: 'w', requester: 'joe/key' },
        options: { deduplication: { id: 'w' }, priority: 7 },
      },
    ]);
    expect(requested).to.deep.equal([{ seconds: 3, limit: 1_000, after: undefined }]);
  });

  it('adds jobs on portfolios in the turn of each user', async () => {
    const of = (userId: string, name: OpenWork['name'] = 'books.rebuild') => ({
      requester: { userId },
      name,
    });
    const { jobs } = await addedOf([of('joe'), of('joe'), of('ann'), of('joe', 'bulk.fetch'), of('joe')]);
    const priorities = jobs.map(({ options }) => (options as { priority: number }).priority);
    expect(priorities).to.deep.equal([1, 2, 1, 7, 3]);
  });

  it('adds no job that nobody knows, says so in the log, and goes on', async () => {
    const { count, jobs, lines } = await addedOf([{ name: 'no.such', workKey: 'x' }, {}]);
    expect([count, jobs.length]).to.deep.equal([1, 1]);
    expect(lines).to.deep.equal([
      {
        level: 'error',
        fields: { name: 'no.such', workKey: 'x' },
        message:
          'this version does not know a stored unfinished job: it stays queued until a version that knows it runs (was the version rolled back?)',
      },
    ]);
  });
});
