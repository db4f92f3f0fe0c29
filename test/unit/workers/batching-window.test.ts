import { expect } from 'chai';
import { waitForBatch } from '../../../workers/processors/upstream/batching-window.ts';

/** Waits while demand has these sizes, one look after the other; returns how many looks there were. */
async function looksAt(sizes: readonly number[], full = 250): Promise<number> {
  let polls = 0;
  const size = (): Promise<number> => Promise.resolve(sizes[Math.min(polls++, sizes.length - 1)]!);
  await waitForBatch({ demand: { size }, currency: 'usd', full, signal: new AbortController().signal });
  return polls;
}

describe('joining a batch', () => {
  it('waits a moment for one asset alone', async () => {
    expect(await looksAt([1, 1])).to.equal(2);
  });

  it('waits as long as others join, until the batch is full', async () => {
    expect(await looksAt([1, 90, 180, 250, 400])).to.equal(4);
    expect(await looksAt([1, 90, 90, 250])).to.equal(3);
  });

  it('waits for nobody when the batch is full already', async () => {
    expect(await looksAt([250])).to.equal(1);
  });

  it('ends its waiting, however slowly they join', async () => {
    expect(
      await looksAt(
        Array.from({ length: 1_000 }, (_, index) => index + 1),
        5_000,
      ),
    ).to.be.within(2, 30);
  });
});
