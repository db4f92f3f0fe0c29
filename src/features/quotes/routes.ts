/** Reads of prices, jobs of quotes, and what the cache holds. */
import type { BudgetState, PriceSourceState } from '../../domain/budget-state.ts';
import { readingJson, type QuoteReading } from '../../domain/cached-quote.ts';
import { AppError, NotFoundError } from '../../domain/errors.ts';
import { withDeadline } from '../../platform/concurrency/deadline.ts';
import type { Config } from '../../platform/config/load-config.ts';
import { answer, respondDirectly, respondJson, envelopeOf } from '../../platform/http/envelope.ts';
import { retryAfterSeconds } from '../../platform/http/retry-after.ts';
import { route, type Route } from '../../platform/http/route.ts';
import type { AssetDirectory } from '../assets/asset-directory.ts';
import { submissionDescribed, submitJob, timeout, type SubmitDeps } from '../jobs/submit-job.ts';
import type { QuoteService } from './quote-service.ts';
import { resolveSymbols } from './resolve-symbols.ts';
import { z } from 'zod';
import { maxAssetsPerRequest, maxHoldingsPerRequest } from '../../../jobs/registry.ts';
import { canonicalQuantity, holdsItsDigits } from '../../domain/quantity.ts';
import { assetIdField, assetIdsField, type AssetIdReader, symbols } from '../assets/schemas.ts';
import { boundedArray, currency, pageSize } from '../../platform/http/fields.ts';
import { callbackUrl } from '../webhooks/schemas.ts';

const quantityRule = 'must be a decimal of zero or more with at most 20 digits before and 18 after the point';
const digitsRule = 'has more digits than a JSON number can hold; send it as a string';

const quantity = z
  .union([z.string(), z.number()], { error: quantityRule })
  .transform((given, ctx) => {
    const text = canonicalQuantity(given);
    if (text === undefined) ctx.addIssue({ code: 'custom', message: quantityRule });
    else if (!holdsItsDigits(given)) ctx.addIssue({ code: 'custom', message: digitsRule });
    return text ?? '';
  })
  .meta({
    description:
      'Decimal, best as a string: at most 20 digits before and 18 after the point; a JSON number holds only 15 digits',
    examples: ['0.125'],
  });

/** Rows of coin and quantity; several may name the same coin. */
export function holdingRows(assets: AssetIdReader) {
  const row = z.strictObject({ coin: assetIdField(assets), quantity });
  return boundedArray(row, maxHoldingsPerRequest).superRefine((rows, ctx) => {
    const distinct = new Set(rows.map((row) => row.coin)).size;
    if (distinct > maxAssetsPerRequest) {
      ctx.addIssue({
        code: 'custom',
        message: `names ${distinct} coins; at most ${maxAssetsPerRequest} are allowed`,
      });
    }
  });
}

/** Body of `POST /crypto/bulk`: coins by id, by symbol, or both. */
const bulkBody = (assets: AssetIdReader) =>
  z
    .strictObject({
      coins: assetIdsField(assets).optional(),
      symbols: symbols.optional().meta({
        description: 'Symbols; each selects the largest coin by market capitalisation with that symbol',
      }),
      currency,
      timeout,
      callback_url: callbackUrl,
    })
    .superRefine((body, ctx) => {
      if (body.coins === undefined && body.symbols === undefined) {
        ctx.addIssue({ code: 'custom', path: ['coins'], message: 'give coins, symbols or both' });
      }
    });

/** Body of `POST /crypto/portfolio`: coins alone, or holdings with quantities. */
const portfolioBody = (assets: AssetIdReader) =>
  z
    .strictObject({
      coins: assetIdsField(assets).optional(),
      holdings: holdingRows(assets).optional(),
      currency,
      timeout,
      callback_url: callbackUrl,
    })
    .superRefine((body, ctx) => {
      if ((body.coins === undefined) === (body.holdings === undefined)) {
        ctx.addIssue({ code: 'custom', path: ['coins'], message: 'give either coins or holdings' });
      }
    });

/** Query of `GET /crypto/:coinId`. */
const quoteQuery = z.strictObject({ currency });

/** Query of `GET /crypto/popular`. */
const popularQuery = z.strictObject({
  currency,
  limit: pageSize({ usual: 50, max: 250 }),
});

/** Query of `DELETE /crypto/cache`. */
const clearQuery = (assets: AssetIdReader) =>
  z.strictObject({
    coins: z
      .preprocess(
        (text) => (typeof text === 'string' ? text.split(',') : text),
        boundedArray(assetIdField(assets), maxAssetsPerRequest),
      )
      .optional()
      .meta({ description: 'Comma-separated asset ids, at most 250; absent: all' }),
  });

/** What a later feature knows of the price sources. All reject when it cannot be read. */
interface Upstream {
  readonly budgetState: () => Promise<BudgetState>;
  /** In the order in which they are tried. */
  readonly sources: () => Promise<readonly PriceSourceState[]>;
  readonly callsAhead: (kind: 'batch' | 'alone') => Promise<number>;
}

interface PriceDeps {
  readonly quotes: Pick<QuoteService, 'peekFreshJson' | 'get' | 'popular'>;
  readonly upstream: Upstream;
  readonly assets: AssetIdReader;
  readonly config: Pick<Config, 'READ_WAIT'>;
}

const tag = 'Prices';
const onlyCurrency = /^currency=([a-z]{2,8})$/;
const quoteHead = '{"success":true,"message":"Quote","data":';
const unavailable = 'No usable quote at the moment; retry after Retry-After seconds';

/** Reads of prices. */
export function priceRoutes(deps: PriceDeps): Route[] {
  return [popular(deps), single(deps)];
}

function single({ quotes, upstream, assets, config }: PriceDeps): Route {
  const bodyOf = createBodies();
  return route({
    method: 'GET',
    path: '/api/v1/crypto/:coinId',
    access: 'user',
    scope: 'prices:read',
    tag,
    summary: 'Get the quote of a coin',
    description:
      'From the cache. If it holds no usable quote, the request waits a few seconds for one to be fetched.',
    params: z.object({ coinId: assetIdField(assets) }),
    query: quoteQuery,
    responses: {
      200: 'The quote, with its state fresh or stale. If the price source lists the coin but has no price for it: `price: null`, the state `unpriced` and the reason',
      404: 'The price source does not know this coin',
      503: unavailable,
    },
    // Cache keys are canonical: if the given spelling is found, it needs no validation.
    fastPath: (ctx) => {
      const currency = plainCurrency(ctx.querystring);
      const coinId = ctx.params?.['coinId'];
      if (currency === undefined || coinId === undefined) return false;
      const json = quotes.peekFreshJson(coinId, currency);
      if (json === undefined) return false;
      respondDirectly(ctx, bodyOf(json));
      return true;
    },
    handler: async (ctx, { params: { coinId: assetId }, query: { currency }, viewer: requester }) => {
      const reading = await quotes.get({ assetId, currency, waitMs: config.READ_WAIT, requester });
      if (reading.quote === undefined && reading.state !== 'unpriced')
        throw await refusalOf(reading, upstream, 'batch');
      respondJson(ctx, 200, `${quoteHead}${readingJson(reading)}}`);
    },
  });
}

const maxBodies = 10_000;

/**
 * Response bodies around the JSON of fresh quotes, one byte per character: the text of a quote stays the same until the next
 * quote.
 */
function createBodies(): (json: string) => string {
  const bodies = new Map<string, string>();
  return (json) => {
    let body = bodies.get(json);
    if (body === undefined) {
      if (bodies.size >= maxBodies) bodies.clear();
      body = Buffer.from(`${quoteHead}${json}}`).toString('latin1');
      bodies.set(json, body);
    }
    return body;
  };
}

function plainCurrency(querystring: string): string | undefined {
  return querystring === '' ? 'usd' : onlyCurrency.exec(querystring)?.[1];
}

function popular({ quotes, upstream, config }: PriceDeps): Route {
  return route({
    method: 'GET',
    path: '/api/v1/crypto/popular',
    access: 'user',
    scope: 'prices:read',
    tag,
    summary: 'List the largest coins by market capitalisation',
    query: popularQuery,
    responses: { 200: 'Quotes, the largest market capitalisation first', 503: unavailable },
    handler: async (ctx, { query: { currency, limit } }) => {
      const { state, readings } = await quotes.popular({ currency, limit, waitMs: config.READ_WAIT });
      if (readings.length === 0) throw await refusalOf({ state, reason: undefined }, upstream, 'alone');
      respondJson(ctx, 200, envelopeOf('Popular coins', `[${readings.map(readingJson).join(',')}]`));
    },
  });
}

const messages: Readonly<Record<string, string>> = {
  pending: 'The quote is being fetched',
  rate_limited: 'The call limit of the price source is used up at the moment',
  unavailable: 'The price source does not respond',
};

async function refusalOf(
  { state, reason }: Pick<QuoteReading, 'state' | 'reason'>,
  upstream: Upstream,
  kind: 'batch' | 'alone',
): Promise<AppError> {
  if (state === 'not_found')
    return new NotFoundError('The price source does not know this coin', 'asset_not_found');
  const code = state === 'pending' || state === 'rate_limited' ? state : 'unavailable';
  const seconds = await retryAfterSeconds(code, upstream, kind);
  return new AppError(reason ?? messages[code] ?? code, { code, status: 503, retryAfterSeconds: seconds });
}

/** Cache statistics and clearing the cache. */
export function cacheRoutes({
  assets,
  quotes,
  upstream,
}: {
  readonly assets: AssetIdReader;
  readonly quotes: Pick<QuoteService, 'stats' | 'clear' | 'deviations'>;
  readonly upstream: Upstream;
}): Route[] {
  const stats = route({
    method: 'GET',
    path: '/api/v1/crypto/cache/stats',
    access: 'user',
    scope: 'prices:read',
    tag: 'Prices',
    summary: 'Get statistics of the cache, and how much of the call budget is left',
    responses: {
      200: 'Counts by state, hits, misses, ages, memory, and the budget (null when it cannot be read): calls per minute, credits of the month, when they run out at the rate of the last hour, the age of quotes that the budget can sustain, and for each price source its state and why its last call failed',
    },
    handler: async (ctx) => {
      const budget = await withDeadline(upstream.budgetState(), 1_000, 'reading the budget').catch(
        () => undefined,
      );
      const known = await withDeadline(
        Promise.all([upstream.sources(), quotes.deviations()]),
        1_000,
        'reading the sources',
      ).catch(() => undefined);
      const data = {
        ...quotes.stats(),
        budget: budget === undefined ? null : presentBudget(budget),
        ...presentSources(known),
      };
      answer(ctx, { message: 'Cache', data });
    },
  });

  const clear = route({
    method: 'DELETE',
    path: '/api/v1/crypto/cache',
    access: 'admin',
    scope: 'admin',
    tag: 'Prices',
    summary: 'Delete quotes from the cache, so that they are fetched again',
    query: clearQuery(assets),
    responses: {
      200: 'removed: how many quotes were deleted',
      503: 'Cache unavailable; retry after Retry-After seconds',
    },
    handler: async (ctx, { query: { coins } }) => {
      answer(ctx, { message: 'Cache cleared', data: { removed: await quotes.clear(coins) } });
    },
  });

  return [stats, clear];
}

function presentBudget(budget: BudgetState) {
  return {
    limit: budget.limit,
    full_limit: budget.fullLimit,
    used: budget.used,
    available: budget.available,
    next_grant_in_seconds: budget.nextGrantInMs / 1000,
    blocked_for_seconds: budget.blockedForMs / 1000,
    freshness_affordable_seconds: budget.freshnessSeconds,
    month: presentMonth(budget.month),
  };
}

function presentMonth(month: BudgetState['month']) {
  if (month === null) return null;
  const { credits, spent, left, reserve, endsAt, spentPerHour, affordablePerHour, lastsUntil } = month;
  return {
    credits,
    spent,
    left,
    interactive_reserve: Math.floor(reserve),
    ends_at: new Date(endsAt).toISOString(),
    spent_per_hour: round(spentPerHour),
    affordable_per_hour: round(affordablePerHour),
    lasts_until: new Date(lastsUntil ?? endsAt).toISOString(),
    outlasts_month: lastsUntil === null,
  };
}

function presentSources(known?: readonly [readonly PriceSourceState[], Readonly<Record<string, number>>]) {
  if (known === undefined) return { sources: null, deviations: null };
  const [states, { doubted = 0, confirmed = 0 }] = known;
  const sources = states.map(({ name, state, failures, retryInMs, lastFailure }) => ({
    name,
    state,
    failures,
    retry_in_seconds: retryInMs / 1000,
    last_failure: lastFailure && { ...lastFailure, at: new Date(lastFailure.at).toISOString() },
  }));
  return { sources, deviations: { doubted, confirmed } };
}

const round = (value: number): number => Math.round(value * 10) / 10;

type SubmissionDeps = SubmitDeps & { readonly assets: AssetDirectory };

/** `POST /crypto/bulk` and `POST /crypto/portfolio`. */
export function submissionRoutes(deps: SubmissionDeps): Route[] {
  return [bulkRoute(deps), portfolioRoute(deps)];
}

function bulkRoute(deps: SubmissionDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/crypto/bulk',
    access: 'user',
    scope: 'jobs:write',
    tag: 'Prices',
    summary: 'Fetch the quotes of many coins as a job',
    description:
      'Coins by id, by symbol, or both. A symbol selects the largest coin by market capitalisation with that symbol: `resolved` in the job and its result shows the choice. An unknown symbol is an error in `resolved`, and 422 when no coin is left to fetch.',
    body: bulkBody(deps.assets),
    ...submissionDescribed,
    handler: async (ctx, { body, viewer }) => {
      // The assets define the work: a request that names them in another way shares the run.
      const { assetIds, resolved } = resolveSymbols(deps.assets, body);
      const request = {
        name: 'bulk.fetch',
        submission: { currency: body.currency, assets: assetIds },
        total: assetIds.length,
        resolved,
      } as const;
      await submitJob(ctx, deps, { viewer, route: 'POST /crypto/bulk', body, request });
    },
  });
}

function portfolioRoute(deps: SubmissionDeps): Route {
  return route({
    method: 'POST',
    path: '/api/v1/crypto/portfolio',
    access: 'user',
    scope: 'jobs:write',
    tag: 'Prices',
    summary: 'Fetch the quotes of holdings and their value as a job',
    description:
      'Give either coins or holdings. With holdings (coin and quantity) the result also has the value of each and total_value.',
    body: portfolioBody(deps.assets),
    ...submissionDescribed,
    handler: async (ctx, { body, viewer }) => {
      const submitted = { viewer, route: 'POST /crypto/portfolio', body };
      const { coins, holdings, currency } = body;
      if (holdings === undefined) {
        const assets = coins ?? [];
        const request = {
          name: 'bulk.fetch',
          submission: { currency, assets },
          total: assets.length,
        } as const;
        return submitJob(ctx, deps, { ...submitted, request });
      }
      const rows = holdings.map(({ coin, quantity }) => ({ asset: coin, quantity }));
      const total = new Set(rows.map(({ asset }) => asset)).size;
      const request = { name: 'portfolio.fetch', submission: { currency, holdings: rows }, total } as const;
      return submitJob(ctx, deps, { ...submitted, request });
    },
  });
}
