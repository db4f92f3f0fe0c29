/** Reads from the books of a portfolio (positions, open lots, realised gains), and rebuilding them. */
import { z } from 'zod';
import { rebuildSteps } from '../../../../jobs/registry.ts';
import type { PortfolioService } from '../portfolio-service.ts';
import type { ApiContext } from '../../../platform/http/context.ts';
import { answer } from '../../../platform/http/envelope.ts';
import { pageNumber, pageSize, wholeNumber } from '../../../platform/http/fields.ts';
import { pageFields } from '../../../platform/http/paging.ts';
import { route, type Route } from '../../../platform/http/route.ts';
import { ifNoneMatchHeader, matchesTag } from '../../../platform/http/if-match.ts';
import { submissionDescribed, type SubmitDeps, submitJob, timeout } from '../../jobs/submit-job.ts';
import { assetIdField, type AssetIdReader } from '../../assets/schemas.ts';
import { callbackUrl } from '../../webhooks/schemas.ts';
import type {
  AssetLot,
  BookedPortfolio,
  Position,
  RealisedPage,
  RealisedRow,
} from '../queries/book-reading.ts';
import { formatAmount, mulDiv, oneUnit } from '../ledger/amount.ts';
import { dayStart, dayNumber, daysOf, dayText } from '../ledger/days.ts';
import type { Portfolio } from '../ledger/portfolio.ts';
import { portfolioIdOf, portfolioPath } from '../schemas.ts';

const longPage = {
  page: pageNumber,
  limit: pageSize({ usual: 100, max: 1_000 }),
};

/** Query of `GET /portfolios/:id/positions`. */
const positionsQuery = z.strictObject({
  status: z
    .enum(['open', 'closed', 'all'], 'must be one of open, closed, all')
    .default('open')
    .meta({ description: 'open: assets that are held; closed: assets that were held and are not any more' }),
});

/** Query of `GET /portfolios/:id/lots`. */
const lotsQuery = (assets: AssetIdReader) =>
  z.strictObject({ asset: assetIdField(assets).optional(), ...longPage });

const dayRule = 'must be a day such as 2024-01-31';
const day = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}$/, dayRule)
  .refine((text) => !Number.isNaN(dayNumber(text)) && dayText(dayNumber(text)) === text, dayRule);

/** Query of `GET /portfolios/:id/realised`. */
const realisedQuery = (assets: AssetIdReader) =>
  z
    .strictObject({
      from: day.optional().meta({
        description:
          'First day (YYYY-MM-DD) in the time zone of the portfolio; absent: from the first gain on',
      }),
      to: day.optional().meta({ description: 'Last day (YYYY-MM-DD); absent: until the last gain' }),
      year: wholeNumber({ min: 1970, max: 9998 })
        .optional()
        .meta({ description: 'All days of this calendar year; cannot be combined with from and to' }),
      asset: assetIdField(assets).optional(),
      ...longPage,
    })
    .superRefine(({ from, to, year }, ctx) => {
      const refuse = (path: string, message: string): void =>
        ctx.addIssue({ code: 'custom', path: [path], message });
      if (year !== undefined && (from !== undefined || to !== undefined))
        refuse('year', 'cannot be combined with from and to');
      if (from !== undefined && to !== undefined && to < from) refuse('to', 'must not be before from');
    });

/** Body of `POST /portfolios/:id/rebuild`. */
const rebuildBody = z.strictObject({ timeout, callback_url: callbackUrl });

type PositionDeps = Pick<PortfolioService, 'portfolios' | 'books'> & { readonly assets: AssetIdReader };

const tag = 'Portfolios';
const path = '/api/v1/portfolios/:id';
const missing = 'Portfolio not found';
const unavailable =
  'Database unavailable, or the portfolio is still being updated after a change; retry after Retry-After seconds';
const notModified = 'Not modified: no transaction has changed since the ETag in If-None-Match';

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
    summary: 'List the positions of a portfolio: holdings, cost and realised gains',
    description: 'Computed from the transactions alone, without current prices; for those, use valuation.',
    params: portfolioPath,
    query: positionsQuery,
    headers: ifNoneMatchHeader,
    responses: { 200: 'The positions, by asset', 304: notModified, 404: missing, 503: unavailable },
    handler: async (ctx, { params, query, viewer }) => {
      const { id } = await deps.portfolios.get(portfolioIdOf(params), viewer);
      const current = await deps.books.current({ id }, booksWaitMs);
      const shown = current.assets.filter(isShown[query.status]);
      const data = isKnown(ctx, current) ? undefined : presentPositions(current.portfolio, shown);
      respond(ctx, { message: 'Positions', current, data });
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
    summary: 'List the open lots of a portfolio',
    description: 'By asset, oldest first. With average and uk_pool, each asset has its pool as the only lot.',
    params: portfolioPath,
    query: lotsQuery(deps.assets),
    headers: ifNoneMatchHeader,
    responses: { 200: 'A page of lots', 304: notModified, 404: missing, 503: unavailable },
    handler: async (ctx, { params, query: { asset, page, limit }, viewer }) => {
      const { id: portfolioId } = await deps.portfolios.get(portfolioIdOf(params), viewer);
      const reported = await deps.books.read({ portfolioId, waitMs: booksWaitMs }, async (view) => {
        const { current } = view;
        if (isKnown(ctx, current)) return { current };
        const found = await view.lots({ assetId: asset, offset: (page - 1) * limit, limit });
        const data = presentLots(current.portfolio, { page, limit, total: found.total }, found.lots);
        return { current, data };
      });
      respond(ctx, { message: 'Open lots', ...reported });
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
    summary: 'List realised gains by disposal and lot',
    description:
      'Days are in the time zone of the portfolio. Totals cover the whole selection, not only the page. ' +
      'provisional: a later acquisition may still change the gain (uk_pool).',
    params: portfolioPath,
    query: realisedQuery(deps.assets),
    headers: ifNoneMatchHeader,
    responses: {
      200: 'A page of gains in chronological order, with totals',
      304: notModified,
      404: missing,
      503: unavailable,
    },
    handler: async (ctx, { params, query, viewer }) => {
      const { id: portfolioId } = await deps.portfolios.get(portfolioIdOf(params), viewer);
      const { page, limit, asset } = query;
      const reported = await deps.books.read({ portfolioId, waitMs: booksWaitMs }, async (view) => {
        const { current } = view;
        if (isKnown(ctx, current)) return { current };
        const { portfolio } = current;
        const requested = { assetId: asset, offset: (page - 1) * limit, limit, ...spanOf(query, portfolio) };
        const gains = await view.realised(requested);
        return { current, data: presentRealised(portfolio, { page, limit }, gains) };
      });
      respond(ctx, { message: 'Realised gains', ...reported });
    },
  });
}

/** Start of the first day, and of the day after the last. */
function spanOf(
  { from, to, year }: z.output<ReturnType<typeof realisedQuery>>,
  { timeZone }: Portfolio,
): { readonly from?: number; readonly to?: number } {
  const dayOf = daysOf(timeZone);
  const first = year === undefined ? from : `${year}-01-01`;
  const last = year === undefined ? to : `${year}-12-31`;
  return {
    ...(first === undefined ? {} : { from: dayStart(dayOf, dayNumber(first)) }),
    ...(last === undefined ? {} : { to: dayStart(dayOf, dayNumber(last) + 1) }),
  };
}

function rebuild(deps: PositionDeps & SubmitDeps): Route {
  return route({
    method: 'POST',
    path: `${path}/rebuild`,
    access: 'user',
    scope: 'portfolio:write',
    tag,
    summary: 'Recompute the positions, lots and gains of a portfolio from its transactions, as a job',
    description:
      'The result must be what was there before: identical says whether it was, and is null when the portfolio was still being updated. Nothing ' +
      'changes if the job is cancelled.',
    params: portfolioPath,
    body: rebuildBody,
    headers: submissionDescribed.headers,
    responses: { ...submissionDescribed.responses, 404: missing },
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

/** Changes with the transactions, the settings of the books, and the portfolio. */
function tagOf({ portfolio }: BookedPortfolio): string {
  return `"${portfolio.booksVersion}-${portfolio.version}"`;
}

/** Whether the client already has the current response for these books. */
function isKnown(ctx: ApiContext, current: BookedPortfolio): boolean {
  return matchesTag(ctx.req.headers['if-none-match'], tagOf(current));
}

function respond(
  ctx: ApiContext,
  {
    message,
    current,
    data,
  }: {
    readonly message: string;
    readonly current: BookedPortfolio;
    /** Absent when the client already has it. */
    readonly data?: Record<string, unknown> | undefined;
  },
): void {
  ctx.set('ETag', tagOf(current));
  ctx.set('Cache-Control', 'private, no-cache');
  if (data === undefined) ctx.status = 304;
  else answer(ctx, { message, data });
}

const dayMs = 86_400_000;

/** The fields at the start of every response about books. */
function booksHead(portfolio: Portfolio): Record<string, unknown> {
  return {
    portfolio_id: portfolio.id,
    currency: portfolio.baseCurrency,
    method: portfolio.method,
    books_version: portfolio.booksVersion,
  };
}

/** Positions with their totals, which cover only the positions shown. */
function presentPositions(portfolio: Portfolio, positions: readonly Position[]): Record<string, unknown> {
  const sum = (of: (position: Position) => bigint): string =>
    formatAmount(positions.reduce((total, each) => total + of(each), 0n));
  return {
    ...booksHead(portfolio),
    totals: { cost_basis: sum(costOf), realised: sum(gainOf), count: positions.length },
    positions: positions.map(presentPosition),
  };
}

function costOf({ tally }: Position): bigint {
  return tally.acquired - tally.consumed - tally.left;
}

function gainOf({ tally }: Position): bigint {
  return tally.proceeds - tally.consumed;
}

function presentPosition(position: Position): Record<string, unknown> {
  const { assetId, quantity, tally, openLots } = position;
  const cost = costOf(position);
  return {
    asset: assetId,
    quantity: formatAmount(quantity),
    cost_basis: formatAmount(cost),
    average_cost: quantity === 0n ? null : formatAmount(mulDiv(cost, oneUnit, quantity)),
    open_lots: openLots,
    acquired: formatAmount(tally.acquired),
    disposed: formatAmount(tally.consumed),
    transferred_out: formatAmount(tally.left),
    proceeds: formatAmount(tally.proceeds),
    realised: formatAmount(gainOf(position)),
  };
}

/** Open lots. A pool is one lot without a transaction. */
function presentLots(
  portfolio: Portfolio,
  page: Parameters<typeof pageFields>[0],
  lots: readonly AssetLot[],
): Record<string, unknown> {
  return {
    ...booksHead(portfolio),
    data: lots.map(({ assetId, transaction, acquiredAt, quantity, basis }) => ({
      asset: assetId,
      transaction_id: transaction,
      acquired_at: timeOf(acquiredAt),
      quantity: formatAmount(quantity),
      cost_basis: formatAmount(basis),
      unit_cost: formatAmount(mulDiv(basis, oneUnit, quantity)),
    })),
    ...pageFields(page),
  };
}

/** Realised gains: what disposals took out of lots, and the totals of all of them. */
function presentRealised(
  portfolio: Portfolio,
  page: Omit<Parameters<typeof pageFields>[0], 'total'>,
  { rows, totals }: RealisedPage,
): Record<string, unknown> {
  const { proceeds, basis, count, provisional } = totals;
  return {
    ...booksHead(portfolio),
    totals: {
      count,
      provisional,
      proceeds: formatAmount(proceeds),
      cost_basis: formatAmount(basis),
      gain: formatAmount(proceeds - basis),
    },
    data: rows.map(presentRealisedRow),
    ...pageFields({ total: count, ...page }),
  };
}

function presentRealisedRow(row: RealisedRow): Record<string, unknown> {
  return {
    asset: row.assetId,
    transaction_id: row.transaction,
    is_fee: row.isFee,
    disposed_at: timeOf(row.disposedAt),
    acquired_at: timeOf(row.acquiredAt),
    acquired_with: row.lot,
    // In whole days, because the reader's tax law decides what counts as long-term.
    held_days: row.acquiredAt === null ? null : Math.floor((row.disposedAt - row.acquiredAt) / dayMs),
    rule: row.rule,
    quantity: formatAmount(row.quantity),
    proceeds: formatAmount(row.proceeds),
    cost_basis: formatAmount(row.basis),
    gain: formatAmount(row.proceeds - row.basis),
    provisional: row.isProvisional,
  };
}

function timeOf(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}
