import { mock } from 'node:test';
import { expect } from 'chai';
import {
  FairQueue,
  type Caller,
  type FairQueueOptions,
} from '../../../src/platform/concurrency/fair-queue.ts';

function open(different: Partial<FairQueueOptions> = {}): FairQueue {
  return new FairQueue({
    width: 1,
    waiting: 100,
    waitingPerCaller: 10,
    longestWaitMs: 5_000,
    refusal: () => new Error('full'),
    ...different,
  });
}

/** Work that ends when it is told to. */
function held(): { readonly work: () => Promise<void>; readonly end: () => void } {
  let end = (): void => undefined;
  const done = new Promise<void>((resolve) => (end = resolve));
  return { work: () => done, end: () => end() };
}

describe('turns', () => {
  it('have no more room, once those whose turn has come would have waited too long', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const queue = open({ waiting: 2, longestWaitMs: 1_000 });
      const [first, second] = [held(), held()];
      const running = [queue.run(first.work, 'a'), queue.run(second.work, 'b')];
      first.end();
      await running[0];
      mock.timers.tick(1_000);
      const outcomes: string[] = [];
      const all = ['c', 'd', 'e'].map((caller) =>
        queue.run(() => Promise.resolve(), caller).catch((error: unknown) => outcomes.push(String(error))),
      );
      second.end();
      await Promise.all([...running, ...all]);
      expect(outcomes).to.deep.equal(['Error: full']);
    } finally {
      mock.timers.reset();
    }
  });

  it('go round the callers, and within a caller by the order of arrival', async () => {
    const queue = open();
    const first = held();
    const order: string[] = [];
    const come = (caller: string, what: string): Promise<void> =>
      queue.run(() => Promise.resolve(void order.push(what)), caller);
    const all = [
      queue.run(first.work, 'a'),
      ...['a1', 'a2', 'a3'].map((what) => come('a', what)),
      come('b', 'b1'),
      come('c', 'c1'),
      come('b', 'b2'),
    ];
    first.end();
    await Promise.all(all);
    expect(order).to.deep.equal(['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
  });

  it('refuse who has waited too long, and forget him', async () => {
    const queue = open({ longestWaitMs: 20, waiting: 1 });
    const first = held();
    const running = queue.run(first.work, 'a');
    let ran = false;
    const late = await queue.run(() => Promise.resolve((ran = true)), 'b').catch((error: unknown) => error);
    expect(late).to.include({ message: 'full' });
    const next = queue.run(() => Promise.resolve('served'), 'b');
    first.end();
    await running;
    expect(await next).to.equal('served');
    expect(ran).to.equal(false);
  });

  it('give the place on when work fails', async () => {
    const queue = open();
    const failing = queue.run(() => Promise.reject(new Error('broken')), 'a').catch(() => 'failed');
    expect(await Promise.all([failing, queue.run(() => Promise.resolve('served'), 'a')])).to.deep.equal([
      'failed',
      'served',
    ]);
    expect(await queue.run(() => Promise.resolve('again'), 'a')).to.equal('again');
  });

  it('count callers one by one, and those without a name only together', async () => {
    const queue = open({ waitingPerCaller: 2, waiting: 5 });
    const first = held();
    const callers = ['x', 'a', 'a', 'a', undefined, undefined, undefined, 'b'];
    const outcomes = callers.map((caller, i) =>
      queue.run(i === 0 ? first.work : () => Promise.resolve(), caller).then(
        () => true,
        () => false,
      ),
    );
    first.end();
    expect(await Promise.all(outcomes)).to.deep.equal([true, true, true, false, true, true, true, false]);
  });

  it('keep places for those who are known, which no crowd of strangers takes', async () => {
    const queue = open({ waiting: 4, waitingKnown: 2 });
    const first = held();
    const come = (caller: Caller | string | undefined): Promise<boolean> =>
      queue
        .run(() => Promise.resolve(), caller)
        .then(
          () => true,
          () => false,
        );
    const running = queue.run(first.work, 'x');
    const strangers = Array.from({ length: 10 }, (_, i) => come(`stranger ${i}`));
    const known = ['a', 'b', 'c'].map((from) => come({ from, isKnown: true }));
    const unnamed = come(undefined);
    first.end();
    await running;
    expect((await Promise.all(strangers)).filter(Boolean)).to.have.length(4);
    expect(await Promise.all(known)).to.deep.equal([true, true, false]);
    expect(await unnamed).to.equal(false);
    expect(await Promise.all(['d', { from: 'e', isKnown: true }].map(come))).to.deep.equal([true, true]);
  });

  it('let one who is known fill neither the places of all, nor those of strangers', async () => {
    const queue = open({ waiting: 2, waitingKnown: 4, waitingPerCaller: 3 });
    const first = held();
    const come = (caller: Caller): Promise<boolean> =>
      queue
        .run(() => Promise.resolve(), caller)
        .then(
          () => true,
          () => false,
        );
    const running = queue.run(first.work, 'x');
    const burst = Array.from({ length: 6 }, () => come({ from: 'a', isKnown: true }));
    const others = [{ from: 'b', isKnown: true }, { from: 'a' }, { from: 'a', isKnown: false }].map(come);
    first.end();
    await running;
    expect(await Promise.all(burst)).to.deep.equal([true, true, true, false, false, false]);
    expect(await Promise.all(others)).to.deep.equal([true, true, true]);
  });

  it('call those who are known first, in turn, and a stranger after every three', async () => {
    const queue = open({ waitingKnown: 10 });
    const first = held();
    const order: string[] = [];
    const come = (caller: Caller, what: string): Promise<void> =>
      queue.run(() => Promise.resolve(void order.push(what)), caller);
    const all = [
      queue.run(first.work, 'x'),
      ...['s1', 's2', 's3', 's4'].map((what) => come({ from: what }, what)),
      ...['a1', 'a2', 'a3', 'a4'].map((what) => come({ from: 'a', isKnown: true }, what)),
      ...['b1', 'b2'].map((what) => come({ from: 'b', isKnown: true }, what)),
    ];
    first.end();
    await Promise.all(all);
    expect(order).to.deep.equal(['a1', 'b1', 'a2', 's1', 'b2', 'a3', 'a4', 's2', 's3', 's4']);
  });

  it('forget one who is known and has waited too long', async () => {
    const queue = open({ longestWaitMs: 20, waitingKnown: 1 });
    const first = held();
    const running = queue.run(first.work, 'x');
    const known = { from: 'a', isKnown: true };
    const late = await queue.run(() => Promise.resolve(), known).catch((error: unknown) => error);
    expect(late).to.include({ message: 'full' });
    const next = queue.run(() => Promise.resolve('served'), known);
    first.end();
    await running;
    expect(await next).to.equal('served');
  });
});
