import { expect } from 'chai';
import { createAttemptSlots, type AttemptSlot } from '../../../src/features/webhooks/attempt-limits.ts';
import { retryAfterMsOf, retryPausesMs, verdictOf } from '../../../src/features/webhooks/verdict.ts';

const rules = { pausesMs: retryPausesMs, random: () => 0 };
const failed = { status: 500, error: 'The receiver answered 500' };

describe('what follows an attempt', () => {
  it('is the end when the receiver took it', () => {
    expect(verdictOf({ status: 204 }, 1, rules)).to.equal('delivered');
  });

  it('is another attempt, later each time, until they are used up', () => {
    const verdicts = Array.from({ length: 8 }, (_, index) => verdictOf(failed, index + 1, rules));
    const pauses = [5, 30, 120, 600, 3_600, 21_600, 86_400].map((seconds) => ({ afterMs: seconds * 1_000 }));
    expect(verdicts).to.deep.equal([...pauses, 'dead']);
    expect(verdictOf(failed, 9, rules)).to.equal('dead');
  });

  it('comes up to a fifth later, so that receivers are not met by everything at once', () => {
    expect(verdictOf(failed, 1, { ...rules, random: () => 1 })).to.deep.equal({ afterMs: 6_000 });
  });

  it('is the end when trying again is of no use', () => {
    expect(verdictOf({ status: 410, error: 'gone', isHopeless: true }, 1, rules)).to.equal('dead');
  });

  it('waits for as long as the receiver asks, a day at most, and never shorter than without', () => {
    const after = (retryAfterMs: number) => verdictOf({ ...failed, retryAfterMs }, 1, rules);
    expect(after(60_000)).to.deep.equal({ afterMs: 60_000 });
    expect(after(1)).to.deep.equal({ afterMs: 5_000 });
    expect(after(1e12)).to.deep.equal({ afterMs: 86_400_000 });
  });

  it('reads Retry-After as seconds and as a date', () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    expect(retryAfterMsOf('120', now)).to.equal(120_000);
    expect(retryAfterMsOf('Thu, 01 Jan 2026 00:01:00 GMT', now)).to.equal(60_000);
    for (const odd of ['Wed, 31 Dec 2025 00:00:00 GMT', 'soon', '-5', '', undefined])
      expect(retryAfterMsOf(odd, now)).to.equal(undefined);
  });
});

describe('the turns of attempts', () => {
  const slow = { host: 'slow', user: 'joe' };

  it('are given up to a number for each host, and to other hosts all the same', () => {
    const slots = createAttemptSlots({ perHost: 2, perUser: 9, now: () => 0 });
    const [first] = [slots.enter(slow, false), slots.enter(slow, false)] as AttemptSlot[];
    expect(slots.enter(slow, false)).to.have.property('retryAfterMs').that.is.at.least(100);
    expect(slots.enter({ ...slow, host: 'other' }, false)).to.have.property('leave');
    first?.leave();
    expect(slots.enter(slow, true)).to.have.property('leave');
    expect(slots.enter(slow, true)).to.have.property('retryAfterMs');
  });

  it('are given up to a number for each user, whatever the hosts', () => {
    const slots = createAttemptSlots({ perHost: 2, perUser: 3, now: () => 0 });
    const at = (host: string, user: string) => slots.enter({ host, user }, false);
    const taken = ['a', 'b', 'c'].map((host) => at(host, 'joe')) as AttemptSlot[];
    expect(at('d', 'joe')).to.have.property('retryAfterMs');
    expect(at('d', 'ada')).to.have.property('leave');
    taken[0]?.leave();
    expect(at('d', 'joe')).to.have.property('leave');
  });

  it('are worth waiting for the longer, the slower the host and the longer the queue', () => {
    const slots = createAttemptSlots({ perHost: 1, perUser: 9, now: () => 0 });
    for (let round = 0; round < 20; round++) {
      const slot = slots.enter(slow, false) as AttemptSlot;
      slot.leave(4_000);
    }
    slots.enter(slow, false);
    const waits = Array.from({ length: 25 }, () => slots.enter(slow, false) as { retryAfterMs: number });
    expect(waits[0]?.retryAfterMs).to.be.within(1_900, 2_000);
    expect(waits[3]?.retryAfterMs).to.be.within(7_500, 8_000);
    expect(waits.at(-1)?.retryAfterMs).to.equal(30_000);
  });

  it('are worth waiting for longer as soon as a host keeps one for long', () => {
    let now = 0;
    const slots = createAttemptSlots({ perHost: 1, perUser: 9, now: () => now });
    slots.enter(slow, false);
    expect(slots.enter(slow, false)).to.deep.equal({ retryAfterMs: 100 });
    now = 5_000;
    expect(slots.enter(slow, true)).to.deep.equal({ retryAfterMs: 2_500 });
  });
});
