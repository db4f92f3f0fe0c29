import { Decimal } from 'decimal.js';
import { priceOf, readingJson, type QuoteReading } from '../../domain/cached-quote.ts';

/**
 * Results of client jobs as JSON text: quotes are copied as they are in the cache, and money is computed in decimals. Pure, so
 * that it runs inline or in a thread.
 */

/** Enough for 20 + 18 digits of quantity times a price of 17 digits, summed over thousands of rows, without rounding. */
const Exact = Decimal.clone({ precision: 80, toExpNeg: -40, toExpPos: 60 });

/** A holding as the client gave it; several may name the same asset. */
export interface HoldingRow {
  readonly asset: string;
  /** Plain decimal text. */
  readonly quantity: string;
}

export interface AggregateInput {
  /** One reading per distinct asset, in the requested order. */
  readonly readings: readonly QuoteReading[];
  /** Absent where only quotes were asked for. */
  readonly holdings?: readonly HoldingRow[] | undefined;
  /** Time from start to the last quote, in milliseconds. */
  readonly fetchMs: number;
}

/**
 * JSON text of a portfolio's value for a stream: the rows of `changed` assets, and the total of all. Rows and total are those
 * of {@link aggregate}.
 */
export function portfolioUpdate(
  readings: readonly QuoteReading[],
  holdings: readonly HoldingRow[],
  changed: readonly string[],
): string {
  const quantities = sumQuantities(holdings);
  const wanted = new Set(changed);
  const rows: string[] = [];
  let total = new Exact(0);
  for (const reading of readings) {
    const { json, value } = holdingRow(reading, quantities);
    if (value !== undefined) total = total.plus(value);
    if (wanted.has(reading.assetId)) rows.push(json);
  }
  return `{"portfolio":[${rows.join(',')}],${totalOf(readings, total)}}`;
}

/** JSON text of the result of `bulk.fetch` and `portfolio.fetch`. */
export function aggregate({ readings, holdings, fetchMs }: AggregateInput): string {
  const success = readings.filter(isUsable).length;
  const counts = `"success_count":${success},"error_count":${readings.length - success},"fetch_time":"${(fetchMs / 1000).toFixed(2)}s"`;
  if (holdings === undefined) return `{"portfolio":[${readings.map(readingJson).join(',')}],${counts}}`;

  const quantities = sumQuantities(holdings);
  let total = new Exact(0);
  const rows = readings.map((reading) => {
    const { json, value } = holdingRow(reading, quantities);
    if (value !== undefined) total = total.plus(value);
    return json;
  });
  return `{"portfolio":[${rows.join(',')}],${totalOf(readings, total)},${counts}}`;
}

function holdingRow(
  reading: QuoteReading,
  quantities: ReadonlyMap<string, Decimal>,
): { readonly json: string; readonly value: Decimal | undefined } {
  const quantity = quantities.get(reading.assetId) ?? new Exact(0);
  const value = isUsable(reading) ? quantity.times(priceOf(reading.quote)) : undefined;
  const text = value === undefined ? 'null' : `"${value.toFixed()}"`;
  const json = `${readingJson(reading).slice(0, -1)},"quantity":"${quantity.toFixed()}","value":${text}}`;
  return { json, value };
}

/** A total says what is missing from it. */
function totalOf(readings: readonly QuoteReading[], total: Decimal): string {
  const missing = readings.filter((reading) => !isUsable(reading)).map(({ assetId }) => assetId);
  const value = missing.length === readings.length ? 'null' : `"${total.toFixed()}"`;
  return `"total_value":${value},"complete":${missing.length === 0},"missing":${JSON.stringify(missing)}`;
}

function isUsable(
  reading: QuoteReading,
): reading is QuoteReading & { quote: NonNullable<QuoteReading['quote']> } {
  return reading.quote !== undefined;
}

function sumQuantities(holdings: readonly HoldingRow[]): Map<string, Decimal> {
  const sums = new Map<string, Decimal>();
  for (const { asset, quantity } of holdings) {
    sums.set(asset, (sums.get(asset) ?? new Exact(0)).plus(quantity));
  }
  return sums;
}
