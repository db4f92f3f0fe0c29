import { isOutage } from '../../../db/outage.ts';
import { expect } from 'chai';
import { createBatcher, type BatcherOptions } from '../../../src/platform/concurrency/batcher.ts';

describe('batcher', () => {
  function batcherOf(options: Partial<BatcherOptions<number, number>> = {}) {
    const batches: (readonly number[])[] = [];
    const opens: (() => void)[] = [];
    const ask = createBatcher<number, number>({
      what: 'doubling',
      maxEntries: 3,
      maxConcurrent: 1,
      maxWaiting: 100,
      maxWaitMs: 5_000,
      run: async (entries) => {
        batches.push(entries);
        await new Promise<void>((resolve) => opens.push(resolve));
        return entries.map((entry) => entry * 2);
      },
      ...options,
    });
    /** Lets every batch end, those that start meanwhile too. */
    const openUntil = async (requested: Promise<unknown>): Promise<void> => {
      const state = { isOver: false };
      const end = (): void => void (state.isOver = true);
      requested.then(end, end);
      while (!state.isOver) {
        opens.splice(0).forEach((open) => open());
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    return { batches, ask, openUntil };
  }

  it('answers together what comes together, each with its own answer', async () => {
    const { batches, ask, openUntil } = batcherOf();
    const requested = Promise.all([ask(1), ask(2), ask(3)]);
    await openUntil(requested);
    expect(await requested).to.deep.equal([2, 4, 6]);
    expect(batches).to.deep.equal([[1, 2, 3]]);
  });

  it('fills the next batches while all places are taken, none above its limit', async () => {
    const { batches, ask, openUntil } = batcherOf();
    const requested = Promise.all([1, 2, 3, 4, 5, 6, 7].map(ask));
    await openUntil(requested);
    expect(await requested).to.deep.equal([2, 4, 6, 8, 10, 12, 14]);
    expect(batches).to.deep.equal([[1, 2, 3], [4, 5, 6], [7]]);
  });

  it('tries each alone when one may have spoilt the batch', async () => {
    const ask = createBatcher<number, number>({
      what: 'doubling',
      maxEntries: 10,
      maxConcurrent: 1,
      maxWaiting: 10,
      maxWaitMs: 1_000,
      isOneToBlame: (error) => error instanceof RangeError,
      run: (entries) =>
        entries.includes(13)
          ? Promise.reject(new RangeError('13'))
          : Promise.resolve(entries.map((n) => n * 2)),
    });
    const ends = await Promise.allSettled([ask(1), ask(13), ask(2)]);
    expect(ends.map(({ status }) => status)).to.deep.equal(['fulfilled', 'rejected', 'fulfilled']);
  });

  it('fails all at once for a reason that is nobody’s own, and goes on afterwards', async () => {
    let runs = 0;
    const ask = createBatcher<number, number>({
      what: 'doubling',
      maxEntries: 10,
      maxConcurrent: 1,
      maxWaiting: 10,
      maxWaitMs: 1_000,
      isOneToBlame: () => false,
      run: (entries) => (++runs === 1 ? Promise.reject(new Error('down')) : Promise.resolve([...entries])),
    });
    const ends = await Promise.allSettled([ask(1), ask(2)]);
    expect(ends.map(({ status }) => status)).to.deep.equal(['rejected', 'rejected']);
    expect(runs).to.equal(1);
    expect(await ask(5)).to.equal(5);
  });

  it('refuses what comes when too many wait, and what waits too long', async () => {
    const { ask, openUntil } = batcherOf({ maxWaiting: 2, maxWaitMs: 20 });
    const first = ask(1);
    await new Promise((resolve) => setImmediate(resolve));
    const waiting = [ask(2), ask(3)];
    const refused = await ask(4).catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(Error).with.property('message').that.includes('too many wait');
    // So that the API answers 503 and not 500.
    expect(isOutage(refused)).to.equal(true);
    const late = await Promise.allSettled(waiting);
    expect(late.map(({ status }) => status)).to.deep.equal(['rejected', 'rejected']);
    await openUntil(first);
    expect(await first).to.equal(2);
  });
});
