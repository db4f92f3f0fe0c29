/**
 * DefiLlama's coins API: prices in US dollars by CoinGecko's ids, without a key and without a market capitalisation, and the
 * whole history by days. Unknown assets and assets without a price look alike: both are left out.
 */
import { granularityMs, type HistoryPoint, type HistorySpan } from '../../../domain/history.ts';
import type { Quote } from '../../../domain/quote.ts';
import {
  byStatus,
  cdnCode,
  type FailureContext,
  busyOf,
  isRecord,
  isThrottled,
  parseLenient,
  rateLimitOf,
  rootOf,
  withEvidence,
} from '../provider-responses.ts';
import { type ProviderError, ProviderRejectedError, ProviderResponseError } from '../provider-errors.ts';
import { amount, finite, text } from '../response-fields.ts';
import { createHttpGet, type HttpResponse } from '../http-get.ts';
import { encodedIds } from '../id-list.ts';
import type { PriceProvider, ProviderOptions, QuotesRequest, QuotesResult } from '../provider.ts';

interface DefiLlamaOptions extends ProviderOptions {
  /** Root of the API, such as `https://coins.llama.fi`. */
  readonly baseUrl: string;
}

const maxIdsPerCall = 250;
/** Each id takes ten bytes more in the URL than here, for `coingecko:`. */
const maxIdListBytes = 4_000;
/** Prices with a lower confidence than this are ignored. Those of liquid assets have 0.9 and above. */
const minConfidence = 0.5;
/** Most points of one call. */
const maxPoints = 500;
const namespace = 'coingecko:';

/** Builds the provider. @throws {Error} when the base URL is not valid. */
export function createDefiLlamaProvider(options: DefiLlamaOptions): PriceProvider {
  const { clock } = options;
  const source = options.source ?? 'defillama';
  const { fetchCoins, close } = createWire(options, source);
  const refusal = (what: string): ProviderRejectedError =>
    new ProviderRejectedError(`${source} ${what}`, { provider: source });
  const checkCurrency = (currency: string): void => {
    if (currency.toLowerCase() !== 'usd') throw refusal(`prices in usd only, not in ${currency}`);
  };

  return {
    source,
    maxIdsPerCall,
    maxIdListBytes,
    quotesOnly: true,
    serves: (currency) => currency === 'usd',
    async fetchQuotes(request) {
      checkCurrency(request.currency);
      const list = encodedIds(request.ids, { maxIdsPerCall, maxIdListBytes, provider: source });
      const names = list.split(',').map((id) => namespace + id);
      const coins = await fetchCoins(`/prices/current/${names.join(',')}`, request.signal);
      return sortCoins(coins, request, { source, receivedAt: clock.now() });
    },
    fetchMarkets: () => Promise.reject(refusal('has no ranking')),
    fetchAssets: () => Promise.reject(refusal('has no list of assets')),
    async fetchHistory({ assetId, currency, span, signal }) {
      checkCurrency(currency);
      const id = encodedIds([assetId], { maxIdsPerCall, maxIdListBytes, provider: source });
      const coins = await fetchCoins(`/chart/${namespace}${id}?${chartQuery(span)}`, signal);
      return pointsOf(coins[namespace + assetId], span);
    },
    close,
  };
}

type Coins = Readonly<Record<string, unknown>>;

function sortCoins(
  coins: Coins,
  { ids }: QuotesRequest,
  origin: { source: string; receivedAt: number },
): QuotesResult {
  const quotes: Quote[] = [];
  const withoutPrice: string[] = [];
  const notFound: string[] = [];
  for (const assetId of new Set(ids)) {
    const name = namespace + assetId;
    const coin = Object.hasOwn(coins, name) ? coins[name] : undefined;
    const quote = quoteOf(coin, assetId, origin);
    if (quote !== undefined) quotes.push(quote);
    else (coin === undefined ? notFound : withoutPrice).push(assetId);
  }
  return { quotes, notFound, withoutPrice };
}

function quoteOf(
  coin: unknown,
  assetId: string,
  origin: { source: string; receivedAt: number },
): Quote | undefined {
  if (!isRecord(coin)) return undefined;
  const price = amount(coin['price']);
  // No other field could confirm a price of 0.
  if (price === null || price === 0 || (finite(coin['confidence']) ?? 1) < minConfidence) return undefined;
  const seconds = amount(coin['timestamp']);
  return {
    assetId,
    symbol: text(coin['symbol'])?.toLowerCase() ?? null,
    name: null,
    currency: 'usd',
    price,
    marketCap: null,
    rank: null,
    change24h: null,
    changePercent24h: null,
    volume24h: null,
    ...origin,
    asOf: seconds === null || seconds > 8.64e12 ? null : new Date(seconds * 1_000).toISOString(),
  };
}

function chartQuery({ from, to, granularity }: HistorySpan): string {
  const stepMs = granularityMs[granularity];
  const span = Math.min(maxPoints, Math.floor((to - from) / stepMs) + 1);
  return `start=${Math.floor(from / 1_000)}&span=${span}&period=${granularity}`;
}

/** An asset that is missing in the response was not traded: no points. */
function pointsOf(coin: unknown, { from, to }: HistorySpan): HistoryPoint[] {
  const reported: unknown = isRecord(coin) ? coin['prices'] : undefined;
  const points = new Map<number, HistoryPoint>();
  for (const entry of Array.isArray(reported) ? (reported as unknown[]) : []) {
    const [seconds, price] = isRecord(entry)
      ? [amount(entry['timestamp']), amount(entry['price'])]
      : [null, null];
    if (seconds === null || price === null || price === 0) continue;
    const at = seconds * 1_000;
    if (at >= from && at <= to) points.set(at, { at, price, marketCap: null, volume: null });
  }
  return [...points.values()].sort((left, right) => left.at - right.at);
}

function createWire(
  options: DefiLlamaOptions,
  provider: string,
): {
  /** The coins in a response, by name; any other response is an error. */
  readonly fetchCoins: (path: string, signal: AbortSignal) => Promise<Coins>;
  readonly close: () => Promise<void>;
} {
  const { clock, timeoutMs, maxBodyBytes, openHttp = createHttpGet } = options;
  const root = rootOf(options.baseUrl);
  const headers = { accept: 'application/json', 'user-agent': 'pricepool' };
  const http = openHttp({ provider, timeoutMs, maxBodyBytes, headers });
  const reported = (error: ProviderError, text: string): ProviderError =>
    withEvidence(error, { root, text, redact: (said) => said });
  return {
    async fetchCoins(path, signal) {
      const response = await http.get(root + path, signal);
      const body = parseLenient(response.text);
      const failure = failureOf(response, body, { provider, clock, redact: (said) => said });
      if (failure !== undefined) throw reported(failure, response.text);
      if (isRecord(body) && isRecord(body['coins'])) return body['coins'];
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

function failureOf(
  response: HttpResponse,
  body: unknown,
  context: FailureContext,
): ProviderError | undefined {
  const said = isRecord(body) ? text(body['message']) : null;
  const code = cdnCode(response.text, body);
  const { status } = response;
  const limited = isThrottled(response.text) || /too many requests|rate limit/i.test(said ?? '');
  if (status === 429 || code === 1015 || limited) return rateLimitOf(response, context);
  if (status === 200 && code === undefined) return undefined;
  const busy = busyOf(response, context);
  if (busy !== undefined) return busy;
  const what = [`${context.provider} answered ${status}`, code, said?.slice(0, 200)]
    .filter(Boolean)
    .join(': ');
  return byStatus(status === 200 ? (code ?? 200) : status, what, {
    provider: context.provider,
    providerStatus: status,
  });
}
