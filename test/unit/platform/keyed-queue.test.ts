import { expect } from 'chai';
import { KeyedQueue, type KeyedQueueOptions } from '../../../src/platform/concurrency/keyed-queue.ts';

function open(different: Partial<KeyedQueueOptions> = {}): KeyedQueue {
  const refusal = (): Error => new Error('full');
  return new KeyedQueue({ width: 2, waiting: 1, longestWaitMs: 5_000, most: 100, refusal, ...different });
}

/** Pieces of work that run until all are told to end. */
function work(mutex: KeyedQueue) {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const begun: string[] = [];
  return {
    begun,
    end: () => end(),
    come: (key: string): Promise<string> =>
      mutex
        .run(key, async () => {
          begun.push(key);
          await ended;
          return 'done';
        })
        .catch((error: unknown) => (error as Error).message),
  };
}

describe('turns by key', () => {
  it('run so many of a key at once, keep so many waiting, and refuse the rest; other keys are not concerned', async () => {
    const { begun, come, end } = work(open());
    const all = ['a', 'a', 'a', 'a', 'b', 'b'].map(come);
    expect(await all[3]).to.equal('full');
    expect(begun).to.deep.equal(['a', 'a', 'b', 'b']);
    end();
    expect(await Promise.all(all)).to.deep.equal(['done', 'done', 'done', 'full', 'done', 'done']);
    expect(begun).to.have.lengthOf(5);
  });

  it('refuse who waited too long, and do not run him any more', async () => {
    const { begun, come, end } = work(open({ width: 1, longestWaitMs: 5 }));
    const first = come('a');
    expect(await come('a')).to.equal('full');
    end();
    expect(await first).to.equal('done');
    expect(begun).to.deep.equal(['a']);
  });

  it('have a bound over all keys', async () => {
    const { come, end } = work(open({ most: 3 }));
    const all = ['a', 'b', 'c'].map(come);
    expect(await come('d')).to.equal('full');
    end();
    await Promise.all(all);
    expect(await come('d')).to.equal('done');
  });

  it('forget a key whose work is done, refused or failed', async () => {
    const mutex = open();
    const { come, end } = work(mutex);
    const all = ['a', 'a', 'a', 'a', 'b'].map(come);
    expect(mutex.size).to.equal(2);
    end();
    await Promise.all(all);
    const failed = await mutex.run('c', () => Promise.reject(new Error('broken'))).catch(String);
    expect(failed).to.equal('Error: broken');
    expect(mutex.size).to.equal(0);
  });
});
