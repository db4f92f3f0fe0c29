/** How long a reader waits for a document: on a clock that the test moves. */
import { mock } from 'node:test';
import { expect } from 'chai';
import {
  PassthroughReader,
  type PassthroughReading,
} from '../../../src/features/coingecko-api/passthrough-reader.ts';
import type { PassthroughStore } from '../../../src/features/coingecko-api/passthrough-store.ts';

describe('a document that is waited for', () => {
  let stored: Awaited<ReturnType<PassthroughStore['read']>>;
  let reading: PassthroughReading | undefined;
  let listeners = 0;

  beforeEach(async () => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 });
    stored = { response: undefined, failure: undefined };
    reading = undefined;
    listeners = 0;
    const reader = new PassthroughReader({
      store: { read: () => Promise.resolve(stored), want: () => Promise.resolve(true) },
      channel: {
        listen: () => {
          listeners += 1;
          return () => (listeners -= 1);
        },
      },
      clock: { now: () => Date.now() },
      enqueue: () => Promise.resolve(),
      pendingState: () => Promise.resolve('pending'),
    });
    void reader.read({ path: '/global', freshMs: 60_000, waitMs: 700 }).then((each) => (reading = each));
    await pass(0);
  });
  afterEach(() => mock.timers.reset());

  async function pass(ms: number): Promise<void> {
    mock.timers.tick(ms);
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }

  it('is given up at the deadline and not at the look after it', async () => {
    await pass(500);
    await pass(199);
    expect(reading).to.equal(undefined);
    await pass(1);
    expect(reading).to.deep.equal({ state: 'pending' });
  });

  it('is found by a look when no news of it comes', async () => {
    stored = { response: { json: '{}', receivedAt: Date.now() }, failure: undefined };
    await pass(500);
    expect(reading?.state).to.equal('fresh');
  });

  it('is listened for until its reader has an answer, and no longer', async () => {
    expect(listeners).to.equal(1);
    await pass(500);
    await pass(200);
    expect(reading).to.deep.equal({ state: 'pending' });
    expect(listeners).to.equal(0);
  });
});
