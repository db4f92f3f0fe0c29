/** Parameters of calls: lists, the assets that they name, and the precision of prices. */
import type { MarketSource } from './source.ts';

/** Splits a comma-separated parameter; an absent or empty one is undefined. */
export function listOf(text: string | null, trim: boolean): string[] | undefined {
  if (text === null || text === '') return undefined;
  const parts = text.split(',');
  return trim ? parts.map((part) => part.trim()) : parts;
}

/**
 * The assets a call names, each once, by the first of `ids`, `names` and `symbols` that is there; undefined when none
 * is. A symbol stands for its highest-ranked asset, or for all of them with `include_tokens=all`.
 */
export function selectIds(
  source: MarketSource,
  query: URLSearchParams,
  { trim }: { readonly trim: boolean },
): readonly string[] | undefined {
  const ids = listOf(query.get('ids'), trim);
  if (ids !== undefined) return [...new Set(ids)];
  const names = listOf(query.get('names'), trim);
  if (names !== undefined) return matching(source, { field: 'name', wanted: names, all: true });
  const symbols = listOf(query.get('symbols'), trim);
  if (symbols === undefined) return undefined;
  return matching(source, { field: 'symbol', wanted: symbols, all: query.get('include_tokens') === 'all' });
}

function matching(
  source: MarketSource,
  {
    field,
    wanted,
    all,
  }: { readonly field: 'name' | 'symbol'; readonly wanted: readonly string[]; readonly all: boolean },
): string[] {
  const open = new Set(wanted.map((text) => text.toLowerCase()));
  const ids: string[] = [];
  for (const id of source.ranked()) {
    const value = source.listing(id)?.[field].toLowerCase() ?? '';
    if (!open.has(value)) continue;
    ids.push(id);
    if (!all) open.delete(value);
  }
  return ids;
}

/** Decimal places of a price: a count, `full`, or the source's own choice. */
export type Precision = number | 'full' | undefined;

/** Reads the `precision` parameter; anything other than `full` or 0 to 18 counts as absent. */
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
