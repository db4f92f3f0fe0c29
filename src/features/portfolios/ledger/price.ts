/**
 * Prices are doubles, as their sources sent them, and money is exact. A price means the shortest decimal that denotes it, which
 * is what its source wrote; from there on only the final rounding loses precision.
 */
import { mulDiv, oneUnit, type Amount } from './amount.ts';

const shortest = /^(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/;

/**
 * The value of a quantity at a price: exact, then rounded to 18 digits, halves away from zero.
 * @throws {RangeError} when the price is negative or not finite.
 */
export function valueAt(quantity: Amount, price: number): Amount {
  const { digits, exponent } = decimalOf(price);
  if (exponent >= 0) return quantity * digits * 10n ** BigInt(exponent);
  return mulDiv(quantity, digits, 10n ** BigInt(-exponent));
}

/**
 * A price as an amount, rounded to 18 digits.
 * @throws {RangeError} when it is negative or not finite.
 */
export function amountOfPrice(price: number): Amount {
  return valueAt(oneUnit, price);
}

function decimalOf(price: number): { readonly digits: bigint; readonly exponent: number } {
  const match = shortest.exec(String(price));
  if (match === null) throw new RangeError(`${String(price)} is not a price`);
  const [, whole = '', fraction = '', power = '0'] = match;
  return { digits: BigInt(whole + fraction), exponent: Number(power) - fraction.length };
}
