/** How long attempts wait for their turn, by who has come back and how long receivers take. */
import { expect } from 'chai';
import { createAttemptSlots, type AttemptSlot } from '../../../src/features/webhooks/attempt-limits.ts';

describe('the wait for the turn of an attempt', () => {
  const joe = { host: 'slow', user: 'joe' };
  let slots: ReturnType<typeof createAttemptSlots>;
  beforeEach(() => {
    slots = createAttemptSlots({ perHost: 1, perUser: 9, now: () => 0 });
  });

  const turn = (isBack = false): AttemptSlot => slots.enter(joe, isBack) as AttemptSlot;
  const wait = (isBack = false): number =>
    (slots.enter(joe, isBack) as { readonly retryAfterMs: number }).retryAfterMs;

  it('is shorter when those who were sent away have had theirs', () => {
    for (let n = 0; n < 40; n++) turn().leave(2_000);
    let held = turn();
    for (let n = 0; n < 10; n++) wait();
    expect(wait(true)).to.be.within(9_900, 10_000);
    for (let n = 0; n < 9; n++) {
      held.leave(2_000);
      held = turn(true);
    }
    expect(wait(true)).to.be.within(990, 1_000);
  });

  it('does not grow with those who come back too early', () => {
    for (let n = 0; n < 40; n++) turn().leave(2_000);
    turn();
    wait();
    for (let n = 0; n < 10; n++) wait(true);
    expect(wait(true)).to.be.within(990, 1_000);
  });

  it('is judged by attempts that were made alone', () => {
    for (let n = 0; n < 40; n++) turn().leave();
    turn();
    expect(wait()).to.equal(100);
    const other = createAttemptSlots({ perHost: 1, perUser: 9, now: () => 0 });
    (other.enter(joe, true) as AttemptSlot).leave(1_000);
    other.enter(joe, true);
    const first = other.enter(joe, false);
    expect(first, 'one attempt tells a little').to.deep.equal({ retryAfterMs: 0.5 * (20 + 0.3 * 980) });
  });
});
