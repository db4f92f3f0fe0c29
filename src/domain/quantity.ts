import { Decimal } from 'decimal.js';

const plain = /^\d{1,20}(\.\d{1,18})?$/;

/**
 * The canonical decimal text of a quantity: plain digits, no exponent, no superfluous zeros; exact. Undefined when it is not a
 * finite decimal of zero or more with at most 20 digits before and 18 after the point. A number stands for the shortest
 * decimal that denotes it, which is what its sender wrote unless that had more digits than a double holds.
 */
export function canonicalQuantity(given: string | number): string | undefined {
  const text = typeof given === 'number' ? textOf(given) : given.trim();
  return plain.test(text) ? new Decimal(text).toFixed() : undefined;
}

function textOf(number: number): string {
  return Number.isFinite(number) ? new Decimal(number).toFixed() : '';
}
