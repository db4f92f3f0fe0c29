import { expect } from 'chai';
import { createBell } from '../../../src/platform/concurrency/wake-signal.ts';

const farAway = 60_000;

describe('bell', () => {
  it('wakes the side that waits', async () => {
    const bell = createBell();
    const waiting = bell.wait(farAway);
    bell.ring();
    await waiting;
  });

  it('is heard by the next wait when nobody waited', async () => {
    const bell = createBell();
    bell.ring();
    await bell.wait(farAway);
  });

  it('is heard once', async () => {
    const bell = createBell();
    bell.ring();
    await bell.wait(farAway);
    let woken = false;
    const second = bell.wait(farAway).then(() => (woken = true));
    await new Promise(setImmediate);
    expect(woken).to.equal(false);
    bell.ring();
    await second;
  });
});
