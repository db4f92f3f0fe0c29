/** What alerts on one value do, however its values arrive. */
import { expect } from 'chai';
import fc from 'fast-check';
import {
  AlertIndex,
  LevelHeap,
  Subject,
  type StartedTransition,
} from '../../../src/features/alerts/subject.ts';
import type { Alert } from '../../../src/features/alerts/alert.ts';
import { generatedRuns } from '../../support/generated-runs.ts';
import { sampleAlert, sampleObservation } from './sample-alert.ts';

interface Tick {
  readonly at: number;
  readonly value: number;
}

/** The alert as a database would make it. */
function after({ alert, transition, observation }: StartedTransition): Alert {
  const isFiring = transition === 'fired';
  return {
    ...alert,
    state: transition,
    observedAt: new Date(observation.at),
    version: alert.version + 1,
    firedCount: alert.firedCount + (isFiring ? 1 : 0),
  };
}

/** Moments at which an alert fires when each tick is delivered, and each move stored at once. */
function firingsOf(alert: Alert, ticks: readonly Tick[]): number[] {
  const subject = new Subject(alert);
  subject.put(alert);
  const fired: number[] = [];
  for (const { at, value } of ticks) {
    for (let [started] = subject.see(sampleObservation(String(value), at)); started !== undefined;) {
      if (started.transition === 'fired') fired.push(started.observation.at);
      started = subject.settle(started, after(started), false);
    }
  }
  return fired;
}

/** The same by the words of the documentation, in whole numbers. */
function expectedFirings({ direction, repeat, fireIfTrue }: Alert, ticks: readonly Tick[]): number[] {
  const sign = direction === 'above' ? 1 : -1;
  const fired: number[] = [];
  let state: 'begun' | 'armed' | 'fired' = 'begun';
  for (const { at, value } of ticks) {
    const beyond = sign * (value - 100);
    if (beyond >= 0 && (state === 'armed' || (state === 'begun' && fireIfTrue))) {
      fired.push(at);
      state = 'fired';
      if (repeat === 'once') break;
    } else if (beyond < 0 && state === 'begun') state = 'armed';
    else if (beyond < -5 && state === 'fired') state = 'armed';
  }
  return fired;
}

const series = fc
  .array(fc.integer({ min: 85, max: 115 }), { minLength: 1, maxLength: 60 })
  .map((values) => values.map((value, index) => ({ at: (index + 1) * 1_000, value })));
const alerts = fc
  .record({
    direction: fc.constantFrom('above' as const, 'below' as const),
    repeat: fc.constantFrom('once' as const, 'every' as const),
    fireIfTrue: fc.boolean(),
  })
  .map((rule) => sampleAlert({ ...rule, state: 'pending', hysteresis: '5', hysteresisUnit: 'absolute' }));

describe('the alerts on a value', () => {
  it('fire exactly once at each crossing', () => {
    fc.assert(
      fc.property(alerts, series, (alert, ticks) => {
        expect(firingsOf(alert, ticks)).to.deep.equal(expectedFirings(alert, ticks));
      }),
      { numRuns: generatedRuns(500) },
    );
  });

  it('do the same when ticks come twice, and when others come too late', () => {
    const late = fc.array(fc.record({ place: fc.nat(), back: fc.nat(), value: fc.nat({ max: 200 }) }), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(alerts, series, late, (alert, ticks, strays) => {
        expect(firingsOf(alert, withStrays(ticks, strays))).to.deep.equal(expectedFirings(alert, ticks));
      }),
      { numRuns: generatedRuns(500) },
    );
  });

  it('are the same whether a move is stored at once or after everything was seen', () => {
    fc.assert(
      fc.property(alerts, series, (alert, ticks) => {
        const subject = new Subject(alert);
        subject.put(alert);
        const waiting = ticks.flatMap(({ at, value }) => subject.see(sampleObservation(String(value), at)));
        const fired: number[] = [];
        for (let started = waiting.shift(); started !== undefined; started = waiting.shift()) {
          if (started.transition === 'fired') fired.push(started.observation.at);
          const next = subject.settle(started, after(started), false);
          if (next !== undefined) waiting.push(next);
        }
        expect(fired).to.deep.equal(expectedFirings(alert, ticks));
      }),
    );
  });

  it('begin one move at a time', () => {
    const alert = sampleAlert();
    const subject = new Subject(alert);
    subject.put(alert);
    expect(subject.see(sampleObservation('101', 1_000))).to.have.length(1);
    expect(subject.see(sampleObservation('102', 2_000))).to.deep.equal([]);
  });

  it('forget an alert that was deleted while its move was stored', () => {
    const alert = sampleAlert();
    const subject = new Subject(alert);
    subject.put(alert);
    const [started] = subject.see(sampleObservation('101', 1_000));
    subject.remove(alert.id);
    expect(started && subject.settle(started, after(started), false)).to.equal(undefined);
    expect(subject.size).to.equal(0);
    expect(subject.see(sampleObservation('50', 2_000))).to.deep.equal([]);
  });

  it('go on with what their owner has changed meanwhile', () => {
    const alert = sampleAlert();
    const subject = new Subject(alert);
    subject.put(alert);
    const [started] = subject.see(sampleObservation('101', 1_000));
    const changed = sampleAlert({ threshold: '200', version: 2, state: 'armed' });
    subject.put(changed);
    if (started === undefined) throw new Error('no move was begun');
    expect(subject.settle(started, changed, true)).to.equal(undefined);
    expect(subject.see(sampleObservation('150', 2_000))).to.deep.equal([]);
    expect(subject.see(sampleObservation('200', 3_000))).to.have.length(1);
  });

  it('keep watching one that an old value could not begin', () => {
    const alert = sampleAlert({ state: 'pending', fireIfTrue: true });
    const subject = new Subject(alert);
    subject.put(alert);
    expect(subject.see(sampleObservation('120', 1_000, false))).to.deep.equal([]);
    expect(subject.see(sampleObservation('120', 2_000))).to.have.length(1);
  });

  it('say why they are not evaluated once for each reason', () => {
    const alert = sampleAlert();
    const subject = new Subject(alert);
    subject.put(alert);
    expect(subject.reasonToStore()).to.equal(undefined);
    subject.setReason('no_reference');
    expect(subject.reasonToStore()).to.deep.equal({ ids: [alert.id], reason: 'no_reference' });
    subject.reasonStored([alert.id], 'no_reference');
    expect(subject.reasonToStore()).to.equal(undefined);
    subject.setReason(null);
    expect(subject.reasonToStore()).to.deep.equal({ ids: [alert.id], reason: null });
  });

  it('keep the newest hundred values while a move is stored', () => {
    const alert = sampleAlert();
    const subject = new Subject(alert);
    subject.put(alert);
    const [started] = subject.see(sampleObservation('101', 1_000));
    // The only value at which it would be armed again is the first of them.
    subject.see(sampleObservation('50', 2_000));
    for (let n = 0; n < 100; n++) subject.see(sampleObservation('101', 3_000 + n));
    expect(started && subject.settle(started, after(started), false)).to.equal(undefined);
  });

  it('are charged to an owner of them, as long as there is one', () => {
    const [first, second] = [
      sampleAlert({ id: 'a', userId: 'joe' }),
      sampleAlert({ id: 'b', userId: 'ann' }),
    ];
    const subject = new Subject(first);
    for (const alert of [first, second]) subject.put(alert);
    expect(subject.ownerId).to.equal('joe');
    subject.remove('a');
    expect(subject.ownerId).to.equal('ann');
    subject.remove('b');
    expect(subject.ownerId).to.equal(undefined);
  });

  it('say why they are not evaluated for each that is added later, and for no others', () => {
    const alert = sampleAlert({ id: 'a' });
    const subject = new Subject(alert);
    subject.put(alert);
    subject.setReason('no_quote');
    subject.reasonStored(['a'], 'no_quote');
    subject.put(sampleAlert({ id: 'b' }));
    expect(subject.reasonToStore()).to.deep.equal({ ids: ['b'], reason: 'no_quote' });
    subject.put(sampleAlert({ id: 'c', notEvaluated: 'no_quote' }));
    expect(subject.reasonToStore()?.ids).to.deep.equal(['b']);
  });

  it('say it again when the reason has changed while it was stored', () => {
    const alert = sampleAlert();
    const subject = new Subject(alert);
    subject.put(alert);
    subject.setReason('no_quote');
    subject.setReason(null);
    subject.reasonStored([alert.id], 'no_quote');
    expect(subject.reasonToStore()).to.deep.equal({ ids: [alert.id], reason: null });
  });

  it('take no older version of an alert for a newer one', () => {
    const alert = sampleAlert({ version: 5 });
    const subject = new Subject(alert);
    expect([subject.put(alert), subject.put(alert)]).to.deep.equal([true, false]);
    expect(subject.put(sampleAlert({ version: 4, threshold: '5' }))).to.equal(false);
    expect(subject.see(sampleObservation('50', 1_000))).to.deep.equal([]);
  });
});

describe('the alerts of a process', () => {
  let started: string[];
  let ended: string[];
  let index: AlertIndex;
  beforeEach(() => {
    [started, ended] = [[], []];
    index = new AlertIndex({
      limit: 2,
      onStart: ({ key }) => started.push(key),
      onEnd: ({ key }) => ended.push(key),
    });
  });
  const [bitcoin, solana] = ['price:usd:bitcoin:', 'price:usd:solana:'];

  it('are watched by what they are about, from the first to the last of it', () => {
    index.put(sampleAlert({ id: 'a' }));
    index.put(sampleAlert({ id: 'b' }));
    expect([started, ended, index.size]).to.deep.equal([[bitcoin], [], 2]);
    index.remove('a');
    expect(ended).to.deep.equal([]);
    index.remove('b');
    index.remove('b');
    expect([ended, index.size, index.has('b')]).to.deep.equal([[bitcoin], 0, false]);
  });

  it('are no more than the limit, but those that are watched may change', () => {
    for (const id of ['a', 'b']) index.put(sampleAlert({ id }));
    expect(index.isFull).to.equal(true);
    expect(index.put(sampleAlert({ id: 'c' }))).to.equal(undefined);
    expect([index.size, index.has('c')]).to.deep.equal([2, false]);
    expect(index.put(sampleAlert({ id: 'b', version: 2 }))).to.be.instanceOf(Subject);
    index.remove('a');
    expect(index.put(sampleAlert({ id: 'c' }))).to.be.instanceOf(Subject);
  });

  it('leave what they were about when they are about something else', () => {
    index.put(sampleAlert({ id: 'a' }));
    index.put(sampleAlert({ id: 'a', assetId: 'solana', version: 2 }));
    expect([started, ended, index.size]).to.deep.equal([[bitcoin, solana], [bitcoin], 1]);
  });

  it('go when nothing can happen to them any more', () => {
    index.put(sampleAlert({ id: 'a', repeat: 'once' }));
    expect(index.put(sampleAlert({ id: 'a', repeat: 'once', state: 'fired', version: 2 }))).to.equal(
      undefined,
    );
    index.put(sampleAlert({ id: 'b', state: 'disabled' }));
    expect([ended, index.size]).to.deep.equal([[bitcoin], 0]);
  });
});

describe('the heap of levels', () => {
  it('gives what is reached, and nothing that has changed since', () => {
    const levels = fc.array(fc.bigInt({ min: 0n, max: 50n }), { maxLength: 200 });
    fc.assert(
      fc.property(levels, fc.bigInt({ min: 0n, max: 50n }), fc.nat({ max: 5 }), (all, value, every) => {
        const isCurrent = (id: string): boolean => every === 0 || Number(id) % every !== 0;
        const heap = new LevelHeap({ isCurrent });
        for (const [index, level] of all.entries()) heap.add(level, String(index), 1);
        const expected = all.flatMap((level, index) =>
          level <= value && isCurrent(String(index)) ? [String(index)] : [],
        );
        expect([...heap.take(value)].sort()).to.deep.equal(expected.sort());
        expect(heap.take(value)).to.deep.equal([]);
      }),
    );
  });

  it('does not grow with alerts that change again and again', () => {
    let version = 0;
    const heap = new LevelHeap({ isCurrent: (_id, of) => of === version });
    for (version = 1; version <= 10_000; version++) heap.add(BigInt(version), 'one', version);
    expect(heap.size).to.be.lessThan(200);
  });
});

interface Stray {
  readonly place: number;
  readonly back: number;
  readonly value: number;
}

/** Each tick in its order and twice; behind some, others that were received before it and that nobody has seen yet. */
function withStrays(ticks: readonly Tick[], strays: readonly Stray[]): Tick[] {
  return ticks.flatMap((tick, index) => [
    tick,
    tick,
    ...strays
      .filter(({ place }) => place % ticks.length === index)
      .map(({ back, value }) => ({ at: tick.at - 1 - (back % 3_000), value })),
  ]);
}
