import { expect } from 'chai';
import { RateLimitedError } from '../../../src/domain/errors.ts';
import { createUserBacklog } from '../../../src/features/jobs/backlogs.ts';

describe('the backlog of a user', () => {
  let now: number;
  let stored: Map<string, number>;
  let requested: string[];
  let backlog: ReturnType<typeof createUserBacklog>;

  beforeEach(() => {
    now = 1_000_000;
    stored = new Map();
    requested = [];
    const count = (userId: string): Promise<number> => {
      requested.push(userId);
      return Promise.resolve(stored.get(userId) ?? 0);
    };
    backlog = createUserBacklog({ count, clock: { now: () => now }, limit: 3 });
  });

  const outcome = (userId: string): Promise<unknown> =>
    backlog.take(userId).then(
      () => 'taken',
      (error: unknown) => error,
    );

  it('admits as many at once as there is room for, with one question', async () => {
    stored.set('joe', 1);
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => outcome('joe')));
    expect(outcomes.slice(0, 2)).to.deep.equal(['taken', 'taken']);
    for (const refusal of outcomes.slice(2)) {
      expect(refusal).to.be.instanceOf(RateLimitedError);
      expect(refusal).to.include({ code: 'too_many_open_jobs', status: 429, retryAfterSeconds: 10 });
    }
    expect(requested).to.deep.equal(['joe']);
  });

  it('bounds each user alone', async () => {
    stored.set('joe', 3);
    expect(await outcome('joe')).to.be.instanceOf(RateLimitedError);
    expect(await outcome('ann')).to.equal('taken');
  });

  it('looks again after a second', async () => {
    stored.set('joe', 3);
    await outcome('joe');
    stored.set('joe', 2);
    now += 1_001;
    expect(await outcome('joe')).to.equal('taken');
  });

  it('remembers a count for no less than a second', async () => {
    stored.set('joe', 3);
    await outcome('joe');
    stored.set('joe', 2);
    now += 1_000;
    expect(await outcome('joe')).to.be.instanceOf(RateLimitedError);
  });

  it('remembers no more than ten thousand users, and forgets those first that it counted longest ago', async () => {
    const users = Array.from({ length: 10_000 }, (_, n) => `user-${n}`);
    for (const user of users) await backlog.take(user);
    now += 1_001;
    await backlog.take('user-0');
    await backlog.take('somebody else');
    requested.length = 0;
    await backlog.take('user-0');
    expect(requested, 'counted a moment ago').to.deep.equal([]);
    now -= 1_001;
    await backlog.take('user-1');
    expect(requested, 'no longer remembered').to.deep.equal(['user-1']);
  });

  it('gives back the room of a job that was not stored', async () => {
    stored.set('joe', 2);
    const giveBack = await backlog.take('joe');
    expect(await outcome('joe')).to.be.instanceOf(RateLimitedError);
    giveBack();
    expect(await outcome('joe')).to.equal('taken');
  });

  it('asks again after a question that failed', async () => {
    let fails = true;
    const count = () => (fails ? Promise.reject(new Error('away')) : Promise.resolve(0));
    backlog = createUserBacklog({ count, clock: { now: () => now }, limit: 3 });
    expect(await outcome('joe'))
      .to.be.an('error')
      .with.property('message', 'away');
    fails = false;
    expect(await outcome('joe')).to.equal('taken');
  });
});
