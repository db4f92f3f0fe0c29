/**
 * Exact decimals of the books: quantities and money. An amount is an integer number of 10^-18, so that sums and differences are
 * exact and only a division rounds, once, in {@link mulDiv}. Floats are never used.
 */

/** A quantity or a sum of money, in units of 10^-18. */
export type Amount = bigint;

/** Number of digits after the decimal point. */
const amountScale = 18;

/** The amount 1. */
export const oneUnit: Amount = 10n ** 18n;

const strict = /^(-?)(\d{1,20})(?:\.(\d{1,18}))?$/;

/**
 * Reads plain decimal text: an optional minus, 1 to 20 digits, and optionally a point with 1 to 18 more. Undefined for anything
 * else: exponents, signs, spaces, separators and further digits are refused, not rounded.
 */
export function parseAmount(text: string): Amount | undefined {
  const match = strict.exec(text);
  if (match === null) return undefined;
  const [, sign, whole = '', fraction = ''] = match;
  const amount = BigInt(whole + fraction.padEnd(amountScale, '0'));
  return sign === '-' ? -amount : amount;
}

/**
 * Reads stored decimal text, with any number of digits before the point.
 * @throws {SyntaxError} when it is not a decimal; {RangeError} when it has more than 18 digits after the point.
 */
export function amountOf(text: string): Amount {
  const point = text.indexOf('.');
  if (point === -1) return BigInt(text) * oneUnit;
  const missing = amountScale - (text.length - point - 1);
  if (missing < 0) throw new RangeError('an amount has at most 18 digits after the point');
  return BigInt(text.slice(0, point) + text.slice(point + 1) + '0'.repeat(missing));
}

/** Canonical decimal text: no exponent, no redundant zeros, no `-0`. */
export function formatAmount(amount: Amount): string {
  const digits = (amount < 0n ? -amount : amount).toString().padStart(amountScale + 1, '0');
  const whole = digits.slice(0, -amountScale);
  const fraction = digits.slice(-amountScale).replace(/0+$/, '');
  const sign = amount < 0n ? '-' : '';
  return fraction === '' ? sign + whole : `${sign}${whole}.${fraction}`;
}

/**
 * `a × b ÷ c`, rounded to the nearest unit, halves away from zero; exact before the rounding.
 * @throws {RangeError} when `c` is not positive.
 */
export function mulDiv(a: Amount, b: Amount, c: Amount): Amount {
  if (c <= 0n) throw new RangeError('the divisor must be positive');
  const product = a * b;
  const quotient = product / c;
  const rest = product % c;
  const double = 2n * (rest < 0n ? -rest : rest);
  if (double < c) return quotient;
  return product < 0n ? quotient - 1n : quotient + 1n;
}

/** Product of two amounts, such as quantity and price, rounded to 18 digits. */
export function multiply(a: Amount, b: Amount): Amount {
  return mulDiv(a, b, oneUnit);
}

/** Nearest double: for statistics only, never for money. */
export function toNumber(amount: Amount): number {
  // The whole part is converted by itself: 10^18 times it is rarely a double, and 21,000 would become 20,999.999….
  return Number(amount / oneUnit) + Number(amount % oneUnit) / 1e18;
}
