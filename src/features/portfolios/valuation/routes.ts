import { z } from 'zod';
import { heldOf, maxWanted } from './valuation-service.ts';
import { shareOf, type Valuation, type ValuedPosition } from './valuation.ts';
import type { DailyHistory } from './value-history-reader.ts';
import { NotFoundError } from '../../../domain/errors.ts';
import type { Viewer } from '../../../domain/job.ts';
import { firstDayOf, performanceRanges } from '../../../domain/performance-range.ts';
import type { Clock } from '../../../platform/concurrency/clock.ts';
import { answer } from '../../../platform/http/envelope.ts';
import { route, type Route } from '../../../platform/http/route.ts';
import type { Realtime } from '../../../platform/realtime/realtime.ts';
import { streamFields } from '../../../platform/realtime/stream-fields.ts';
import { type Amount, formatAmount } from '../ledger/amount.ts';
import { daysOf, dayText } from '../ledger/days.ts';
import type { Portfolio } from '../ledger/portfolio.ts';
import type { PortfolioService } from '../portfolio-service.ts';
import type { Holdings, PortfolioSource } from '../portfolio-stream.ts';
import type { BookedPortfolio } from '../queries/book-reading.ts';
import type { PortfolioSnapshot } from '../queries/portfolio-snapshots.ts';
import { portfolioIdOf, portfolioPath } from '../schemas.ts';

/** Query of `GET /portfolios/:id/history`. */
const historyQuery = z.strictObject({
  range: z
    .enum(performanceRanges, `must be one of ${performanceRanges.join(', ')}`)
    .default('30d')
    .meta({ description: 'Range that ends today; ytd starts on 1 January, max at the first transaction' }),
  interval: z.enum(['1d', 'snapshot'], 'must be 1d or snapshot').default('1d').meta({
    description:
      '1d: every day, computed from transactions and prices; snapshot: the values that were stored',
  }),
});

/** Query of `GET /portfolios/:id/stream`. `ticket` and `lastEventId` are read elsewhere. */
const valueStreamQuery = z.strictObject(streamFields);

type ValuationDeps = Pick<
  PortfolioService,
  'portfolios' | 'valuations' | 'valueHistory' | 'portfolioSnapshots' | 'streams'
> & {
  readonly realtime: Pick<Realtime, 'hijack'>;
  readonly clock: Clock;
};

const tag = 'Portfolios';
const path = '/api/v1/portfolios/:id';
const missing = 'Portfolio not found';
const unavailable =
  'Database unavailable, or the portfolio is still being updated after a change; retry after Retry-After seconds';
const produces = 'text/event-stream';
/** Most snapshots in one response. */
const maxSnapshots = 2_000;
/** Before any possible transaction. */
const startOfTime = '1970-01-01';

/** Values of portfolios: current, streamed, and day by day. */
export function valuationRoutes(deps: ValuationDeps): Route[] {
  return [valuation(deps), stream(deps), history(deps)];
}

function valuation({ valuations, clock }: ValuationDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/valuation`,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'Get the current value of a portfolio',
    description:
      'Exact, at the current quotes. An asset without a quote is listed in missing and left out of the totals. The request waits a limited time for missing quotes.',
    params: portfolioPath,
    responses: { 200: 'The value, with that of each position', 404: missing, 503: unavailable },
    handler: async (ctx, { params, viewer }) => {
      const books = await valuations.books(portfolioIdOf(params), viewer);
      const value = await valuations.value(books, viewer);
      ctx.set('Cache-Control', 'private, no-cache');
      answer(ctx, {
        message: 'Valuation',
        data: presentValuation({ portfolio: books.portfolio, valuation: value, at: clock.now() }),
      });
    },
  });
}

function history({ portfolios, valueHistory, portfolioSnapshots, clock }: ValuationDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/history`,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'Get past values of a portfolio',
    description:
      'By day: the holdings at its end, at the last price of the day. A day without a price uses the last known price and says so; a day with a holding that has never had a price has no value.',
    params: portfolioPath,
    query: historyQuery,
    responses: {
      200: 'The days of the range, or the snapshots that were stored in it',
      404: missing,
      503: unavailable,
    },
    handler: async (ctx, { params, query: { range, interval }, viewer }) => {
      const portfolio = await portfolios.get(portfolioIdOf(params), viewer);
      ctx.set('Cache-Control', 'private, no-cache');
      if (interval === '1d') {
        const found = await valueHistory.daily({ portfolio, range, requester: viewer });
        answer(ctx, { message: 'History', data: presentHistory(portfolio, range, found) });
        return;
      }
      const firstDay = firstDayOf(range, daysOf(portfolio.timeZone)(clock.now()));
      const newest = await portfolioSnapshots.list({
        portfolioId: portfolio.id,
        firstDay: Number.isFinite(firstDay) ? dayText(firstDay) : startOfTime,
        limit: maxSnapshots + 1,
      });
      const isCut = newest.length > maxSnapshots;
      const snapshots = isCut ? newest.slice(1) : newest;
      answer(ctx, { message: 'Snapshots', data: presentSnapshots(portfolio, range, { snapshots, isCut }) });
    },
  });
}

function stream({ portfolios, valuations, realtime, streams, clock }: ValuationDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/stream`,
    access: 'user',
    scope: 'portfolio:read',
    takesTicket: true,
    tag,
    summary: 'Stream the value of a portfolio (Server-Sent Events)',
    description:
      'The first portfolio event has every position; later ones have the totals and the positions whose price has changed, or every position after a transaction. Each says whether it is complete, and what is missing.',
    params: portfolioPath,
    query: valueStreamQuery,
    headers: {
      'Last-Event-ID': 'Id of the last event that you received; max_updates continues from its count',
    },
    responses: {
      200: 'The events hello, portfolio, portfolio.deleted, heartbeat, ticket (a new stream ticket), end, drain (the server restarts: reconnect) and limit (too many streams)',
      204: 'You have received max_updates updates; do not reconnect',
      404: missing,
      503: unavailable,
    },
    produces,
    handler: async (ctx, { params, query, viewer }) => {
      const portfolio = await portfolios.get(portfolioIdOf(params), viewer);
      if (ctx.method === 'HEAD') {
        ctx.status = 200;
        ctx.set('Content-Type', produces);
        return;
      }
      streams.open({
        ...realtime.hijack(ctx),
        source: sourceOf({ valuations, clock }, portfolio, viewer),
        intervalMs: query.interval * 1000,
        maxUpdates: query.max_updates,
      });
    },
  });
}

/** A portfolio that a stream follows. */
function sourceOf(
  { valuations, clock }: Pick<ValuationDeps, 'valuations' | 'clock'>,
  { id, baseCurrency }: Portfolio,
  viewer: Viewer,
): PortfolioSource {
  let version: number | undefined;
  const holdings = (books: BookedPortfolio): Holdings => ({
    assetIds: heldOf(books).slice(0, maxWanted),
    render(readings, changed) {
      const value = { ...books, valuation: valuations.valueAt(books, readings), at: clock.now() };
      return JSON.stringify(presentValuation(value, changed && new Set(changed)));
    },
  });
  return {
    portfolioId: id,
    currency: baseCurrency,
    async read() {
      try {
        const books = await valuations.books(id, viewer);
        version = books.portfolio.booksVersion;
        return holdings(books);
      } catch (error) {
        if (error instanceof NotFoundError) return undefined;
        throw error;
      }
    },
    listen: (onChange) => valuations.follow(id, { version: () => version, onChange }),
  };
}

/** A valuation as clients see it; with all rows, or only those of `changed` assets. */
function presentValuation(
  {
    portfolio,
    valuation: value,
    at,
  }: {
    readonly portfolio: Pick<Portfolio, 'id' | 'baseCurrency' | 'booksVersion'>;
    readonly valuation: Valuation;
    /** Milliseconds since the epoch. */
    readonly at: number;
  },
  changed?: ReadonlySet<string>,
): object {
  const { state, missing, marketValue, costBasis, unrealised, realised, totalGain, positions } = value;
  const rows = changed === undefined ? positions : positions.filter(({ assetId }) => changed.has(assetId));
  return {
    portfolio: portfolio.id,
    currency: portfolio.baseCurrency,
    books_version: portfolio.booksVersion,
    valued_at: new Date(at).toISOString(),
    state,
    complete: missing.length === 0,
    missing,
    market_value: textOf(marketValue),
    cost_basis: formatAmount(costBasis),
    unrealised: textOf(unrealised),
    unrealised_percent: textOf(percentOf(unrealised, valuedBasis(positions))),
    realised: formatAmount(realised),
    total_gain: textOf(totalGain),
    positions: rows.map((position) => presentPosition(position, marketValue)),
  };
}

/** A position with its value. Its weight is its share of `whole`, the market value of the portfolio. */
function presentPosition(position: ValuedPosition, whole: Amount | null): object {
  const { assetId, quantity, costBasis, realised, price, marketValue, unrealised } = position;
  return {
    asset: assetId,
    quantity: formatAmount(quantity),
    price: price?.price ?? null,
    market_value: textOf(marketValue),
    cost_basis: formatAmount(costBasis),
    unrealised: textOf(unrealised),
    unrealised_percent: textOf(percentOf(unrealised, costBasis)),
    realised: formatAmount(realised),
    weight: textOf(marketValue === null || whole === null ? null : shareOf(marketValue, whole)),
    state: price?.state ?? 'missing',
    as_of: price?.asOf ?? null,
    received_at: price?.receivedAt ?? null,
    source: price?.source ?? null,
  };
}

/** A daily history as clients see it. */
function presentHistory(portfolio: Portfolio, range: string, history: DailyHistory): object {
  return {
    portfolio: portfolio.id,
    currency: portfolio.baseCurrency,
    time_zone: portfolio.timeZone,
    range,
    interval: '1d',
    books_version: history.booksVersion,
    computed_at: new Date(history.at).toISOString(),
    days_carried: history.carriedDays,
    days_unknown: history.unknownDays,
    transfers_without_value: history.unvaluedTransfers,
    gaps: history.gaps.map(({ assetId, carried, unpriced }) => ({
      asset: assetId,
      days_carried: carried,
      days_unknown: unpriced,
      asked: history.requested.includes(assetId),
    })),
    points: history.points.map(({ day, value, costBasis, inflow, outflow, carried }) => ({
      day: dayText(day),
      value: textOf(value),
      cost_basis: textOf(costBasis),
      inflow: formatAmount(inflow),
      outflow: formatAmount(outflow),
      carried,
    })),
  };
}

/** Stored snapshots as clients see them. */
function presentSnapshots(
  portfolio: Portfolio,
  range: string,
  { snapshots, isCut }: { readonly snapshots: readonly PortfolioSnapshot[]; readonly isCut: boolean },
): object {
  return {
    portfolio: portfolio.id,
    currency: portfolio.baseCurrency,
    time_zone: portfolio.timeZone,
    range,
    interval: 'snapshot',
    /** Older snapshots of the range were left out. */
    truncated: isCut,
    points: snapshots.map(
      ({ kind, at, day, currency, value, costBasis, realised, missing, booksVersion }) => ({
        kind,
        at: at.toISOString(),
        day,
        currency,
        value: textOf(value),
        cost_basis: formatAmount(costBasis),
        realised: formatAmount(realised),
        complete: missing.length === 0,
        missing,
        books_version: booksVersion,
      }),
    ),
  };
}

/** Gain in per cent of its basis, with 4 digits after the point; null when that is undefined. */
function percentOf(gain: Amount | null, basis: Amount): Amount | null {
  const share = gain === null ? null : shareOf(gain, basis);
  return share === null ? null : share * 100n;
}

function valuedBasis(positions: readonly ValuedPosition[]): Amount {
  return positions.reduce((sum, { price, costBasis }) => (price === null ? sum : sum + costBasis), 0n);
}

function textOf(amount: Amount | null): string | null {
  return amount === null ? null : formatAmount(amount);
}
