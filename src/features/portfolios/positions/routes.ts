/** What the books of a portfolio say: positions, open lots, realised gains; and building them anew. */
import type { z } from 'zod';
import { rebuildSteps } from '../../../../jobs/portfolios.ts';
import { dayBegin } from '../ledger/day-start.ts';
import { dayNumber, daysOf } from '../ledger/days.ts';
import type { Portfolio } from '../ledger/portfolio.ts';
import type { BookStanding, Position } from '../book-reader.ts';
import type { ApiContext } from '../../../platform/http/context.ts';
import type { AppDeps } from '../../../app-deps.ts';
import { matchesTag } from '../../jobs/preferences.ts';
import { answer } from '../../../platform/http/envelope.ts';
import { presentLots, presentPositions, presentRealised } from '../present-positions.ts';
import { route, type Route } from '../../../platform/http/route.ts';
import { portfolioIdOf, portfolioPath } from '../portfolio-schemas.ts';
import { lotsQuery, positionsQuery, realisedQuery, rebuildBody } from './schemas.ts';
import { submissionDescribed, submitJob, type SubmitDeps } from '../../jobs/submit-job.ts';

type PositionDeps = Pick<AppDeps, 'portfolios' | 'books'>;

const tag = 'Portfolios';
const path = '/api/v1/portfolios/:id';
const missing = 'There is no such portfolio, or it is somebody else’s';
const unavailable = 'The database is away, or the books are being updated; see Retry-After';
const headers = { 'If-None-Match': 'The ETag of an earlier answer; 304 when nothing has changed since' };
const notModified = 'No transaction has changed since';

/** Longest wait (ms) for books that are not current. */
const booksWaitMs = 5_000;

/** Positions, lots, realised gains and rebuilding. */
export function positionRoutes(deps: PositionDeps & SubmitDeps): Route[] {
  return [positions(deps), lots(deps), realised(deps), rebuild(deps)];
}

function positions(deps: PositionDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/positions`,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'What a portfolio holds, what it cost, and what was realised',
    description: 'Of the books alone: what it is worth is told by valuation.',
    params: portfolioPath,
    query: positionsQuery,
    headers,
    answers: { 200: 'The positions, by asset', 304: notModified, 404: missing, 503: unavailable },
    handler: async (ctx, { params, query, viewer }) => {
      const { id } = await deps.portfolios.get(portfolioIdOf(params), viewer);
      const standing = await deps.books.standing({ id }, booksWaitMs);
      const shown = standing.positions.filter(isShown[query.status]);
      const data = isKnown(ctx, standing) ? undefined : presentPositions(standing.portfolio, standing, shown);
      tell(ctx, { message: 'Positions', standing, data });
    },
  });
}

const isShown: Readonly<Record<z.output<typeof positionsQuery>['status'], (position: Position) => boolean>> =
  {
    open: ({ quantity }) => quantity > 0n,
    closed: ({ quantity }) => quantity === 0n,
    all: () => true,
  };

function lots(deps: PositionDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/lots`,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'The open lots of a portfolio',
    description: 'By asset, the oldest first. Of average and uk_pool the pool is the one lot of its asset.',
    params: portfolioPath,
    query: lotsQuery,
    headers,
    answers: { 200: 'A page of lots', 304: notModified, 404: missing, 503: unavailable },
    handler: async (ctx, { params, query: { asset, page, limit }, viewer }) => {
      const { id: portfolioId } = await deps.portfolios.get(portfolioIdOf(params), viewer);
      const told = await deps.books.look({ portfolioId, waitMs: booksWaitMs }, async (view) => {
        const { standing } = view;
        if (isKnown(ctx, standing)) return { standing };
        const found = await view.lots({ assetId: asset, offset: (page - 1) * limit, limit });
        const of = { booksVersion: standing.booksVersion, page, limit, total: found.total };
        return { standing, data: presentLots(standing.portfolio, of, found.lots) };
      });
      tell(ctx, { message: 'Open lots', ...told });
    },
  });
}

function realised(deps: PositionDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/realised`,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'Realised gains, by disposal and lot',
    description:
      'Days are those of the time zone of the portfolio. Totals are of everything that was asked for, whatever page it is. ' +
      'provisional: a later acquisition may still change it (uk_pool).',
    params: portfolioPath,
    query: realisedQuery,
    headers,
    answers: {
      200: 'A page of gains in the order of time, with totals',
      304: notModified,
      404: missing,
      503: unavailable,
    },
    handler: async (ctx, { params, query, viewer }) => {
      const { id: portfolioId } = await deps.portfolios.get(portfolioIdOf(params), viewer);
      const { page, limit, asset } = query;
      const told = await deps.books.look({ portfolioId, waitMs: booksWaitMs }, async (view) => {
        const { standing } = view;
        if (isKnown(ctx, standing)) return { standing };
        const { portfolio, booksVersion } = standing;
        const asked = { assetId: asset, offset: (page - 1) * limit, limit, ...spanOf(query, portfolio) };
        const gains = await view.realised(asked);
        return { standing, data: presentRealised(portfolio, { booksVersion, page, limit }, gains) };
      });
      tell(ctx, { message: 'Realised gains', ...told });
    },
  });
}

/** First moment of the first day, and of the day after the last. */
function spanOf(
  { from, to, year }: z.output<typeof realisedQuery>,
  { timeZone }: Portfolio,
): { readonly from?: number; readonly to?: number } {
  const dayOf = daysOf(timeZone);
  const first = year === undefined ? from : `${year}-01-01`;
  const last = year === undefined ? to : `${year}-12-31`;
  return {
    ...(first === undefined ? {} : { from: dayBegin(dayOf, dayNumber(first)) }),
    ...(last === undefined ? {} : { to: dayBegin(dayOf, dayNumber(last) + 1) }),
  };
}

function rebuild(deps: Pick<AppDeps, 'portfolios'> & SubmitDeps): Route {
  return route({
    method: 'POST',
    path: `${path}/rebuild`,
    access: 'user',
    scope: 'portfolio:write',
    tag,
    summary: 'Build the books of a portfolio anew from its transactions, as a job',
    description:
      'The result is what they were before: identical says whether it was, and is null when they were not current. Nothing ' +
      'changes if the job is cancelled.',
    params: portfolioPath,
    body: rebuildBody,
    headers: submissionDescribed.headers,
    answers: { ...submissionDescribed.answers, 404: missing },
    handler: async (ctx, { params, body, viewer }) => {
      const { id, baseCurrency: currency, method } = await deps.portfolios.get(portfolioIdOf(params), viewer);
      await submitJob(ctx, deps, {
        viewer,
        route: `POST /portfolios/${id}/rebuild`,
        body,
        request: {
          name: 'books.rebuild',
          submission: { portfolioId: id, currency, method },
          total: rebuildSteps,
        },
      });
    },
  });
}

/** Changes with the transactions, the way in which the books are kept, and the portfolio. */
function tagOf({ booksVersion, portfolio }: BookStanding): string {
  return `"${booksVersion}-${portfolio.version}"`;
}

/** Whether the client has already what is to be told of these books. */
function isKnown(ctx: ApiContext, standing: BookStanding): boolean {
  return matchesTag(ctx.req.headers['if-none-match'], tagOf(standing));
}

interface Told {
  readonly message: string;
  readonly standing: BookStanding;
  /** Absent when the client has it already. */
  readonly data?: Record<string, unknown> | undefined;
}

function tell(ctx: ApiContext, { message, standing, data }: Told): void {
  ctx.set('ETag', tagOf(standing));
  ctx.set('Cache-Control', 'private, no-cache');
  if (data === undefined) ctx.status = 304;
  else answer(ctx, { message, data });
}
