import { expect } from 'chai';
import { Turns, type TurnsOptions } from '../../../src/auth/turns.ts';

function open(different: Partial<TurnsOptions> = {}): Turns {
  return new Turns({
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
  it('go round the callers, and within a caller by the order of arrival', async () => {
    const turns = open();
    const first = held();
    const order: string[] = [];
    const come = (caller: string, what: string): Promise<void> =>
      turns.run(() => Promise.resolve(void order.push(what)), caller);
    const all = [
      turns.run(first.work, 'a'),
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
    const turns = open({ longestWaitMs: 20, waiting: 1 });
    const first = held();
    const running = turns.run(first.work, 'a');
    let ran = false;
    const late = await turns.run(() => Promise.resolve((ran = true)), 'b').catch((error: unknown) => error);
    expect(late).to.include({ message: 'full' });
    const next = turns.run(() => Promise.resolve('served'), 'b');
    first.end();
    await running;
    expect(await next).to.equal('served');
    expect(ran).to.equal(false);
  });

  it('give the place on when work fails', async () => {
    const turns = open();
    const failing = turns.run(() => Promise.reject(new Error('broken')), 'a').catch(() => 'failed');
    expect(await Promise.all([failing, turns.run(() => Promise.resolve('served'), 'a')])).to.deep.equal([
      'failed',
      'served',
    ]);
    expect(await turns.run(() => Promise.resolve('again'), 'a')).to.equal('again');
  });

  it('count callers one by one, and those without a name only together', async () => {
    const turns = open({ waitingPerCaller: 2, waiting: 5 });
    const first = held();
    const callers = ['x', 'a', 'a', 'a', undefined, undefined, undefined, 'b'];
    const outcomes = callers.map((caller, i) =>
      turns.run(i === 0 ? first.work : () => Promise.resolve(), caller).then(
        () => true,
        () => false,
      ),
    );
    first.end();
    expect(await Promise.all(outcomes)).to.deep.equal([true, true, true, false, true, true, true, false]);
  });
});
