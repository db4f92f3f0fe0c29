/** The forms of each provider: refused keys, limits, and prepared answers of faults. */
import type { IncomingHttpHeaders } from 'node:http';
import {
  canned,
  json,
  keyErrorBody,
  rateLimitBody,
  type MarketResponse,
  type Canned,
} from './error-responses.ts';
import { envelope } from './coinmarketcap.ts';
import type { FaultDetails, FaultKind, RequiredKey } from './market-state.ts';

/** The provider whose API a call uses. */
export type Dialect = 'coingecko' | 'coinmarketcap' | 'defillama';

/** The dialect of a path. */
export function dialectOf(path: string): Dialect {
  if (path.startsWith('/cmc/')) return 'coinmarketcap';
  return path.startsWith('/llama/') ? 'defillama' : 'coingecko';
}

/** Status and code of CoinMarketCap for faults that it reports in its envelope. */
const codes: Partial<Record<FaultKind, readonly [status: number, code: number, message: string]>> = {
  'rate-limited': [429, 1008, "You've exceeded your API Key's HTTP request rate limit."],
  'rate-limited-as-200': [200, 1008, "You've exceeded your API Key's HTTP request rate limit."],
  'server-error': [500, 500, 'An internal server error occurred'],
  'request-timeout': [408, 408, 'Request Timeout'],
  'key-missing': [401, 1002, 'API key missing.'],
  'plan-restricted': [403, 1006, "Your API Key subscription plan doesn't support this endpoint."],
  'wrong-root-pro': [401, 1001, 'This API Key is invalid.'],
  'wrong-root-demo': [402, 1003, 'Your API Key must be activated.'],
  'time-range': [403, 1006, "Your API Key subscription plan doesn't support this time range."],
};

const llamaFaults: Partial<Record<FaultKind, readonly [status: number, body: unknown]>> = {
  'rate-limited': [429, { message: 'Too Many Requests' }],
  'rate-limited-as-200': [200, { message: 'Too Many Requests' }],
  'server-error': [500, { message: 'Internal server error' }],
  'request-timeout': [408, { message: 'Request Timeout' }],
  'key-missing': [401, { message: 'Unauthorized' }],
  'plan-restricted': [402, { message: 'Payment required' }],
  'wrong-root-pro': [403, { message: 'Forbidden' }],
  'wrong-root-demo': [403, { message: 'Forbidden' }],
  'time-range': [400, { message: 'Timestamp out of range' }],
};

/**
 * The prepared answer of a fault in the form of a provider; undefined for a fault that alters an answer or a
 * connection.
 */
export function cannedIn(dialect: Dialect, { kind, code }: FaultDetails): Canned | undefined {
  const common = canned(kind);
  if (common === undefined || dialect === 'coingecko') return common;
  if (dialect === 'defillama') {
    const [status, body] = llamaFaults[kind] ?? [];
    return status === undefined ? common : { ...common, status, type: json, body: JSON.stringify(body) };
  }
  const [status, own, message] = codes[kind] ?? [];
  if (status === undefined || own === undefined) return common;
  const body = JSON.stringify(envelope(undefined, { code: code ?? own, message: message ?? '' }));
  return { ...common, status, type: json, body };
}

/** The answer of the market's own limit. */
export function rateLimited(dialect: Dialect, retryAfterMs: number): MarketResponse {
  const headers = { 'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1_000))) };
  if (dialect === 'coingecko') return { status: 429, body: rateLimitBody, headers };
  if (dialect === 'defillama') return { status: 429, body: { message: 'Too Many Requests' }, headers };
  // CoinMarketCap sends no such header: its limit of a minute ends with the minute.
  return { status: 429, body: envelope(undefined, { code: 1008, message: 'Rate limit exceeded' }) };
}

/** The refusal of a call without the right key. DefiLlama's calls and CoinMarketCap's `/public-api` need none. */
export function keyRefusal(
  required: RequiredKey | undefined,
  { path, query, headers }: { path: string; query: URLSearchParams; headers: IncomingHttpHeaders },
): MarketResponse | undefined {
  const dialect = dialectOf(path);
  if (required === undefined || dialect === 'defillama' || path.startsWith('/cmc/public-api/'))
    return undefined;
  if (dialect === 'coinmarketcap') {
    const sent = headers['x-cmc_pro_api_key'];
    if (sent === required.key) return undefined;
    const code = sent === undefined ? 1002 : 1001;
    return { status: 401, body: envelope(undefined, { code, message: 'This API Key is invalid.' }) };
  }
  const sent = (plan: 'demo' | 'pro'): string | null =>
    [headers[`x-cg-${plan}-api-key`]].flat()[0] ?? query.get(`x_cg_${plan}_api_key`);
  if (sent(required.plan) === required.key) return undefined;
  const other = required.plan === 'demo' ? 'pro' : 'demo';
  if (sent(required.plan) === null && sent(other) !== null) {
    return { status: 400, body: keyErrorBody(other === 'pro' ? 10010 : 10011) };
  }
  return { status: 401, body: keyErrorBody(10002) };
}
