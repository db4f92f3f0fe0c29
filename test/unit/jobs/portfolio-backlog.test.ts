import { expect } from 'chai';
import { RateLimitedError } from '../../../src/domain/errors.ts';
import { createPortfolioBacklog } from '../../../src/features/jobs/backlogs.ts';

describe('portfolio backlog', () => {
  let open: number;
  let isAway: boolean;
  let backlog: ReturnType<typeof createPortfolioBacklog>;

  beforeEach(() => {
    [open, isAway] = [0, false];
    const count = (): Promise<number> =>
      isAway ? Promise.reject(new Error('Postgres is away')) : Promise.resolve(open);
    backlog = createPortfolioBacklog({ count, limit: 3 });
  });

  const refusalOf = (taking: Promise<unknown>): Promise<unknown> =>
    taking.then(
      () => undefined,
      (error: unknown) => error,
    );

  it('says how many jobs of the user are before this one, those on their way included', async () => {
    open = 1;
    expect((await backlog.take('joe')).ahead).to.equal(1);
    expect((await backlog.take('joe')).ahead).to.equal(2);
    expect((await backlog.take('eve')).ahead).to.equal(1);
    expect(await refusalOf(backlog.take('joe')))
      .to.be.instanceOf(RateLimitedError)
      .that.includes({
        code: 'portfolio_backlog_full',
        retryAfterSeconds: 10,
        message: 'You already have 3 unfinished jobs on portfolios',
      });
  });

  it('keeps no place for a job that was refused', async () => {
    open = 3;
    for (let job = 0; job < 9; job += 1) await refusalOf(backlog.take('joe'));
    open = 0;
    expect((await backlog.take('joe')).ahead).to.equal(0);
  });

  it('counts a job no longer as on its way once it is stored, or never will be', async () => {
    for (let job = 0; job < 9; job += 1) (await backlog.take('joe')).settle();
    open = 2;
    const last = await backlog.take('joe');
    expect(last.ahead).to.equal(2);
    await refusalOf(backlog.take('joe'));
    last.settle();
    expect((await backlog.take('joe')).ahead).to.equal(2);
  });

  it('keeps no place for what could not be counted', async () => {
    isAway = true;
    for (let job = 0; job < 9; job += 1)
      expect(await refusalOf(backlog.take('joe'))).to.have.property('message', 'Postgres is away');
    isAway = false;
    expect((await backlog.take('joe')).ahead).to.equal(0);
  });
});
