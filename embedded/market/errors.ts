/** The answer to one call before it is written: status, headers of its own, and a body to be sent as JSON. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

const rateLimitMessage =
  "You've exceeded the Rate Limit. Please visit https://www.coingecko.com/en/api/pricing to subscribe to our API plans for higher rate limits.";

/** Body of CoinGecko's documented 429. */
export const rateLimitBody = { status: { error_code: 429, error_message: rateLimitMessage } };

/** Codes in the body of a refused key, with the words that CoinGecko uses. */
export const keyErrors = {
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

/** 422 for a parameter that must be there. */
export function missingParameter(name: string): Answer {
  return { status: 422, body: { error: `Missing parameter ${name}` } };
}

/** 404 for a path that the API does not have. */
export const incorrectPath: Answer = {
  status: 404,
  body: {
    error:
      'Incorrect path. Please check https://www.coingecko.com/en/api/documentation for more information.',
  },
};

/** 404 for `/coins/{id}` of an asset that does not exist. */
export const coinNotFound: Answer = { status: 404, body: { error: 'coin not found' } };

/** What CoinGecko says of a stretch that a plan does not reach. */
const timeRangeMessage =
  'Your request exceeds the allowed time range. Public API users are limited to querying historical data within the past 365 days.';

/** 401 for history that lies too far back. */
export const timeRange: Answer = {
  status: 401,
  body: { error: { status: { error_code: 10012, error_message: timeRangeMessage } } },
};
