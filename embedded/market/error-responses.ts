/** Answers that do not depend on the request: errors in the form of CoinGecko, and those of faults. */
import type { FaultKind } from './market-state.ts';

/** The answer to one call before it is written: status, headers of its own, and a body to be sent as JSON. */
export interface MarketResponse {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

const rateLimitMessage =
  "You've exceeded the Rate Limit. Please visit https://www.coingecko.com/en/api/pricing to subscribe to our API plans for higher rate limits.";

/** Body of CoinGecko's documented 429. */
export const rateLimitBody = { status: { error_code: 429, error_message: rateLimitMessage } };

/** Codes in the body of a refused key, with the words that CoinGecko uses. */
const keyErrors = {
  10002: 'API Key Missing',
  10005:
    'This request is limited to PRO API subscribers. Please visit https://www.coingecko.com/en/api/pricing',
  10010:
    'If you are using Pro API key, please change your root URL from api.coingecko.com to pro-api.coingecko.com',
  10011:
    'If you are using Demo API key, please change your root URL from pro-api.coingecko.com to api.coingecko.com',
} as const;

/** The body that goes with a refused key. */
export function keyErrorBody(code: keyof typeof keyErrors): unknown {
  return {
    status: { timestamp: new Date().toISOString(), error_code: code, error_message: keyErrors[code] },
  };
}

/** 422 for a missing required parameter. */
export function missingParameter(name: string): MarketResponse {
  return { status: 422, body: { error: `Missing parameter ${name}` } };
}

/** 404 for a path that the API does not have. */
export const incorrectPath: MarketResponse = {
  status: 404,
  body: {
    error:
      'Incorrect path. Please check https://www.coingecko.com/en/api/documentation for more information.',
  },
};

/** 404 for `/coins/{id}` of an asset that does not exist. */
export const coinNotFound: MarketResponse = { status: 404, body: { error: 'coin not found' } };

/** CoinGecko's message for a time range outside the plan. */
const timeRangeMessage =
  'Your request exceeds the allowed time range. Public API users are limited to querying historical data within the past 365 days.';

/** 401 for history older than the plan allows. */
export const timeRange: MarketResponse = {
  status: 401,
  body: { error: { status: { error_code: 10012, error_message: timeRangeMessage } } },
};

const html = (title: string): string =>
  `<!DOCTYPE html>\n<html><head><title>${title}</title></head><body><h1>${title}</h1></body></html>\n`;
const text = 'text/plain; charset=UTF-8';
/** Content type of an HTML page. */
export const page = 'text/html; charset=UTF-8';
/** Content type of every JSON answer. */
export const json = 'application/json; charset=utf-8';

/** A response that does not depend on the request. */
export interface Canned {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly retryAfterSeconds?: number;
}

/** The ready answer of a fault; undefined for a fault that bends the right answer or the connection. */
export function canned(kind: FaultKind): Canned | undefined {
  const asJson = (status: number, body: unknown): Canned => ({
    status,
    type: json,
    body: JSON.stringify(body),
  });
  switch (kind) {
    case 'rate-limited':
      return { ...asJson(429, rateLimitBody), retryAfterSeconds: 7 };
    case 'rate-limited-text':
      return { status: 429, type: text, body: 'Throttled' };
    case 'rate-limited-cloudflare':
      return { status: 429, type: text, body: 'error code: 1015' };
    case 'rate-limited-html':
      return { status: 429, type: page, body: html('429 Too Many Requests') };
    case 'rate-limited-as-200':
      return asJson(200, rateLimitBody);
    case 'request-timeout':
      return asJson(408, { error: 'Request Timeout' });
    case 'firewall':
      return { status: 403, type: text, body: 'error code: 1020' };
    case 'empty-body':
      return { status: 200, type: json, body: '' };
    case 'invalid-json':
      return { status: 200, type: json, body: "{'bitcoin': {'usd': 1,}, oops}" };
    default:
      return cannedKeyError(kind) ?? cannedServerError(kind);
  }
}

function cannedServerError(kind: FaultKind): Canned | undefined {
  switch (kind) {
    case 'server-error':
      return {
        status: 500,
        type: json,
        body: JSON.stringify({ status: 500, error: 'Internal Server Error' }),
      };
    case 'server-error-html':
      return { status: 500, type: page, body: html('500 Internal Server Error') };
    case 'unavailable':
      return { status: 503, type: page, body: html('503 Service Unavailable'), retryAfterSeconds: 5 };
    case 'bad-gateway':
      return { status: 502, type: page, body: html('502 Bad Gateway') };
    case 'uri-too-long':
      return { status: 414, type: page, body: html('414 Request-URI Too Large') };
    default:
      return undefined;
  }
}

function cannedKeyError(kind: FaultKind): Canned | undefined {
  const asJson = (status: number, body: unknown): Canned => ({
    status,
    type: json,
    body: JSON.stringify(body),
  });
  switch (kind) {
    case 'key-missing':
      return asJson(401, keyErrorBody(10002));
    case 'plan-restricted':
      return asJson(401, keyErrorBody(10005));
    case 'wrong-root-pro':
      return asJson(400, keyErrorBody(10010));
    case 'wrong-root-demo':
      return asJson(400, keyErrorBody(10011));
    case 'time-range':
      return asJson(timeRange.status, timeRange.body);
    default:
      return undefined;
  }
}
