import { expect } from 'chai';
import fc from 'fast-check';
import {
  levelOf,
  oneLevel,
  percentChange,
  textOfLevel,
  textOfPrice,
} from '../../../src/features/alerts/crossing.ts';

describe('levels', () => {
  it('hold the shortest text of a price, however small or large', () => {
    expect(textOfPrice(1.5e-9)).to.equal('0.0000000015');
    expect(textOfPrice(1e21)).to.equal('1000000000000000000000');
    expect(levelOf(textOfPrice(0.1)) * 10n).to.equal(oneLevel);
  });

  it('come back as the text that they were made of', () => {
    const digits = fc.bigInt({ min: -(10n ** 38n), max: 10n ** 38n });
    fc.assert(
      fc.property(digits, (units) => {
        const text = textOfLevel(units * 10n ** 18n, 18);
        expect(levelOf(text)).to.equal(units * 10n ** 18n);
        expect(text).to.match(/^-?\d+(\.\d*[1-9])?$/);
      }),
    );
  });

  it('are in the order of the doubles that they stand for', () => {
    const price = fc.double({ min: 1e-18, max: 1e15, noNaN: true });
    fc.assert(
      fc.property(price, price, (left, right) => {
        const order = levelOf(textOfPrice(left)) < levelOf(textOfPrice(right));
        expect(order).to.equal(left < right);
      }),
    );
  });

  it('tell a change in per cent, exactly where it is exact', () => {
    expect(textOfLevel(percentChange(levelOf('110'), levelOf('100')) ?? 0n, 18)).to.equal('10');
    expect(textOfLevel(percentChange(levelOf('0.00000057'), levelOf('0.00000060')) ?? 0n, 18)).to.equal('-5');
    expect(textOfLevel(percentChange(levelOf('4'), levelOf('3')) ?? 0n, 18)).to.equal(
      '33.333333333333333333',
    );
    expect(percentChange(levelOf('4'), 0n)).to.equal(undefined);
  });

  it('are made of plain decimals only', () => {
    for (const text of ['', '1e3', '+1', ' 1', '.5', 'NaN', '1.'])
      expect(() => levelOf(text), text).to.throw(RangeError);
  });
});
