import type { Quote } from '../../../domain/quote.ts';
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
  ProviderRejectedError,
  ProviderResponseError,
} from '../provider-errors.ts';
import { createHttpGet, type HttpResponse } from '../http-get.ts';
import { encodedIds } from '../id-list.ts';
import type {
  MarketsResult,
  PriceProvider,
  ProviderOptions,
  QuotesRequest,
  QuotesResult,
} from '../provider.ts';
import { listedAsset, slugOf } from './slugs.ts';
import { amount, finite, instant, rankOf, text } from '../response-fields.ts';
import type { Clock } from '../../../platform/concurrency/clock.ts';

/** Looks up what is known elsewhere of assets, by id; unknown ones are left out. Must not reject. */
export type IdentifyAssets = (ids: readonly string[]) => Promise<ReadonlyMap<string, AssetIdentity>>;

interface CoinMarketCapOptions extends ProviderOptions {
  /** Root of the API without a version, such as `https://pro-api.coinmarketcap.com`. */
  readonly baseUrl: string;
  /** Shape of the API. */
  readonly version: 'v2' | 'v3';
  /** Sent as a header. Absent: only paths that need none (v3). */
  readonly apiKey?: string | undefined;
  readonly identify: IdentifyAssets;
}

const maxIdsPerCall = 250;
const maxIdListBytes = 6_000;
const rowsPerPage = 250;
/** Assets covered by one credit. */
const assetsPerCredit = 100;
/** Most rows of the list of assets in one call. */
const maxListed = 5_000;
/** The form of their slugs. Anything else would make them refuse the whole list. */
const slugForm = /^[a-z0-9]+(?:[-_.][a-z0-9]+)*$/i;
/** Currencies of ours that they do not have, or that mean something else there. */
const notServed: ReadonlySet<string> = new Set(['bits', 'sats', 'xdr', 'vef']);

/**
 * CoinMarketCap in its v2 and v3 shapes. Asset ids are CoinGecko's, which mean nothing there: assets are requested by slug and
 * accepted only when their identity is proven (slugs.ts, rows.ts).
 * @throws {Error} for v2 without a key, and for an invalid base URL.
 */
export function createCoinMarketCapProvider(options: CoinMarketCapOptions): PriceProvider {
  const { clock, identify } = options;
  const source = options.source ?? 'coinmarketcap';
  const wire = createWire(options, source);
  const originOf = (currency: string) => ({ currency, source, receivedAt: clock.now() });

  return {
    source,
    maxIdsPerCall,
    maxIdListBytes,
    serves: (currency) => !notServed.has(currency),
    creditsOf: (assets) => Math.max(1, Math.ceil(assets / assetsPerCredit)),
    async fetchQuotes(request) {
      const currency = request.currency.toLowerCase();
      const slugs = slugsOf(request, source);
      if (slugs.size === 0) return { quotes: [], notFound: [...request.ids], withoutPrice: [] };
      const path = `quotes/latest?slug=${[...slugs.keys()].join(',')}&convert=${codeOf(currency)}&skip_invalid=true`;
      const rows = await wire.fetchRows(path, request.signal);
      const known = await identify(unlisted(rows));
      return sortRows(rows, request.ids, { slugs, known, origin: originOf(currency) });
    },
    async fetchMarkets({ currency: requested, page, signal }) {
      const currency = requested.toLowerCase();
      const start = (page - 1) * rowsPerPage + 1;
      const path = `listings/latest?start=${start}&limit=${rowsPerPage}&sort=market_cap&convert=${codeOf(currency)}`;
      const rows = await wire.fetchRows(path, signal);
      if (rows.length === 0 && page === 1)
        throw new ProviderResponseError(`${source} sent a ranking without any asset`, { provider: source });
      return rankingOf(rows, await identify(unlisted(rows)), originOf(currency));
    },
    async fetchAssets(signal) {
      const rows = await wire.fetchRows(`map?start=1&limit=${maxListed}&sort=cmc_rank`, signal);
      const known = await identify(unlisted(rows));
      return rows.flatMap((row) => {
        const assetId = assetOf(row, known.get(row.slug));
        return assetId === undefined ? [] : { assetId, symbol: row.symbol.toLowerCase(), name: row.name };
      });
    },
    close: wire.close,
  };
}

function codeOf(currency: string): string {
  return encodeURIComponent(currency.toUpperCase());
}

/** Slugs of rows that are not in the list: each may be the asset of that id, if the symbol agrees. */
function unlisted(rows: readonly CmcRow[]): string[] {
  return rows.flatMap(({ slug }) => (listedAsset(slug) === undefined ? slug : []));
}

/**
 * What to request: slug to asset id. An id that is another asset's slug is left out, and so is one that cannot be a slug; so
 * the response can only be about requested assets.
 */
function slugsOf({ ids }: QuotesRequest, provider: string): Map<string, string> {
  encodedIds(ids, { maxIdsPerCall, maxIdListBytes, provider });
  const pairs = ids.flatMap((id): (readonly [string, string])[] => {
    const slug = slugOf(id);
    const owner = listedAsset(slug);
    return slugForm.test(slug) && (owner === undefined || owner === id) ? [[slug, id]] : [];
  });
  return new Map(pairs);
}

interface Sorting {
  readonly slugs: ReadonlyMap<string, string>;
  readonly known: ReadonlyMap<string, AssetIdentity>;
  readonly origin: { readonly currency: string; readonly source: string; readonly receivedAt: number };
}

/** An asset whose slug exists but whose identity is not proven is not reported as unknown: it has no price here. */
function sortRows(
  rows: readonly CmcRow[],
  ids: readonly string[],
  { slugs, known, origin }: Sorting,
): QuotesResult {
  const missing = new Set(ids);
  const quotes: Quote[] = [];
  const withoutPrice: string[] = [];
  for (const row of rows) {
    const requested = slugs.get(row.slug);
    if (requested === undefined || !missing.delete(requested)) continue;
    const assetId = assetOf(row, known.get(row.slug));
    const quote = assetId === requested ? quoteOf(row, assetId, origin) : undefined;
    if (quote === undefined) withoutPrice.push(requested);
    else quotes.push(quote);
  }
  return { quotes, notFound: [...missing], withoutPrice };
}

/** Assets without proven identity are left out of a ranking, because it is unclear which they are. */
function rankingOf(
  rows: readonly CmcRow[],
  known: ReadonlyMap<string, AssetIdentity>,
  origin: Sorting['origin'],
): MarketsResult {
  const assets = new Map<string, CmcRow>();
  for (const row of rows) {
    const assetId = assetOf(row, known.get(row.slug));
    if (assetId !== undefined && !assets.has(assetId)) assets.set(assetId, row);
  }
  const quotes = [...assets].flatMap(([assetId, row]) => quoteOf(row, assetId, origin) ?? []);
  const priced = new Set(quotes.map(({ assetId }) => assetId));
  const assetIds = [...assets.keys()];
  return { assetIds, quotes, withoutPrice: assetIds.filter((id) => !priced.has(id)) };
}

function createWire(
  options: CoinMarketCapOptions,
  provider: string,
): {
  /** The rows of a response; any other response is an error. `path` is below `/cryptocurrency/`. */
  readonly fetchRows: (path: string, signal: AbortSignal) => Promise<readonly CmcRow[]>;
  readonly close: () => Promise<void>;
} {
  const { apiKey, clock, timeoutMs, maxBodyBytes, openHttp = createHttpGet } = options;
  const keyHeader = apiKey === undefined ? {} : { 'x-cmc_pro_api_key': apiKey };
  const headers = { accept: 'application/json', 'user-agent': 'pricepool', ...keyHeader };
  const http = openHttp({ provider, timeoutMs, maxBodyBytes, headers });
  const redact = (text: string): string => (apiKey ? text.replaceAll(apiKey, '[key]') : text);
  const rootOfPath = pathsOf(options);
  const reported = (error: ProviderError, text: string): ProviderError =>
    withEvidence(error, { root: options.baseUrl, text, redact });
  return {
    async fetchRows(path, signal) {
      const response = await http.get(rootOfPath(path), signal);
      const body = parseLenient(response.text);
      const failure = failureOf(response, body, { provider, clock, redact });
      if (failure !== undefined) throw reported(failure, response.text);
      const rows = rowsOf(body);
      if (rows !== undefined) return rows;
      const what = response.text === '' ? 'an empty body' : 'a body that is not the expected JSON';
      const error = new ProviderResponseError(`${provider} sent ${what}`, {
        provider,
        providerStatus: response.status,
      });
      throw reported(error, response.text);
    },
    close: () => http.close(),
  };
}

/** V2 has quotes only; its rankings and lists are those of v1. */
function pathsOf({ baseUrl, version, apiKey }: CoinMarketCapOptions): (path: string) => string {
  if (apiKey === undefined && version === 'v2')
    throw new Error('CoinMarketCap needs an API key (COINMARKETCAP_API_KEY), except for its version v3');
  const root = `${rootOf(baseUrl)}${apiKey === undefined ? '/public-api' : ''}`;
  return (path) => {
    const old = path.startsWith('map?') || (version === 'v2' && path.startsWith('listings/'));
    return `${root}/${old ? 'v1' : version}/cryptocurrency/${path}`;
  };
}

/**
 * Turns CoinMarketCap's rows into quotes. V2 keys rows by id (or by symbol, as lists) and quotes by currency; v3 has lists of
 * both. A row is accepted only when its identity is proven ({@link assetOf}).
 */

/** A row with its id, symbol and slug. */
interface CmcRow {
  readonly slug: string;
  readonly symbol: string;
  readonly name: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What is known of an asset from elsewhere. */
interface AssetIdentity {
  readonly symbol: string;
  readonly name: string;
}

/** The rows in the data of an envelope; undefined when it is neither a list nor an object of rows. */
function rowsOf(body: unknown): readonly CmcRow[] | undefined {
  const data = isRecord(body) ? body['data'] : undefined;
  if (!Array.isArray(data) && !isRecord(data)) return undefined;
  const values = (Array.isArray(data) ? data : Object.values(data)).flat();
  const rows = values.flatMap((value) => rowOf(value) ?? []);
  return values.length > 0 && rows.length === 0 ? undefined : rows;
}

function rowOf(value: unknown): CmcRow | undefined {
  if (!isRecord(value)) return undefined;
  const [slug, symbol, name] = [text(value['slug']), text(value['symbol']), text(value['name'])];
  return slug === null || symbol === null ? undefined : { slug, symbol, name: name ?? '', fields: value };
}

/**
 * The asset id of a row: that of a listed slug, or else the slug itself if an asset with that id is known and has the same
 * symbol. Undefined when neither proves it: a price of the wrong asset is worse than none.
 */
function assetOf(row: CmcRow, known: AssetIdentity | undefined): string | undefined {
  const listed = listedAsset(row.slug);
  if (listed !== undefined) return listed;
  if (known === undefined || known.symbol.toLowerCase() !== row.symbol.toLowerCase()) return undefined;
  return row.slug;
}

/** The quote of a row in the requested currency; undefined when it has no usable price in it. */
function quoteOf(
  row: CmcRow,
  assetId: string,
  origin: {
    readonly currency: string;
    readonly source: string;
    readonly receivedAt: number;
  },
): Quote | undefined {
  const reported = fieldsIn(row.fields['quote'], origin.currency);
  const price = amount(reported?.['price']);
  if (reported === undefined || price === null) return undefined;
  const marketCap = amount(reported['market_cap']);
  if (price === 0 && (marketCap ?? 0) > 0) return undefined;
  return {
    assetId,
    symbol: row.symbol.toLowerCase(),
    name: row.name === '' ? null : row.name,
    currency: origin.currency,
    price,
    marketCap,
    rank: rankOf(row.fields['cmc_rank']),
    // The provider reports only the change in per cent; an amount would have to be computed from it.
    change24h: null,
    changePercent24h: finite(reported['percent_change_24h']),
    volume24h: amount(reported['volume_24h']),
    source: origin.source,
    asOf: instant(reported['last_updated']) ?? instant(row.fields['last_updated']),
    receivedAt: origin.receivedAt,
  };
}

/** Figures that do not name the requested currency are ignored, so that they are never those of another one. */
function fieldsIn(quote: unknown, currency: string): Readonly<Record<string, unknown>> | undefined {
  const code = currency.toUpperCase();
  const found: unknown = Array.isArray(quote)
    ? quote.find((entry) => isRecord(entry) && entry['symbol'] === code)
    : isRecord(quote) && Object.hasOwn(quote, code)
      ? quote[code]
      : undefined;
  return isRecord(found) ? found : undefined;
}

/** The meaning of a CoinMarketCap response: its envelope reports an error by its own code, even with status 200. */

const minuteMs = 60_000;
const dayMs = 86_400_000;

/**
 * How long to pause after an error code (ms). The limits per minute and per address end within a minute, the daily one at
 * midnight UTC. A month may start on any day, depending on the account, so after a monthly limit the next try is at the next
 * midnight.
 */
const waitOfCode: Readonly<Record<number, (clock: Clock) => number>> = {
  1008: () => minuteMs,
  1009: untilMidnight,
  1010: untilMidnight,
  1011: () => minuteMs,
};

function untilMidnight(clock: Clock): number {
  return dayMs - (clock.now() % dayMs);
}

/** Key missing, wrong, not activated, not paid for, or of a plan without this call. */
const keyCodes: ReadonlySet<number> = new Set([1001, 1002, 1003, 1004, 1005, 1006, 1007]);

/** The error in the envelope; undefined when there is none, or no envelope. */
function errorInEnvelope(body: unknown):
  | {
      readonly code: number;
      readonly message: string;
    }
  | undefined {
  const status = isRecord(body) && isRecord(body['status']) ? body['status'] : undefined;
  const code = Number(status?.['error_code'] ?? Number.NaN);
  if (!Number.isInteger(code) || code === 0) return undefined;
  const message = status?.['error_message'];
  return { code, message: typeof message === 'string' ? message : '' };
}

/** The error for a response; undefined when it has no known fault. */
function failureOf(
  response: HttpResponse,
  body: unknown,
  context: FailureContext,
): ProviderError | undefined {
  const { status, text } = response;
  const said = errorInEnvelope(body);
  const code = said?.code ?? cdnCode(text, body);
  const waits = code === undefined ? undefined : waitOfCode[code];
  if (waits !== undefined || [status, code].includes(429) || code === 1015 || isThrottled(text)) {
    return rateLimitOf(response, context, waits?.(context.clock));
  }
  if (status === 200 && code === undefined) return undefined;
  const busy = busyOf(response, context);
  if (busy !== undefined) return busy;
  return refusalOf(status, { code, message: context.redact(said?.message ?? '') }, context.provider);
}

function refusalOf(
  status: number,
  { code, message }: { code: number | undefined; message: string },
  provider: string,
): ProviderError {
  const what = [`${provider} answered ${status}`, code, message.slice(0, 200)].filter(Boolean).join(': ');
  const options = { provider, providerStatus: status };
  if (code !== undefined && keyCodes.has(code)) return new ProviderKeyError(what, options);
  if (code === 1020) return new ProviderRejectedError(what, options);
  return byStatus(status === 200 ? (code ?? 200) : status, what, options);
}
