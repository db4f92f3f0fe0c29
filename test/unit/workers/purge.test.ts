import { expect } from 'chai';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import { createReconcile } from '../../../workers/processors/jobs/module.ts';

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
});
