import { expect } from 'chai';
import { judgeDeviation, type ObservedPrice } from '../../../src/features/quotes/deviation.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const start = Date.UTC(2026, 4, 1);

/** A price seen `afterMs` after the first one. */
const at = (price: number, afterMs: number, source = 'coingecko'): ObservedPrice => ({
  price,
  observedAt: start + afterMs,
  receivedAt: start + afterMs,
  source,
});
const last = at(100, 0);

describe('the judgement of a price by the last one', () => {
  it('takes the first price of an asset, and one that is near', () => {
    expect(judgeDeviation(at(5, 0), { last: undefined, waiting: undefined })).to.equal('taken');
    for (const price of [51, 99, 100, 101, 199])
      expect(judgeDeviation(at(price, minuteMs), { last, waiting: undefined })).to.equal('taken');
  });

  it('doubts what is far off within minutes: a decimal point, another asset, nothing', () => {
    for (const price of [10_000, 1_000, 210, 45, 1, 0.0001, 0])
      expect(judgeDeviation(at(price, minuteMs), { last, waiting: undefined }), String(price)).to.equal(
        'doubted',
      );
  });

  it('allows more with the time between two observations, since markets do move', () => {
    const after = (hours: number) => judgeDeviation(at(5, hours * hourMs), { last, waiting: undefined });
    expect([after(1), after(3), after(4), after(24)]).to.deep.equal(['doubted', 'doubted', 'taken', 'taken']);
  });

  it('believes a later observation of the same source that says the same', () => {
    const waiting = at(20, minuteMs);
    expect(judgeDeviation(at(19, 2 * minuteMs), { last, waiting })).to.equal('confirmed');
    expect(judgeDeviation(at(30, 2 * minuteMs), { last, waiting })).to.equal('doubted');
  });

  it('does not believe the same answer twice, as a cache on the way sends it', () => {
    const waiting = at(20, minuteMs);
    const again = { ...at(20, minuteMs), receivedAt: start + 10 * minuteMs };
    expect(judgeDeviation(again, { last, waiting })).to.equal('doubted');
    const untimed = { ...waiting, observedAt: null };
    const soon = { ...untimed, receivedAt: waiting.receivedAt + 10_000 };
    const later = { ...untimed, receivedAt: waiting.receivedAt + minuteMs };
    expect(judgeDeviation(soon, { last, waiting: untimed })).to.equal('doubted');
    expect(judgeDeviation(later, { last, waiting: untimed })).to.equal('confirmed');
  });

  it('does not believe an observation that is older than the one it is to confirm, though it comes later', () => {
    const waiting = at(20, 10 * minuteMs);
    const ancient = { ...at(20, 5 * minuteMs), receivedAt: start + 20 * minuteMs };
    expect(judgeDeviation(ancient, { last, waiting })).to.equal('doubted');
    const newer = { ...at(20, 10 * minuteMs + 1), receivedAt: start + 20 * minuteMs };
    expect(judgeDeviation(newer, { last, waiting })).to.equal('confirmed');
  });

  it('believes another source at once', () => {
    const waiting = at(20, minuteMs);
    expect(judgeDeviation(at(21, minuteMs, 'defillama'), { last, waiting })).to.equal('confirmed');
  });

  it('lets a real crash through, one observation late at every step', () => {
    // LUNA, 9 to 13 May 2022, by hours from 64 to 0.0001: each observation an hour after the one before.
    let known = at(64, 0);
    let waiting: ObservedPrice | undefined;
    let late = 0;
    let price = 64;
    for (let hour = 1; hour <= 96; hour += 1) {
      price *= (0.0001 / 64) ** (1 / 96);
      const seen = at(price, hour * hourMs);
      const verdict = judgeDeviation(seen, { last: known, waiting });
      if (verdict === 'doubted') {
        late += 1;
        waiting = seen;
      } else known = seen;
    }
    expect(late).to.equal(0);
    expect(known.price).to.be.closeTo(0.0001, 1e-8);
  });

  it('compares nothing real with what was simulated or replayed', () => {
    const simulated = at(5, 0, 'simulated');
    expect(judgeDeviation(at(100, minuteMs), { last: simulated, waiting: undefined })).to.equal('taken');
    expect(judgeDeviation(at(500, minuteMs, 'simulated'), { last: simulated, waiting: undefined })).to.equal(
      'doubted',
    );
  });

  it('follows the time of a replay, in which a day takes a second, and its begin anew', () => {
    const before = { ...at(100, 0, 'replay'), receivedAt: start };
    const seen = { ...at(3, 24 * hourMs, 'replay'), receivedAt: start + 1_000 };
    expect(judgeDeviation(seen, { last: before, waiting: undefined })).to.equal('taken');
    expect(
      judgeDeviation(before, { last: { ...seen, observedAt: start + 1000 * hourMs }, waiting: undefined }),
    ).to.equal('taken');
  });
});
