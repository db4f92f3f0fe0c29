import { Decimal } from 'decimal.js';

/** Any decimal with so many significant digits survives the conversion to a double and back. */
const significantDigitsOfDouble = 15;

const plain = /^\d{1,20}(\.\d{1,18})?$/;

/**
 * The canonical decimal text of a quantity: plain digits, no exponent, no superfluous zeros; exact. Undefined if it is
 * not a finite decimal of zero or more with at most 20 digits before and 18 after the point. A number stands for the
 * shortest decimal that denotes it, which is what its sender wrote if {@link holdsItsDigits}.
 */
export function canonicalQuantity(given: string | number): string | undefined {
  const text = typeof given === 'number' ? textOf(given) : given.trim();
  return plain.test(text) ? new Decimal(text).toFixed() : undefined;
}

/**
 * Whether a quantity is as exact as it looks: text always, a number if it is safe and has at most 15 significant
 * digits. With more, it may be the neighbour of what the sender wrote. Digits lost in parsing, as in
 * `0.1000000000000000000001`, cannot be detected from the number.
 */
export function holdsItsDigits(given: string | number): boolean {
  if (typeof given === 'string') return true;
  return (
    Math.abs(given) <= Number.MAX_SAFE_INTEGER && new Decimal(given).precision() <= significantDigitsOfDouble
  );
}

function textOf(number: number): string {
  return Number.isFinite(number) ? new Decimal(number).toFixed() : '';
}
