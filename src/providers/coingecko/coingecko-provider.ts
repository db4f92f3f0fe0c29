import type { Clock } from '../../lib/clock.ts';
import { ProviderRejectedError, ProviderResponseError, ProviderUrlTooLongError } from '../errors.ts';
import { createHttpGet } from '../http-get.ts';
import type { PriceProvider, QuotesRequest } from '../provider.ts';
import { failureOf } from './failures.ts';
import {
  assetIdOf,
  listingOf,
  parseLenient,
  quoteOf,
  type QuoteOrigin,
  type Row,
  rowsOf,
  sortQuotes,
} from './rows.ts';

/** Which credentials the provider expects. */
export type CoinGeckoPlan = 'keyless' | 'demo' | 'pro';

export interface CoinGeckoOptions {
  /** Root of the API with its version, such as `https://api.coingecko.com/api/v3`. */
  readonly baseUrl: string;
  readonly plan: CoinGeckoPlan;
  /** Sent as a header, never in a URL. Required but for `keyless`. */
  readonly apiKey?: string | undefined;
  /** Total time of a call. */
  readonly timeoutMs: number;
  readonly maxBodyBytes: number;
  /** What quotes carry as their source: `simulated` and `replay` for the embedded market. Default `coingecko`. */
  readonly source?: string;
  readonly clock: Clock;
}

const maxIdsPerCall = 250;
const maxIdListBytes = 6_000;

const keyHeaders = { demo: 'x-cg-demo-api-key', pro: 'x-cg-pro-api-key' } as const;

/**
 * CoinGecko's API v3, or anything that speaks it.
 * @throws {Error} when the plan needs a key and there is none, or the base URL is not one.
 */
export function createCoinGeckoProvider(options: CoinGeckoOptions): PriceProvider {
  const { clock } = options;
  const source = options.source ?? 'coingecko';
  const { fetchRows, close } = createRowSource(options, source);
  const originOf = (currency: string): QuoteOrigin => ({ currency, source, receivedAt: clock.now() });

  return {
    source,
    maxIdsPerCall,
    maxIdListBytes,
    async fetchQuotes(request) {
      const list = idList(request, source);
      const currency = request.currency.toLowerCase();
      const query = `vs_currency=${encodeURIComponent(currency)}&ids=${list}&per_page=${maxIdsPerCall}&page=1`;
      const rows = await fetchRows(`/coins/markets?${query}`, request.signal);
      return sortQuotes(rows, request.ids, originOf(currency));
    },
    async fetchMarkets(request) {
      const currency = request.currency.toLowerCase();
      const order = `order=market_cap_desc&per_page=${maxIdsPerCall}&page=${request.page}`;
      const query = `vs_currency=${encodeURIComponent(currency)}&${order}`;
      const rows = await fetchRows(`/coins/markets?${query}`, request.signal);
      const origin = originOf(currency);
      const assetIds = rows.flatMap((row) => assetIdOf(row) ?? []);
      if (assetIds.length === 0 && request.page === 1) {
        throw new ProviderResponseError(`${source} sent a ranking without any asset`, { provider: source });
      }
      return { assetIds, quotes: rows.flatMap((row) => quoteOf(row, origin) ?? []) };
    },
    async fetchAssets(signal) {
      const rows = await fetchRows('/coins/list', signal);
      return rows.flatMap((row) => listingOf(row) ?? []);
    },
    close,
  };
}

interface RowSource {
  /** The rows of a list; every other answer is an error. */
  readonly fetchRows: (path: string, signal: AbortSignal) => Promise<readonly Row[]>;
  readonly close: () => Promise<void>;
}

function createRowSource(options: CoinGeckoOptions, provider: string): RowSource {
  const { apiKey, clock } = options;
  const root = rootOf(options.baseUrl);
  const { timeoutMs, maxBodyBytes } = options;
  const http = createHttpGet({ provider, timeoutMs, maxBodyBytes, headers: headersOf(options) });
  const redact = (text: string): string => (apiKey ? text.replaceAll(apiKey, '[key]') : text);
  return {
    async fetchRows(path, signal) {
      const answer = await http.get(root + path, signal);
      const body = parseLenient(answer.text);
      const failure = failureOf(answer, body, { provider, clock, redact });
      if (failure !== undefined) throw failure;
      const rows = rowsOf(body);
      if (rows !== undefined) return rows;
      const unusable = body === undefined ? 'text that is not JSON' : 'JSON of an unexpected shape';
      throw new ProviderResponseError(`${provider} sent ${answer.text === '' ? 'an empty body' : unusable}`, {
        provider,
        providerStatus: answer.status,
      });
    },
    close: () => http.close(),
  };
}

function headersOf({ plan, apiKey }: CoinGeckoOptions): Record<string, string> {
  const headers = { accept: 'application/json', 'user-agent': 'pricepool' };
  if (plan === 'keyless') return headers;
  if (!apiKey) throw new Error(`The CoinGecko plan "${plan}" needs an API key`);
  return { ...headers, [keyHeaders[plan]]: apiKey };
}

function rootOf(baseUrl: string): string {
  const url = new URL(baseUrl);
  if (url.search !== '' || url.hash !== '')
    throw new Error('The base URL must have no query and no fragment');
  return url.href.replace(/\/+$/, '');
}

/** The ids for the URL. Refuses what would ask for something else: no ids at all means "all assets" to CoinGecko. */
function idList({ ids }: QuotesRequest, provider: string): string {
  if (ids.length === 0 || ids.length > maxIdsPerCall) {
    throw new ProviderRejectedError(`A call takes 1 to ${maxIdsPerCall} ids, not ${ids.length}`, {
      provider,
    });
  }
  const list = ids.map((id) => encodeURIComponent(wellFormed(id))).join(',');
  if (list.length > maxIdListBytes) {
    throw new ProviderUrlTooLongError(`The ids take ${list.length} of ${maxIdListBytes} bytes`, { provider });
  }
  return list;
}

/** Half a surrogate pair cannot be encoded; no asset has one in its id, so any replacement will do. */
function wellFormed(text: string): string {
  return Buffer.from(text, 'utf8').toString('utf8');
}
