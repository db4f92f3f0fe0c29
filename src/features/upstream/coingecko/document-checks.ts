/**
 * Checks whether a document is plausible before it replaces an older one. Readers get it unchanged, so nothing is repaired: one
 * impossible price makes the whole document unusable. Single nulls are normal; if every price is null or 0, the source is
 * broken.
 */
import { isRecord } from '../provider-responses.ts';

/**
 * Whether a document has the form that its path promises, with possible prices. For unknown paths any object or list passes.
 */
export function isBelievable(path: string, body: unknown): boolean {
  const [route = ''] = path.split('?', 1);
  if (route === '/coins/markets') return isMarketList(body);
  if (route === '/coins/list') return Array.isArray(body);
  if (route === '/search/trending') return isTrending(body);
  if (route === '/global') return isGlobal(body);
  const [, id = '', part] = /^\/coins\/([^/]+)(?:\/([^/]+))?$/.exec(route) ?? [];
  if (id === '') return typeof body === 'object' && body !== null;
  if (part === 'ohlc') return isOhlc(body);
  if (part === undefined || part === 'history') return isCoin(body, decoded(id));
  return typeof body === 'object' && body !== null;
}

function decoded(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

/** Classifies a price: a good one, none (null or 0), or an impossible one. */
function seenIn(value: unknown): 'good' | 'none' | 'bad' {
  if (value === null || value === 0) return 'none';
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? 'good' : 'bad';
}

/** Nothing bad, and not only nulls and zeros; no price at all is fine. */
function areUsable(places: readonly ReturnType<typeof seenIn>[]): boolean {
  if (places.includes('bad')) return false;
  return places.length === 0 || places.includes('good');
}

function isMarketList(body: unknown): boolean {
  if (!Array.isArray(body)) return false;
  const rows: readonly unknown[] = body;
  if (!rows.every((row) => isRecord(row) && typeof row['id'] === 'string')) return false;
  const known = rows.filter(isRecord);
  if (!known.every((row) => isSparkline(row['sparkline_in_7d']))) return false;
  return areUsable(
    known.flatMap((row) => {
      const price = row['current_price'];
      return price === undefined || isUntraded(row) ? [] : [seenIn(price)];
    }),
  );
}

/** A row that itself says that its asset is worth nothing and is not traded: a list may consist of such assets only. */
function isUntraded(row: Record<string, unknown>): boolean {
  const fields = ['current_price', 'market_cap', 'total_volume'];
  return fields.every((field) => row[field] === null || row[field] === 0);
}

function isCoin(body: unknown, id: string): boolean {
  if (!isRecord(body)) return false;
  if (typeof body['id'] !== 'string' || body['id'].toLowerCase() !== id.toLowerCase()) return false;
  const market = body['market_data'];
  // Not requested, or of a day before the asset's first.
  if (market === undefined || market === null) return true;
  if (!isRecord(market)) return false;
  return isByCurrency(market['current_price']) && isSparkline(market['sparkline_7d']);
}

/** One number for each currency; a currency or all of them may be absent. */
function isByCurrency(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return isRecord(value) && areUsable(Object.values(value).map(seenIn));
}

/** A list of prices, bare or as `price`. Nulls mean that nothing was observed. */
function isSparkline(value: unknown): boolean {
  const prices = isRecord(value) ? value['price'] : value;
  if (prices === undefined || prices === null) return true;
  return Array.isArray(prices) && areUsable(prices.map(seenIn));
}

function isOhlc(body: unknown): boolean {
  if (!Array.isArray(body)) return false;
  const rows: readonly unknown[] = body;
  const isRow = (row: unknown): row is number[] =>
    Array.isArray(row) && row.length === 5 && row.every((value) => Number.isFinite(value));
  return rows.every(isRow) && areUsable(rows.flatMap(([, ...values]) => values.map(seenIn)));
}

/** In some responses CoinGecko formats prices as text, such as `$1.23`: then the text must contain a number. */
function isTrending(body: unknown): boolean {
  if (!isRecord(body) || !Array.isArray(body['coins'])) return false;
  const prices = (body['coins'] as readonly unknown[]).flatMap((coin) => {
    const item = isRecord(coin) ? coin['item'] : undefined;
    const reported = isRecord(item) && isRecord(item['data']) ? item['data']['price'] : undefined;
    return reported === undefined ? [] : [reported];
  });
  return areUsable(
    prices.map((price) => {
      if (typeof price !== 'string') return seenIn(price);
      return /\d/.test(price) && !price.startsWith('-') ? 'good' : 'bad';
    }),
  );
}

function isGlobal(body: unknown): boolean {
  const reported = isRecord(body) ? body['data'] : undefined;
  if (!isRecord(reported)) return false;
  const { total_market_cap: cap, total_volume: volume } = reported;
  return isRecord(cap) && isRecord(volume) && isByCurrency(cap) && isByCurrency(volume);
}
