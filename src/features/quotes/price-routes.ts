import { readingJson, type QuoteReading } from '../../domain/cached-quote.ts';
import { AppError, NotFoundError } from '../../domain/errors.ts';
import type { AppDeps } from '../../app-deps.ts';
import { retryAfterSeconds } from '../../platform/http/retry-after.ts';
import { answerAtOnce, answerJson, envelopeOf } from '../../platform/http/envelope.ts';
import { route, type Route } from '../../platform/http/route.ts';
import { coinPath, popularQuery, quoteQuery } from './price-schemas.ts';

type PriceDeps = Pick<AppDeps, 'quotes' | 'budgetStatus' | 'config'>;

const tag = 'Prices';
const onlyCurrency = /^currency=([a-z]{2,8})$/;
const quoteHead = '{"success":true,"message":"Quote","data":';
const unavailable = 'No usable quote at the moment; retry after Retry-After seconds';

/** Reads of prices. */
export function priceRoutes(deps: PriceDeps): Route[] {
  return [popular(deps), single(deps)];
}

function single({ quotes, budgetStatus, config }: PriceDeps): Route {
  const bodyOf = createBodies();
  return route({
    method: 'GET',
    path: '/api/v1/crypto/:coinId',
    access: 'user',
    scope: 'prices:read',
    tag,
    summary: 'The quote of one coin',
    description: 'From the cache. Without a usable quote the pipeline has a bounded time to bring one.',
    params: coinPath,
    query: quoteQuery,
    answers: {
      200: 'The quote, fresh or stale',
      404: 'The price source does not know this coin',
      503: unavailable,
    },
    // Keys of the cache are canonical: what is found under the given spelling needs no validation.
    shortcut: (exchange) => {
      const currency = quickCurrency(exchange.querystring);
      const coinId = exchange.params?.['coinId'];
      if (currency === undefined || coinId === undefined) return false;
      const json = quotes.peekFreshJson(coinId, currency);
      if (json === undefined) return false;
      answerAtOnce(exchange, bodyOf(json));
      return true;
    },
    handler: async (ctx, { params: { coinId: assetId }, query: { currency }, viewer: requester }) => {
      const reading = await quotes.read({ assetId, currency, waitMs: config.READ_WAIT_MS, requester });
      if (reading.quote === undefined) throw await refusalOf(reading, budgetStatus);
      answerJson(ctx, 200, `${quoteHead}${readingJson(reading)}}`);
    },
  });
}

const mostBodies = 10_000;

/** Bodies around the JSON of fresh quotes, a character for each byte: the text of a quote is the same until the next quote. */
function createBodies(): (json: string) => string {
  const bodies = new Map<string, string>();
  return (json) => {
    let body = bodies.get(json);
    if (body === undefined) {
      if (bodies.size >= mostBodies) bodies.clear();
      body = Buffer.from(`${quoteHead}${json}}`).toString('latin1');
      bodies.set(json, body);
    }
    return body;
  };
}

function quickCurrency(querystring: string): string | undefined {
  return querystring === '' ? 'usd' : onlyCurrency.exec(querystring)?.[1];
}

function popular({ quotes, budgetStatus, config }: PriceDeps): Route {
  return route({
    method: 'GET',
    path: '/api/v1/crypto/popular',
    access: 'user',
    scope: 'prices:read',
    tag,
    summary: 'The largest coins by market capitalisation',
    query: popularQuery,
    answers: { 200: 'Quotes in the order of their rank', 503: unavailable },
    handler: async (ctx, { query: { currency, limit } }) => {
      const { state, readings } = await quotes.readPopular(currency, limit, config.READ_WAIT_MS);
      if (readings.length === 0) throw await refusalOf({ state, reason: undefined }, budgetStatus);
      answerJson(ctx, 200, envelopeOf('Popular coins', `[${readings.map(readingJson).join(',')}]`));
    },
  });
}

const messages: Readonly<Record<string, string>> = {
  pending: 'The quote is on its way',
  rate_limited: 'The upstream budget allows no call at the moment',
  unavailable: 'The price source does not answer',
};

async function refusalOf(
  { state, reason }: Pick<QuoteReading, 'state' | 'reason'>,
  budgetStatus: AppDeps['budgetStatus'],
): Promise<AppError> {
  if (state === 'not_found')
    return new NotFoundError('The price source does not know this coin', 'asset_not_found');
  const code = state === 'pending' || state === 'rate_limited' ? state : 'unavailable';
  const seconds = await retryAfterSeconds(code, budgetStatus);
  return new AppError(reason ?? messages[code] ?? code, { code, status: 503, retryAfterSeconds: seconds });
}
