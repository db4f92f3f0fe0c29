/** Reads fields of provider responses. Nothing is repaired: a field of the wrong type or range is null. */

/** A finite number. */
export function finite(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** A number that cannot be negative. */
export function amount(value: unknown): number | null {
  const number = finite(value);
  return number === null || number < 0 ? null : number;
}

/** A place in a ranking: a whole number from 1. */
export function rankOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : null;
}

/** Text that is not blank. */
export function text(value: unknown): string | null {
  return typeof value === 'string' && value.trim() !== '' ? value : null;
}

/** An ISO 8601 time, in the form of `Date.toISOString`. */
export function instant(value: unknown): string | null {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT/.test(value)) return null;
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? null : new Date(ms).toISOString();
}
