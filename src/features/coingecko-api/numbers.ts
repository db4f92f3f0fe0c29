/** Decimal places of a price: a count, `full`, or CoinGecko's own choice. */
export type Precision = number | 'full' | undefined;

/**
 * JSON text of a price. Without a precision it is rounded as CoinGecko does by default: six significant digits, yet never
 * fewer than two decimals. A price that CoinGecko sent is so rounded already; one of another source has more digits.
 */
export function priceText(price: number, precision: Precision): string {
  return String(roundPrice(price, precision));
}

/** A price rounded as asked for (see {@link priceText}). */
export function roundPrice(price: number, precision: Precision): number {
  if (precision === 'full') return price;
  if (precision !== undefined) return Number(price.toFixed(precision));
  return price >= 10_000 ? Number(price.toFixed(2)) : Number(price.toPrecision(6));
}
