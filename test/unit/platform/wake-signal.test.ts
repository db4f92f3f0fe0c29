import { expect } from 'chai';
import { createWakeSignal } from '../../../src/platform/concurrency/wake-signal.ts';

const farAway = 60_000;

describe('bell', () => {
  it('wakes the side that waits', async () => {
    const wakeSignal = createWakeSignal();
    const waiting = wakeSignal.wait(farAway);
    wakeSignal.wake();
    await waiting;
  });

  it('is heard by the next wait when nobody waited', async () => {
    const wakeSignal = createWakeSignal();
    wakeSignal.wake();
    await wakeSignal.wait(farAway);
  });

  it('is heard once', async () => {
    const wakeSignal = createWakeSignal();
    wakeSignal.wake();
    await wakeSignal.wait(farAway);
    let woken = false;
    const second = wakeSignal.wait(farAway).then(() => (woken = true));
    await new Promise(setImmediate);
    expect(woken).to.equal(false);
    wakeSignal.wake();
    await second;
  });
});
