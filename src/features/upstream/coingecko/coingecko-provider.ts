import type { HistoryPoint, HistorySpan } from '../../../domain/history.ts';
import {
  type FailureContext,
  busyOf,
  byStatus,
  cdnCode,
  isRecord,
  isThrottled,
  parseLenient,
  rateLimitOf,
  rootOf,
  withEvidence,
} from '../provider-responses.ts';
import {
  type ProviderError,
  ProviderKeyError,
  ProviderNotFoundError,
  ProviderRangeError,
  ProviderRejectedError,
  ProviderResponseError,
} from '../provider-errors.ts';
import { createHttpGet, type HttpResponse } from '../http-get.ts';
import { encodedIds } from '../id-list.ts';
import type {
  AssetListing,
  PassthroughProviderRequest,
  HistoryRequest,
  PriceProvider,
  ProviderOptions,
  QuotesResult,
} from '../provider.ts';
import { isBelievable } from './document-checks.ts';
import type { MarketRow } from '../../../domain/market-row.ts';
import type { Quote } from '../../../domain/quote.ts';
import { amount, finite, instant, rankOf, text } from '../response-fields.ts';

export interface CoinGeckoOptions extends ProviderOptions {
  /** Root of the API with its version, such as `https://api.coingecko.com/api/v3`. */
  readonly baseUrl: string;
  /** Which credentials the provider expects. */
  readonly plan: 'keyless' | 'demo' | 'pro';
  /** Sent as a header, never in a URL. Required except for `keyless`. */
  readonly apiKey?: string | undefined;
}

const maxIdsPerCall = 250;
const maxIdListBytes = 6_000;
const dayMs = 86_400_000;
/** How many days of history plans below Pro have. */
const daysOfDemo = 365;
/** Requested in every call about markets, since it costs no extra: clients may want any of it. */
const fullRows = 'price_change_percentage=1h,24h,7d,14d,30d,200d,1y&precision=full';

const keyHeaders = { demo: 'x-cg-demo-api-key', pro: 'x-cg-pro-api-key' } as const;

/**
 * CoinGecko's API v3, or anything that speaks it.
 * @throws {Error} when the plan needs a key and there is none, or the base URL is not valid.
 */
export function createCoinGeckoProvider(options: CoinGeckoOptions): PriceProvider {
  const { clock } = options;
  const source = options.source ?? 'coingecko';
  const wire = createWire(options, source);
  const originOf = (currency: string): QuoteOrigin => ({ currency, source, receivedAt: clock.now() });
  // Only the real one is known to have this limit; our own market reports its range itself.
  const limited = source === 'coingecko' && options.plan !== 'pro';

  return {
    source,
    maxIdsPerCall,
    maxIdListBytes,
    ...(limited ? { historyDays: daysOfDemo } : {}),
    async fetchQuotes(request) {
      const list = encodedIds(request.ids, { maxIdsPerCall, maxIdListBytes, provider: source });
      const currency = request.currency.toLowerCase();
      const query = `vs_currency=${encodeURIComponent(currency)}&ids=${list}&per_page=${maxIdsPerCall}&page=1`;
      const rows = await wire.fetchRows(`/coins/markets?${query}&${fullRows}`, request.signal);
      return sortQuotes(rows, request.ids, originOf(currency));
    },
    async fetchMarkets(request) {
      const currency = request.currency.toLowerCase();
      const order = `order=market_cap_desc&per_page=${maxIdsPerCall}&page=${request.page}`;
      const query = `vs_currency=${encodeURIComponent(currency)}&${order}&${fullRows}`;
      const rows = await wire.fetchRows(`/coins/markets?${query}`, request.signal);
      return rankingOf(rows, originOf(currency), request.page);
    },
    async fetchAssets(signal): Promise<readonly AssetListing[]> {
      const rows = await wire.fetchRows('/coins/list?include_platform=true', signal);
      return rows.flatMap((row) => listingOf(row) ?? []);
    },
    fetchDocument: (request) => fetchDocument(wire, request, source),
    async fetchHistory(request) {
      if (limited && request.span.from < clock.now() - (daysOfDemo + 1) * dayMs)
        throw new ProviderRangeError(
          `${source}: the plan of this key covers only the past ${daysOfDemo} days`,
          {
            provider: source,
          },
        );
      return await fetchHistory(wire, request, source);
    },
    close: wire.close,
  };
}

/** A first page without any asset is an error: there are always some. */
function rankingOf(
  rows: readonly Row[],
  origin: QuoteOrigin,
  page: number,
): Awaited<ReturnType<PriceProvider['fetchMarkets']>> {
  const known = rows.flatMap((row) => {
    const assetId = assetIdOf(row);
    return assetId === undefined ? [] : [{ assetId, row, quote: quoteOf(row, origin) }];
  });
  if (known.length === 0 && page === 1) {
    const provider = origin.source;
    throw new ProviderResponseError(`${provider} sent a ranking without any asset`, { provider });
  }
  return {
    assetIds: known.map(({ assetId }) => assetId),
    quotes: known.flatMap(({ quote }) => quote ?? []),
    withoutPrice: known.flatMap(({ assetId, quote }) => (quote === undefined ? [assetId] : [])),
    rows: known.map(({ assetId, row, quote }) =>
      marketRowOf(row, { ...origin, assetId, priced: quote !== undefined }),
    ),
  };
}

async function fetchDocument(
  wire: Wire,
  { path, signal }: PassthroughProviderRequest,
  provider: string,
): Promise<string> {
  if (!/^\/[\w/.,:%?&=~+!'()*-]*$/.test(path)) {
    throw new ProviderRejectedError('The path of a document begins with / and is encoded', { provider });
  }
  const response = await wire.fetchJson(path, signal);
  const { text, body } = response;
  if (!isBelievable(path, body)) throw wire.unusable(response);
  // Text that is valid JSON is passed on unchanged; leniently parsed text must not reach a strict reader.
  return isJson(text) ? text : JSON.stringify(body);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

async function fetchHistory(
  wire: Wire,
  { assetId, currency, span, signal }: HistoryRequest,
  provider: string,
): Promise<readonly HistoryPoint[]> {
  const [id] = encodedIds([assetId], { maxIdsPerCall, maxIdListBytes, provider }).split(',');
  const [from, to] = [Math.floor(span.from / 1_000), Math.ceil(span.to / 1_000)];
  const query = `vs_currency=${encodeURIComponent(currency.toLowerCase())}&from=${from}&to=${to}&precision=full`;
  const path = `/coins/${id}/market_chart/range?${query}`;
  const response = await wire.fetchJson(path, signal);
  const chart = chartOf(response.body);
  if (chart === undefined) throw wire.unusable(response);
  return pointsOf(chart, span);
}

interface JsonResponse {
  readonly body: unknown;
  readonly text: string;
  readonly status: number;
}

interface Wire {
  /** The parsed body of a good response; undefined when it is not JSON. Any other response is an error. */
  readonly fetchJson: (path: string, signal: AbortSignal) => Promise<JsonResponse>;
  /** The rows of a list; any other response is an error. */
  readonly fetchRows: (path: string, signal: AbortSignal) => Promise<readonly Row[]>;
  /** The error for a good response with unexpected content. */
  readonly unusable: (response: JsonResponse) => ProviderError;
  readonly close: () => Promise<void>;
}

function createWire(options: CoinGeckoOptions, provider: string): Wire {
  const { apiKey, clock, timeoutMs, maxBodyBytes, openHttp = createHttpGet } = options;
  const root = rootOf(options.baseUrl);
  const http = openHttp({ provider, timeoutMs, maxBodyBytes, headers: headersOf(options) });
  const redact = (text: string): string => (apiKey ? text.replaceAll(apiKey, '[key]') : text);
  const fetchJson = async (path: string, signal: AbortSignal): Promise<JsonResponse> => {
    const response = await http.get(root + path, signal);
    const body = parseLenient(response.text);
    const failure = failureOf(response, body, { provider, clock, redact });
    if (failure !== undefined) throw withEvidence(failure, { root, text: response.text, redact });
    return { body, text: response.text, status: response.status };
  };
  const unusable = ({ text, status }: JsonResponse): ProviderError =>
    withEvidence(unusableOf(provider, text, status), { root, text, redact });
  return {
    fetchJson,
    async fetchRows(path, signal) {
      const response = await fetchJson(path, signal);
      const rows = rowsOf(response.body);
      if (rows === undefined) throw unusable(response);
      return rows;
    },
    unusable,
    close: () => http.close(),
  };
}

function unusableOf(provider: string, text: string, providerStatus: number): ProviderResponseError {
  const what = text === '' ? 'an empty body' : 'a body that is not the expected JSON';
  return new ProviderResponseError(`${provider} sent ${what}`, { provider, providerStatus });
}

function headersOf({ plan, apiKey }: CoinGeckoOptions): Record<string, string> {
  const headers = { accept: 'application/json', 'user-agent': 'pricepool' };
  if (plan === 'keyless') return headers;
  if (!apiKey) throw new Error(`The CoinGecko plan "${plan}" needs an API key: set COINGECKO_API_KEY`);
  return { ...headers, [keyHeaders[plan]]: apiKey };
}

/**
 * The chart in a response of `market_chart`, three parallel lists of `[time, value]`, unchecked; undefined when it is not one.
 */
function chartOf(
  body: unknown,
): Readonly<Record<'prices' | 'marketCaps' | 'volumes', readonly unknown[]>> | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const { prices, market_caps: marketCaps, total_volumes: volumes } = body as Record<string, unknown>;
  if (!Array.isArray(prices) || !Array.isArray(marketCaps) || !Array.isArray(volumes)) return undefined;
  return { prices, marketCaps, volumes };
}

/**
 * The observed points of a chart within a range, oldest first, each time once. Invalid prices are left out; a market
 * capitalisation of 0, which is how CoinGecko says that it has none, is passed on unchanged.
 */
function pointsOf(chart: NonNullable<ReturnType<typeof chartOf>>, { from, to }: HistorySpan): HistoryPoint[] {
  const caps = valuesOf(chart.marketCaps);
  const volumes = valuesOf(chart.volumes);
  const prices = [...valuesOf(chart.prices)].filter(([at]) => at >= from && at <= to);
  return prices
    .sort(([left], [right]) => left - right)
    .map(([at, price]) => ({
      at,
      price,
      marketCap: caps.get(at) ?? null,
      volume: volumes.get(at) ?? null,
    }));
}

function valuesOf(pairs: readonly unknown[]): Map<number, number> {
  const values = new Map<number, number>();
  for (const pair of pairs) {
    const [at, value] = Array.isArray(pair) ? (pair as unknown[]) : [];
    if (isAmount(at) && isAmount(value)) values.set(at, value);
  }
  return values;
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
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
 * The row as received, except that a value that should be a number and is not becomes null, and so does an impossible price.
 * Readers do not have to check it again.
 */
function marketRowOf(
  row: object,
  {
    assetId,
    currency,
    receivedAt,
    priced,
  }: {
    readonly assetId: string;
    readonly currency: string;
    readonly receivedAt: number;
    /** False when the row has no valid price: then it is reported as null. */
    readonly priced: boolean;
  },
): MarketRow {
  const json = JSON.stringify(row, (field: string, value: unknown) => {
    if (field === 'current_price' && !priced) return null;
    if (typeof value === 'string' && !textual.has(field)) return null;
    // JSON has no NaN and no infinity, and writes both as null by itself.
    return value;
  });
  return { assetId, currency, receivedAt, json };
}

/**
 * Turns CoinGecko's JSON into quotes. The checks are written by hand because 250 rows per call are read while a user waits.
 * Nothing is repaired: a field of the wrong type is null, an invalid price is no price, and a price of 0 is one if the source
 * sent 0, unless the same row says that the asset is worth something.
 */

/** What all quotes of one answer share. */
interface QuoteOrigin {
  readonly currency: string;
  readonly source: string;
  readonly receivedAt: number;
}

/** One element of a list from CoinGecko; only its id has been checked. */
type Row = Readonly<Record<string, unknown>>;

/** The rows of a response that have an id. Undefined when it is not a list, or not a list of objects. */
function rowsOf(body: unknown): readonly Row[] | undefined {
  if (!Array.isArray(body)) return undefined;
  const rows = body.filter(
    (row): row is Row => typeof row === 'object' && row !== null && typeof (row as Row)['id'] === 'string',
  );
  return body.length > 0 && rows.length === 0 ? undefined : rows;
}

/**
 * Sorts the rows into quotes and the assets without one. An asset that was requested and is not in the response is not found,
 * even when the list is empty: a valid response is authoritative (an unknown currency gets a 4xx, a failure no valid list), and
 * callers remember "not found" only briefly.
 */
function sortQuotes(rows: readonly Row[], ids: readonly string[], origin: QuoteOrigin): QuotesResult {
  const missing = new Set(ids);
  const quotes: Quote[] = [];
  const withoutPrice: string[] = [];
  const reported: MarketRow[] = [];
  for (const row of rows) {
    const id = row['id'] as string;
    if (!missing.delete(id)) continue; // not asked for, or a second row of the same asset
    const quote = quoteOf(row, origin);
    if (quote === undefined) withoutPrice.push(id);
    else quotes.push(quote);
    reported.push(marketRowOf(row, { ...origin, assetId: id, priced: quote !== undefined }));
  }
  return { quotes, notFound: [...missing], withoutPrice, rows: reported };
}

/** The asset id of a row; undefined when it has none. */
function assetIdOf(row: Row): string | undefined {
  const id = text(row['id']);
  return id === null || id === '' ? undefined : id;
}

/** The quote in a row of `/coins/markets`, or undefined when it has no usable price or no id. */
export function quoteOf(row: Row, origin: QuoteOrigin): Quote | undefined {
  const price = amount(row['current_price']);
  const assetId = assetIdOf(row);
  if (price === null || assetId === undefined) return undefined;
  if (price === 0 && (amount(row['market_cap']) ?? 0) > 0) return undefined;
  return {
    assetId,
    symbol: text(row['symbol'])?.toLowerCase() ?? null,
    name: text(row['name']),
    currency: origin.currency,
    price,
    marketCap: amount(row['market_cap']),
    rank: rankOf(row['market_cap_rank']),
    change24h: finite(row['price_change_24h']),
    changePercent24h: finite(row['price_change_percentage_24h']),
    volume24h: amount(row['total_volume']),
    source: origin.source,
    asOf: instant(row['last_updated']),
    receivedAt: origin.receivedAt,
  };
}

/** The asset in a row of `/coins/list`, its symbol as sent; undefined for rows without an id. Real lists hold some. */
function listingOf(row: Row): AssetListing | undefined {
  const assetId = text(row['id']);
  if (assetId === null) return undefined;
  const symbol = text(row['symbol']) ?? '';
  const platforms = platformsOf(row['platforms']);
  return {
    assetId,
    symbol,
    name: text(row['name']) ?? '',
    ...(platforms === undefined ? {} : { platforms }),
  };
}

function platformsOf(value: unknown): Record<string, string | null> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const entries = Object.entries(value).filter(
    (entry): entry is [string, string | null] => entry[1] === null || typeof entry[1] === 'string',
  );
  return Object.fromEntries(entries);
}

/**
 * The meaning of a bad response. CoinGecko and its CDN say "too many requests" in at least five forms, two of them without the
 * status 429, so the body is checked before the status is trusted.
 */

/** CoinGecko's own codes: wrong key, wrong plan, wrong root URL. The CDN's is 1020: firewall. */
const keyCodes: ReadonlySet<number> = new Set([10_002, 10_005, 10_010, 10_011]);
const timeRangeCode = 10_012;

/** The error code and message in an error body, in each of the places where they have been seen. */
function errorInBody(body: unknown): { code: number | undefined; message: string } | undefined {
  if (!isRecord(body)) return undefined;
  const nested = isRecord(body['error']) ? body['error'] : body;
  const status = isRecord(nested['status']) ? nested['status'] : nested;
  const code = [status['error_code'], status['status'], status['code']].map(Number).find(Number.isInteger);
  const message = [status['error_message'], status['message'], body['error']].find(
    (text): text is string => typeof text === 'string',
  );
  return code === undefined && message === undefined ? undefined : { code, message: message ?? '' };
}

/**
 * The error for a response, or undefined when it has no known fault: then its status is 200 and `body` is neither an error nor
 * absent.
 */
function failureOf(
  response: HttpResponse,
  body: unknown,
  context: FailureContext,
): ProviderError | undefined {
  const { status, text } = response;
  const inBody = errorInBody(body);
  const code = inBody?.code ?? cdnCode(text, body);
  if ([status, code].includes(429) || code === 1015 || isThrottled(text)) {
    return rateLimitOf(response, context);
  }
  if (status === 200 && inBody === undefined && code === undefined) return undefined;
  const busy = busyOf(response, context);
  if (busy !== undefined) return busy;
  return refusalOf(
    status,
    { code, said: context.redact(inBody?.message ?? '').slice(0, 200) },
    context.provider,
  );
}

function refusalOf(
  status: number,
  { code, said }: { code: number | undefined; said: string },
  provider: string,
): ProviderError {
  const options = { provider, providerStatus: status };
  const what = [`${provider} answered ${status}`, code, said].filter(Boolean).join(': ');
  if (code === timeRangeCode || /allowed time range/i.test(said))
    return new ProviderRangeError(what, options);
  if (status === 404 && /not find|not found/i.test(said)) return new ProviderNotFoundError(what, options);
  if (code !== undefined && keyCodes.has(code)) return new ProviderKeyError(what, options);
  if (code === 1020) return new ProviderRejectedError(what, options);
  return byStatus(status === 200 ? (code ?? 200) : status, what, options);
}
