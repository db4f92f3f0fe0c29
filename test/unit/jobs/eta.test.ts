import { expect } from 'chai';
import { etaSeconds } from '../../../src/features/jobs/eta.ts';
import { pollAfterSeconds } from '../../../src/features/jobs/submit-job.ts';
import { jobRecord } from '../../http/support/ports.ts';

describe('etaSeconds', () => {
  it('is a moment while the budget has room', () => {
    expect(etaSeconds(500, 250, { limit: 30, available: 2, nextGrantInMs: 0 })).to.equal(1);
  });

  it('counts the wait for the first call, then the rate of the budget', () => {
    const budget = { limit: 30, available: 0, nextGrantInMs: 4_000 };
    expect(etaSeconds(250, 250, budget)).to.equal(5);
    expect(etaSeconds(251, 250, budget)).to.equal(7);
    expect(etaSeconds(12_000, 250, budget)).to.equal(4 + 47 * 2 + 1);
  });

  it('counts only the calls that cannot be made at once', () => {
    expect(etaSeconds(1_000, 250, { limit: 30, available: 2, nextGrantInMs: 4_000 })).to.equal(4 + 2 + 1);
  });

  it('is no sooner than the month allows', () => {
    const budget = { limit: 30, available: 0, nextGrantInMs: 0 };
    expect(etaSeconds(500, 250, { ...budget, month: { affordablePerHour: 60 } })).to.equal(61);
    expect(etaSeconds(500, 250, { ...budget, month: { affordablePerHour: 36_000 } })).to.equal(3);
    expect(etaSeconds(500, 250, { ...budget, month: null })).to.equal(3);
  });
});

describe('pollAfterSeconds', () => {
  it('is what the job is expected to take, from a second to a minute, and nothing once it has ended', () => {
    const running = jobRecord({ state: 'running' });
    expect([null, 0, 6.2, 59, 86_400].map((eta) => pollAfterSeconds(running, eta))).to.deep.equal([
      1, 1, 7, 59, 60,
    ]);
    expect(pollAfterSeconds(jobRecord({ state: 'completed' }), 5)).to.equal(undefined);
  });
});
