import { expect } from 'chai';
import fc from 'fast-check';
import { monthStarts } from '../../../src/features/upstream/budget/month.ts';

const days = (begins: readonly number[]): string[] =>
  begins.map((at) => new Date(at).toISOString().slice(0, 10));

describe('begins of months', () => {
  it('finds the month before, this one and the next two', () => {
    expect(days(monthStarts(Date.parse('2027-01-01T00:00:00Z'), 1))).to.deep.equal([
      '2026-12-01',
      '2027-01-01',
      '2027-02-01',
      '2027-03-01',
    ]);
    expect(days(monthStarts(Date.parse('2027-01-14T23:59:59.999Z'), 15))).to.deep.equal([
      '2026-11-15',
      '2026-12-15',
      '2027-01-15',
      '2027-02-15',
    ]);
  });

  it('begins on the last day of a month that has no such day', () => {
    expect(days(monthStarts(Date.parse('2028-02-29T12:00:00Z'), 31))).to.deep.equal([
      '2028-01-31',
      '2028-02-29',
      '2028-03-31',
      '2028-04-30',
    ]);
  });

  it('has now between the second and the third, at any time and for any day', () => {
    const at = fc.integer({ min: Date.parse('2020-01-01'), max: Date.parse('2060-01-01') });
    fc.assert(
      fc.property(at, fc.integer({ min: 1, max: 31 }), (now, startsOn) => {
        const begins = monthStarts(now, startsOn);
        expect(begins[1]).to.be.at.most(now);
        expect(begins[2]).to.be.above(now);
        for (const i of [1, 2, 3] as const)
          expect((begins[i] - begins[(i - 1) as 0 | 1 | 2]) / 86_400_000).to.be.within(28, 31);
      }),
    );
  });
});
