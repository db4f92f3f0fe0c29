import type { createSnapshotTaker } from '../../../src/features/portfolios/valuation/snapshot-taker.ts';
import type { Processor } from '../../runtime/processor.ts';
import { Requeue } from '../../runtime/requeue.ts';

/** Time (ms) in which quotes of the lowest urgency have most likely arrived. */
const quotesComeMs = 10_000;

/** Stores the value of a portfolio after a change. Done twice, there are two equal snapshots. */
export function createPortfolioSnapshot(
  snapshots: Pick<ReturnType<typeof createSnapshotTaker>, 'ofChange'>,
): Processor<'portfolio.snapshot'> {
  return async ({ portfolioId }, context) => {
    // Changes from here on add a job of their own.
    await context.releaseDeduplication();
    const taken = await snapshots.ofChange(portfolioId, context.start === 1);
    // It waits in the queue, not in a slot that updates of books need.
    if (taken === 'wanting') throw new Requeue('quotes are being fetched', quotesComeMs);
    return null;
  };
}
