/**
 * Values and thresholds as whole numbers, so that they are compared exactly. A level is a multiple of 10^-36: the shortest
 * decimal text of every double of 10^-18 or more has no more digits behind the point, and every threshold has 18 at most.
 */
import { Decimal } from 'decimal.js';

/** A value in units of 10^-36. */
export type Level = bigint;

const scale = 36;

/** The level of 1. */
export const oneLevel: Level = 10n ** BigInt(scale);

const plain = /^(-?)(\d+)(?:\.(\d+))?$/;

/**
 * The level of plain decimal text; digits behind the 36th are cut off, which no comparison with a threshold sees.
 * @throws {RangeError} it is no plain decimal text.
 */
export function levelOf(text: string): Level {
  const match = plain.exec(text);
  if (match === null) throw new RangeError('not a decimal');
  const [, sign, whole = '', fraction = ''] = match;
  const level = BigInt(whole + fraction.slice(0, scale).padEnd(scale, '0'));
  return sign === '-' ? -level : level;
}

/** Decimal text of a price: the shortest that denotes the same double, without an exponent. */
export function textOfPrice(price: number): string {
  return new Decimal(price).toFixed();
}

/** Decimal text of a level, rounded towards zero to `digits` behind the point, without superfluous zeros. */
export function textOfLevel(level: Level, digits: number): string {
  const text = (level < 0n ? -level : level).toString().padStart(scale + 1, '0');
  const whole = text.slice(0, -scale);
  const fraction = text.slice(-scale).slice(0, digits).replace(/0+$/, '');
  const plainText = fraction === '' ? whole : `${whole}.${fraction}`;
  return level < 0n && /[1-9]/.test(plainText) ? `-${plainText}` : plainText;
}

/**
 * Change from `reference` to `now` in per cent, cut off at 36 digits. Undefined without a positive reference.
 */
export function percentChange(now: Level, reference: Level): Level | undefined {
  if (reference <= 0n) return undefined;
  return floorDiv((now - reference) * 100n * oneLevel, reference);
}

function floorDiv(dividend: bigint, divisor: bigint): bigint {
  const quotient = dividend / divisor;
  return dividend % divisor < 0n ? quotient - 1n : quotient;
}
