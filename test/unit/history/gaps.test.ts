import { expect } from 'chai';
import { dayMs } from '../../../src/features/history/chart.ts';
import { findGaps, chunksOf } from '../../../src/features/history/history-gaps.ts';
import type { BackfillRequest } from '../../../src/features/history/queries/history-requests.ts';

const hour = 3_600_000;
const midnight = Date.UTC(2026, 2, 10);
const now = midnight + 12 * hour;

const hoursFrom = (begin: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => begin + index * hour);

describe('gaps of a price history', () => {
  const span = { from: midnight - dayMs, to: midnight, now, granularity: '1h' as const };
  const all = hoursFrom(midnight - dayMs, 25);

  it('are none where every interval has a point', () => {
    const gaps = findGaps({ ...span, present: all, requested: [] });
    expect(gaps).to.deep.equal({ expected: 25, missing: 0, barred: 0, beyond: 0, range: undefined });
  });

  it('reach from the first to the last missing interval', () => {
    const present = all.filter((_, index) => index !== 3 && index !== 7);
    const { missing, range } = findGaps({ ...span, present, requested: [] });
    expect(missing).to.equal(2);
    expect(range).to.deep.equal({ from: all[3], to: (all[8] ?? 0) - 1 });
  });

  it('do not count intervals that a provider has said to have nothing in', () => {
    const requested: BackfillRequest[] = [{ from: 0, to: midnight - 12 * hour - 1, outcome: 'answered' }];
    const { expected, missing } = findGaps({ ...span, present: all.slice(12), requested });
    expect([expected, missing]).to.deep.equal([13, 0]);
  });

  it('are not asked for, but known, where a provider has just failed', () => {
    const requested: BackfillRequest[] = [{ from: span.from, to: span.to, outcome: 'failed' }];
    const { missing, barred, range } = findGaps({ ...span, present: all.slice(2), requested });
    expect([missing, barred, range]).to.deep.equal([0, 2, undefined]);
  });

  it('are asked for again where a provider answered before the hour was over', () => {
    const early = (sinceStart: number): number => {
      const to = midnight - hour + sinceStart;
      const requested: BackfillRequest[] = [{ from: span.from, to, outcome: 'answered' }];
      return findGaps({ ...span, to: midnight - 1, present: all.slice(0, 23), requested }).missing;
    };
    expect([0, hour / 2, hour - 2, hour - 1].map(early)).to.deep.equal([1, 1, 1, 0]);
  });

  it('of days are asked for again where a provider answered within the time that a day is given', () => {
    const missing = [899_999, 900_000].map((sinceStart) => {
      const requested: BackfillRequest[] = [
        { from: midnight - dayMs, to: midnight + sinceStart, outcome: 'answered' },
      ];
      const days = { from: midnight - dayMs, to: midnight, now, granularity: '1d' as const };
      return findGaps({ ...days, present: [midnight - dayMs], requested }).missing;
    });
    expect(missing).to.deep.equal([1, 0]);
  });

  it('leave the newest intervals their time to come', () => {
    const present = hoursFrom(midnight, 11);
    const gaps = findGaps({ ...span, from: midnight, to: now, present, requested: [] });
    // The hour from 11:00 is given until 12:10, that from 12:00 until 13:10.
    expect([gaps.expected, gaps.missing]).to.deep.equal([11, 0]);
  });
});

describe('gaps of five minutes', () => {
  const minute = 60_000;
  const gapsFrom = (from: number, requested: BackfillRequest[] = []) =>
    findGaps({ from, to: now, now, granularity: '5m', present: [], requested });

  it('are to be had of the last day only, and are missing before that whatever was answered', () => {
    const { missing, beyond, range } = gapsFrom(now - 2 * dayMs);
    expect(beyond).to.equal(287);
    expect(missing).to.be.within(284, 288);
    expect(range?.from).to.be.within(now - dayMs + minute, now - dayMs + 6 * minute);
    const answered = gapsFrom(now - 2 * dayMs, [{ from: 0, to: now, outcome: 'answered' }]);
    expect([answered.missing, answered.beyond]).to.deep.equal([0, 287]);
  });

  it('are none at the edge of a day that was asked for a little late', () => {
    for (const late of [0, 1, 2 * minute, 5 * minute])
      expect(gapsFrom(now - dayMs - late).beyond, String(late)).to.equal(0);
  });
});

describe('pieces of a gap', () => {
  const year = 365 * dayMs;
  const cut = (from: number, to: number, most = 5) =>
    chunksOf({ from, to }, { granularity: '1d', now, most });

  it('bring as much as one call can, the newest first', () => {
    const to = now - 2 * year;
    const pieces = cut(to - year - 10, to);
    expect(pieces).to.deep.equal([
      { from: to - year + 1, to },
      { from: to - 2 * year + 1, to: to - year },
    ]);
  });

  it('do not straddle the moment that free plans reach back to', () => {
    const [newest, older] = cut(now - 2 * year, now - 100 * dayMs);
    expect(newest?.from).to.be.within(now - year, now - year + 120_000);
    expect(older?.to).to.equal((newest?.from ?? 0) - 1);
  });

  it('of hours never reach 90 days, even in whole seconds: they would come back as days', () => {
    for (const offset of [0, 1, 499, 999]) {
      const span = { from: now - 2 * year - offset, to: now - offset };
      for (const { from, to } of chunksOf(span, { granularity: '1h', now, most: 20 }))
        expect(Math.ceil(to / 1_000) - Math.floor(from / 1_000)).to.be.below((90 * dayMs) / 1_000);
    }
  });

  it('are no more than asked for', () => {
    expect(cut(0, now, 2)).to.have.length(2);
  });
});
