import { expect } from 'chai';
import { createThreadPool } from '../../../workers/runtime/thread-pool.ts';
import { createAggregator } from '../../../workers/threads/aggregate.ts';
import { waitFor } from '../../support/wait-for.ts';

const perKind = 2;
const longTask = new URL(`../../support/stand-in-long-task.${import.meta.url.slice(-2)}`, import.meta.url)
  .href;
const rows = { readings: [], holdings: [{ asset: 'bitcoin', quantity: '2' }], fetchMs: 3 };

describe('the threads of a worker', () => {
  let pool: ReturnType<typeof createThreadPool>;
  beforeEach(() => {
    pool = createThreadPool(perKind);
  });
  afterEach(() => pool.close());

  it('finish a short task while all those for long tasks are busy and more long tasks wait', async () => {
    const state = new Int32Array(new SharedArrayBuffer(12));
    const running = Array.from({ length: perKind + 2 }, () =>
      pool.run<number>(longTask, state, { transfer: [], isLong: true }),
    );
    try {
      await waitFor(() => state[0] === perKind, { what: 'long tasks in all their threads' });
      const result = await createAggregator(pool, 0).run(rows);
      expect(result).to.equal(await createAggregator(pool, Infinity).run(rows));
      expect([...state], 'long tasks that run, were let go, have ended').to.deep.equal([perKind, 0, 0]);
    } finally {
      Atomics.store(state, 1, 1);
      Atomics.notify(state, 1);
    }
    expect(await Promise.all(running)).to.have.members([1, 2, 3, 4]);
  }).timeout(30_000);

  it('take what is handed over, and tell the error of a task', async () => {
    const bytes = new TextEncoder().encode('no JSON');
    const file = new URL(`../../../workers/threads/aggregate.${import.meta.url.slice(-2)}`, import.meta.url)
      .href;
    const failed: unknown = await pool
      .run(file, bytes, { transfer: [bytes.buffer], isLong: false })
      .catch((error: unknown) => error);
    expect(failed).to.be.instanceOf(SyntaxError);
    expect(bytes).to.have.length(0);
  }).timeout(30_000);
});
