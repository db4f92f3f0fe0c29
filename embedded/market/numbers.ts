/** Decimal places of a price: a count, `full`, or the source's own choice. */
export type Precision = number | 'full' | undefined;

/** Reads the `precision` parameter; anything else than `full` or 0 to 18 is as good as absent. */
export function parsePrecision(text: string | null): Precision {
  if (text === 'full') return 'full';
  if (text === null || !/^\d{1,2}$/.test(text)) return undefined;
  const places = Number(text);
  return places <= 18 ? places : undefined;
}

/** Rounds a price as asked for; by default to six significant digits, yet never to fewer than two decimals. */
export function roundPrice(price: number, precision: Precision): number {
  if (precision === 'full') return price;
  if (precision !== undefined) return Number(price.toFixed(precision));
  return price >= 10_000 ? Number(price.toFixed(2)) : Number(price.toPrecision(6));
}

/** Change from `before` to `after` in percent, to five decimals; null when either is missing or nothing. */
export function changePercent(after: number | null, before: number | null): number | null {
  if (after === null || before === null || before === 0) return null;
  return Number(((after / before - 1) * 100).toFixed(5));
}
