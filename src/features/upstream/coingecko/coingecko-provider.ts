import type { HistoryPoint } from '../../../domain/history.ts';
import { parseLenient, rootOf } from '../answers.ts';
import { ProviderRangeError, ProviderRejectedError, ProviderResponseError } from '../provider-errors.ts';
import { createHttpGet } from '../http-get.ts';
import { encodedIds } from '../id-list.ts';
import type {
  AssetListing,
  DocumentRequest,
  HistoryRequest,
  PriceProvider,
  ProviderOptions,
} from '../provider.ts';
import { isBelievable } from './document-checks.ts';
import { failureOf } from './coingecko-failures.ts';
import { chartOf, pointsOf } from './coingecko-history.ts';
import { marketRowOf } from './coingecko-market-row.ts';
import {
  assetIdOf,
  listingOf,
  quoteOf,
  type QuoteOrigin,
  type Row,
  rowsOf,
  sortQuotes,
} from './coingecko-rows.ts';

export interface CoinGeckoOptions extends ProviderOptions {
  /** Root of the API with its version, such as `https://api.coingecko.com/api/v3`. */
  readonly baseUrl: string;
  /** Which credentials the provider expects. */
  readonly plan: 'keyless' | 'demo' | 'pro';
  /** Sent as a header, never in a URL. Required but for `keyless`. */
  readonly apiKey?: string | undefined;
}

const maxIdsPerCall = 250;
const maxIdListBytes = 6_000;
const dayMs = 86_400_000;
/** Days back that plans below Pro reach. */
const daysOfDemo = 365;
/** Asked for in every call about markets, since it costs nothing more: clients may want any of it. */
const fullRows = 'price_change_percentage=1h,24h,7d,14d,30d,200d,1y&precision=full';

const keyHeaders = { demo: 'x-cg-demo-api-key', pro: 'x-cg-pro-api-key' } as const;

/**
 * CoinGecko's API v3, or anything that speaks it.
 * @throws {Error} when the plan needs a key and there is none, or the base URL is not one.
 */
export function createCoinGeckoProvider(options: CoinGeckoOptions): PriceProvider {
  const { clock } = options;
  const source = options.source ?? 'coingecko';
  const wire = createWire(options, source);
  const originOf = (currency: string): QuoteOrigin => ({ currency, source, receivedAt: clock.now() });
  // Only the real one is known to have this limit; a market of our own says itself what it has.
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
        throw new ProviderRangeError(`${source} reaches back ${daysOfDemo} days`, { provider: source });
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
    rows: known.map(({ assetId, row, quote }) =>
      marketRowOf(row, { ...origin, assetId, priced: quote !== undefined }),
    ),
  };
}

async function fetchDocument(
  wire: Wire,
  { path, signal }: DocumentRequest,
  provider: string,
): Promise<string> {
  if (!/^\/[\w/.,:%?&=~+-]*$/.test(path)) {
    throw new ProviderRejectedError('The path of a document begins with / and is encoded', { provider });
  }
  const { text, body, status } = await wire.fetchJson(path, signal);
  if (!isBelievable(path, body)) throw unusable(provider, text, status);
  // Text that is JSON passes as it is; what was only understood leniently must not reach a strict reader.
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
  const { body, text, status } = await wire.fetchJson(path, signal);
  const chart = chartOf(body);
  if (chart === undefined) throw unusable(provider, text, status);
  return pointsOf(chart, span);
}

interface JsonAnswer {
  readonly body: unknown;
  readonly text: string;
  readonly status: number;
}

interface Wire {
  /** A good answer, parsed; undefined where it is no JSON. Every other answer is an error. */
  readonly fetchJson: (path: string, signal: AbortSignal) => Promise<JsonAnswer>;
  /** The rows of a list; every other answer is an error. */
  readonly fetchRows: (path: string, signal: AbortSignal) => Promise<readonly Row[]>;
  readonly close: () => Promise<void>;
}

function createWire(options: CoinGeckoOptions, provider: string): Wire {
  const { apiKey, clock, timeoutMs, maxBodyBytes, openHttp = createHttpGet } = options;
  const root = rootOf(options.baseUrl);
  const http = openHttp({ provider, timeoutMs, maxBodyBytes, headers: headersOf(options) });
  const redact = (text: string): string => (apiKey ? text.replaceAll(apiKey, '[key]') : text);
  const fetchJson = async (path: string, signal: AbortSignal): Promise<JsonAnswer> => {
    const answer = await http.get(root + path, signal);
    const body = parseLenient(answer.text);
    const failure = failureOf(answer, body, { provider, clock, redact });
    if (failure !== undefined) throw failure;
    return { body, text: answer.text, status: answer.status };
  };
  return {
    fetchJson,
    async fetchRows(path, signal) {
      const { body, text, status } = await fetchJson(path, signal);
      const rows = rowsOf(body);
      if (rows === undefined) throw unusable(provider, text, status);
      return rows;
    },
    close: () => http.close(),
  };
}

function unusable(provider: string, text: string, providerStatus: number): ProviderResponseError {
  const what = text === '' ? 'an empty body' : 'JSON of an unexpected shape, or none';
  return new ProviderResponseError(`${provider} sent ${what}`, { provider, providerStatus });
}

function headersOf({ plan, apiKey }: CoinGeckoOptions): Record<string, string> {
  const headers = { accept: 'application/json', 'user-agent': 'pricepool' };
  if (plan === 'keyless') return headers;
  if (!apiKey) throw new Error(`The CoinGecko plan "${plan}" needs an API key`);
  return { ...headers, [keyHeaders[plan]]: apiKey };
}
