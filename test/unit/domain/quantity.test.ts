import { expect } from 'chai';
import fc from 'fast-check';
import { canonicalQuantity, holdsItsDigits } from '../../../src/domain/quantity.ts';

describe('quantities', () => {
  it('keeps every digit of a text', () => {
    const long = '12345678901234567.123456789';
    expect(holdsItsDigits(long)).to.equal(true);
    expect(canonicalQuantity(long)).to.equal(long);
  });

  for (const [text, canonical] of [
    ['0', '0'],
    ['0.1', '0.1'],
    ['3', '3'],
    ['1e-7', '0.0000001'],
    ['123456789012.345', '123456789012.345'],
    ['999999999999999', '999999999999999'],
    ['1e15', '1000000000000000'],
  ] as const) {
    it(`takes the JSON number ${text}`, () => {
      const number = JSON.parse(text) as number;
      expect(holdsItsDigits(number)).to.equal(true);
      expect(canonicalQuantity(number)).to.equal(canonical);
    });
  }

  for (const text of [
    '12345678901234567.123456789',
    '100000000000000000.5',
    '0.30000000000000004',
    '1.234567890123456',
    '9007199254740993',
  ]) {
    it(`does not trust the JSON number ${text}`, () => {
      expect(holdsItsDigits(JSON.parse(text) as number)).to.equal(false);
    });
  }

  it('never changes a decimal of 15 digits, wherever its point is', () => {
    const digits = fc.integer({ min: 1, max: 999_999_999_999_999 });
    fc.assert(
      fc.property(digits, fc.nat(18), (whole, places) => {
        const text = whole.toString().padStart(places + 1, '0');
        const decimal = places === 0 ? text : `${text.slice(0, -places)}.${text.slice(-places)}`;
        const number = JSON.parse(decimal) as number;
        expect(holdsItsDigits(number)).to.equal(true);
        expect(canonicalQuantity(number)).to.equal(canonicalQuantity(decimal));
      }),
    );
  });
});
