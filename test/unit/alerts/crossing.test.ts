/** When an alert fires, and when it is armed again. */
import { expect } from 'chai';
import { isWatched, transitionOf, type TransitionTarget } from '../../../src/features/alerts/crossing.ts';
import type { Alert } from '../../../src/features/alerts/alert.ts';
import { sampleAlert, sampleObservation } from './sample-alert.ts';

/** The moves that a series of values makes, one second apart. */
function movesOf(different: Partial<Alert>, values: readonly string[]): string[] {
  let alert = sampleAlert(different);
  return values.flatMap((text, index) => {
    const at = (index + 1) * 1_000;
    const transition: TransitionTarget | undefined = transitionOf(alert, sampleObservation(text, at));
    if (transition === undefined) return [];
    alert = { ...alert, state: transition, observedAt: new Date(at), version: alert.version + 1 };
    return [`${transition} at ${text}`];
  });
}

describe('a crossing', () => {
  it('fires when the value reaches the threshold, not before', () => {
    expect(movesOf({}, ['99', '99.999999999999999999', '100'])).to.deep.equal(['fired at 100']);
    expect(movesOf({ direction: 'below' }, ['101', '100.000000000000000001', '100'])).to.deep.equal([
      'fired at 100',
    ]);
  });

  it('fires when the value jumps over the threshold', () => {
    expect(movesOf({}, ['1', '1000000'])).to.deep.equal(['fired at 1000000']);
  });

  it('fires once while the value trembles at the threshold', () => {
    expect(movesOf({}, ['100', '99.9', '100.1', '99.5', '100.2', '99'])).to.deep.equal(['fired at 100']);
  });

  it('is armed again once the value has come back beyond one per cent of the threshold', () => {
    expect(movesOf({}, ['100', '99', '98.999999999999999999', '99.5', '100'])).to.deep.equal([
      'fired at 100',
      'armed at 98.999999999999999999',
      'fired at 100',
    ]);
    expect(movesOf({ direction: 'below' }, ['100', '101', '101.1', '100'])).to.deep.equal([
      'fired at 100',
      'armed at 101.1',
      'fired at 100',
    ]);
  });

  it('takes an absolute hysteresis, and one of zero', () => {
    const absolute = { hysteresis: '30', hysteresisUnit: 'absolute' } as const;
    expect(movesOf(absolute, ['100', '70', '69.9'])).to.deep.equal(['fired at 100', 'armed at 69.9']);
    expect(movesOf({ hysteresis: '0' }, ['100', '100', '99.9', '100'])).to.deep.equal([
      'fired at 100',
      'armed at 99.9',
      'fired at 100',
    ]);
  });

  it('takes the hysteresis of a negative threshold in per cent of its size', () => {
    const fall = { kind: 'change', windowSeconds: 3_600, threshold: '-5', direction: 'below' } as const;
    expect(movesOf(fall, ['-4.9', '-5.2', '-4.95', '-4.94', '-6'])).to.deep.equal([
      'fired at -5.2',
      'armed at -4.94',
      'fired at -6',
    ]);
  });

  it('of one that is to fire once nothing comes after the first firing', () => {
    expect(movesOf({ repeat: 'once' }, ['100', '1', '100'])).to.deep.equal(['fired at 100']);
    expect(isWatched({ state: 'fired', repeat: 'once' })).to.equal(false);
  });

  it('is waited for when the condition holds from the begin', () => {
    expect(movesOf({ state: 'pending' }, ['120', '101', '99.9', '100'])).to.deep.equal([
      'armed at 99.9',
      'fired at 100',
    ]);
  });

  it('is not waited for by an alert that is to fire if its condition holds', () => {
    const started = { state: 'pending', fireIfTrue: true } as const;
    expect(movesOf(started, ['120', '99.5', '120'])).to.deep.equal(['fired at 120']);
    expect(movesOf(started, ['90', '100'])).to.deep.equal(['armed at 90', 'fired at 100']);
  });

  it('never happens to a disabled alert', () => {
    expect(movesOf({ state: 'disabled' }, ['1', '1000', '1'])).to.deep.equal([]);
  });

  it('right after a firing fires later, if the condition then still holds', () => {
    const started = sampleAlert({ state: 'pending', fireIfTrue: true, firedAt: new Date(50_000) });
    for (const alert of [started, { ...started, state: 'armed' as const }]) {
      expect(transitionOf(alert, sampleObservation('120', 59_999))).to.equal(undefined);
      expect(transitionOf(alert, sampleObservation('120', 60_000))).to.equal('fired');
    }
    expect(transitionOf({ ...started, state: 'fired' }, sampleObservation('90', 50_001))).to.equal('armed');
  });

  it('is judged by the newest value: what was received before the last change changes nothing', () => {
    const observedAt = new Date(5_000);
    expect(transitionOf(sampleAlert({ observedAt }), sampleObservation('120', 4_999))).to.equal(undefined);
    expect(transitionOf(sampleAlert({ observedAt }), sampleObservation('120', 5_000))).to.equal('fired');
  });

  it('is not made of a value that was old already when the alert was made', () => {
    expect(transitionOf(sampleAlert({ state: 'pending' }), sampleObservation('90', 1, false))).to.equal(
      undefined,
    );
    expect(transitionOf(sampleAlert({ state: 'armed' }), sampleObservation('120', 1, false))).to.equal(
      'fired',
    );
  });

  it('is exact where doubles are not', () => {
    const alert = sampleAlert({ threshold: '9007199254740993.000000000000000001' });
    expect(transitionOf(alert, sampleObservation('9007199254740993', 1))).to.equal(undefined);
    expect(transitionOf(alert, sampleObservation('9007199254740993.000000000000000001', 1))).to.equal(
      'fired',
    );
  });
});
