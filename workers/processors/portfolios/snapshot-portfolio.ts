import type { createSnapshotTaker } from '../../../src/features/portfolios/valuation/snapshot-taker.ts';
import type { Processor } from '../../runtime/processor.ts';
import { PutBack } from '../../runtime/requeue.ts';

/** Time (ms) in which quotes that nobody waits for have most likely come. */
const quotesComeMs = 10_000;

/** Notes what a portfolio is worth after a change. Done twice, there are two snapshots of the same. */
export function createPortfolioSnapshot(
  snapshots: Pick<ReturnType<typeof createSnapshotTaker>, 'ofChange'>,
): Processor<'portfolio.snapshot'> {
  return async ({ portfolioId }, context) => {
    // What changes from here on adds a job of its own.
    await context.releaseDeduplication();
    const taken = await snapshots.ofChange(portfolioId, context.start === 1);
    // It waits in the queue, not in a place that updates of books need.
    if (taken === 'wanting') throw new PutBack('quotes are being fetched', quotesComeMs);
    return null;
  };
}
