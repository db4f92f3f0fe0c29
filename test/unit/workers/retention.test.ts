import { expect } from 'chai';
import { retentions, type RetentionName } from '../../../jobs/registry.ts';
import { createRetentions } from '../../../workers/runtime/retention.ts';
import { jobContext } from '../../support/job-context.ts';

describe('retentions', () => {
  const names = Object.keys(retentions) as RetentionName[];
  const nothing = () => Promise.resolve(0);
  const idle = Object.fromEntries(names.map((name) => [name, { rows: nothing }]));

  /** Batches that find so many rows one after the other, then none. */
  function batchesOf(what: string, rows: readonly number[], order: string[] = []): () => Promise<number> {
    const left = [...rows];
    return () => {
      order.push(what);
      return Promise.resolve(left.shift() ?? 0);
    };
  }

  it('delete until nothing is left', async () => {
    const run = createRetentions([{ ...idle, 'jobs.purge': { jobs: batchesOf('jobs', [5_000, 5_000, 3]) } }]);
    expect(await run['jobs.purge']({}, jobContext())).to.deep.equal({ deleted: 10_003 });
  });

  it('go on after what fails, and say what it was', async () => {
    const order: string[] = [];
    const fails = () => Promise.reject(new Error('the disk is full'));
    const run = createRetentions([
      { ...idle, 'sessions.purge': { tokens: fails, sessions: batchesOf('sessions', [7], order) } },
    ]);
    const outcome = await run['sessions.purge']({}, jobContext()).catch((error: unknown) => String(error));
    expect(outcome).to.equal('Error: cleanup is incomplete: tokens: the disk is full');
    expect(order).to.deep.equal(['sessions', 'sessions']);
    expect(await run['jobs.purge']({}, jobContext())).to.deep.equal({ deleted: 0 });
  });

  it('take turns, batch by batch', async () => {
    const order: string[] = [];
    const run = createRetentions([
      {
        ...idle,
        'calls.purge': { calls: batchesOf('calls', [1, 1, 1, 1], order) },
        'audit.purge': { events: batchesOf('events', [1], order) },
      },
    ]);
    await Promise.all([run['calls.purge']({}, jobContext()), run['audit.purge']({}, jobContext())]);
    expect(order.slice(0, 4)).to.deep.equal(['calls', 'events', 'calls', 'events']);
    expect(order).to.have.length(7);
  });

  it('end when the process does', async () => {
    const end = new AbortController();
    const forever = () => {
      end.abort();
      return Promise.resolve(1);
    };
    const run = createRetentions([{ ...idle, 'usage.purge': { usage: forever } }]);
    expect(await run['usage.purge']({}, jobContext(end.signal))).to.deep.equal({ deleted: 1 });
  });

  it('are all there, once', () => {
    expect(() => createRetentions([{}])).to.throw('jobs.purge has 0 retentions');
    expect(() => createRetentions([idle, { 'jobs.purge': { jobs: nothing } }])).to.throw(
      'jobs.purge has 2 retentions',
    );
  });
});
