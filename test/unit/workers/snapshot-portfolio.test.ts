import { expect } from 'chai';
import { createPortfolioSnapshot } from '../../../workers/processors/portfolios/snapshot-portfolio.ts';
import type { JobContext } from '../../../workers/runtime/processor.ts';
import { Requeue } from '../../../workers/runtime/requeue.ts';

describe('portfolio.snapshot', () => {
  const portfolioId = '01934c2a-0000-7000-8000-0000000000b0';
  let reported: string[];

  const context = (start: number) =>
    ({
      start,
      releaseDeduplication: () => {
        reported.push('released');
        return Promise.resolve();
      },
    }) as JobContext;

  const run = (start: number) =>
    createPortfolioSnapshot({
      ofChange: (id, mayWait) => {
        reported.push(`${id === portfolioId ? 'taken' : id}, may wait: ${String(mayWait)}`);
        return Promise.resolve(mayWait ? 'wanting' : 'stored');
      },
    })({ portfolioId }, context(start));

  beforeEach(() => {
    reported = [];
  });

  it('lets later changes have a snapshot of their own before it looks at the books', async () => {
    await run(2);
    expect(reported).to.deep.equal(['released', 'taken, may wait: false']);
  });

  it('waits in the queue for quotes, once', async () => {
    const error: unknown = await run(1).catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(Requeue);
    expect((error as Requeue).delayMs).to.equal(10_000);
    expect(await run(2)).to.equal(null);
  });
});
