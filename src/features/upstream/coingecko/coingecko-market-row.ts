import type { MarketRow } from '../../../domain/market-row.ts';

interface RowOrigin {
  readonly assetId: string;
  readonly currency: string;
  readonly receivedAt: number;
  /** False when the row's price is none: then it is told as null. */
  readonly priced: boolean;
}

/** Fields of a row of `/coins/markets` that are text; all others are numbers, objects of numbers, or null. */
const textual: ReadonlySet<string> = new Set([
  'id',
  'symbol',
  'name',
  'image',
  'ath_date',
  'atl_date',
  'last_updated',
  'currency',
]);

/**
 * The row as it came, but for what is no number in the place of one: that is null, as is a price that cannot be one. Nobody
 * who reads it has to check it again.
 */
export function marketRowOf(row: object, { assetId, currency, receivedAt, priced }: RowOrigin): MarketRow {
  const json = JSON.stringify(row, (field: string, value: unknown) => {
    if (field === 'current_price' && !priced) return null;
    if (typeof value === 'string' && !textual.has(field)) return null;
    // JSON has no NaN and no infinity, and writes both as null by itself.
    return value;
  });
  return { assetId, currency, receivedAt, json };
}
