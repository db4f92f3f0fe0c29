import type { z } from 'zod';
import type { Portfolio } from './ledger/portfolio.ts';
import {
  newPortfolioBody,
  pagingQuery,
  portfolioChangesBody,
  portfolioIdOf,
  portfolioPath,
  portfolioUrl,
} from './schemas.ts';
import type { PortfolioService } from './portfolio-service.ts';
import type { ApiContext } from '../../platform/http/context.ts';
import { answer } from '../../platform/http/envelope.ts';
import {
  expectedVersion,
  ifMatchResponses,
  ifMatchHeader,
  ifNoneMatchHeader,
  matchesTag,
  versionTagOf,
} from '../../platform/http/if-match.ts';
import { pageOf } from '../../platform/http/paging.ts';
import { route, type Route } from '../../platform/http/route.ts';

type PortfolioDeps = Pick<PortfolioService, 'portfolios'>;

const tag = 'Portfolios';
const path = '/api/v1/portfolios';
const missing = 'Portfolio not found';
const unavailable = 'Database unavailable; see Retry-After';

/** Routes of the user's portfolios: create, list, read, change and delete. */
export function portfolioRoutes(deps: PortfolioDeps): Route[] {
  return [create(deps), list(deps), read(deps), change(deps, 'PATCH'), change(deps, 'PUT'), remove(deps)];
}

function create({ portfolios }: PortfolioDeps): Route {
  return route({
    method: 'POST',
    path,
    access: 'user',
    scope: 'portfolio:write',
    tag,
    summary: 'Create a portfolio',
    body: newPortfolioBody,
    responses: {
      201: 'The portfolio; Location has its URL',
      409: 'You have reached the limit of portfolios',
      503: unavailable,
    },
    handler: async (ctx, { viewer, body: { name, method, ...rest } }) => {
      const { base_currency: baseCurrency, time_zone: timeZone } = rest;
      const portfolio = await portfolios.create(viewer, { name, method, baseCurrency, timeZone });
      ctx.set('Location', portfolioUrl(portfolio.id));
      respondPortfolio(ctx, portfolio, { status: 201, message: 'Portfolio created' });
    },
  });
}

function list({ portfolios }: PortfolioDeps): Route {
  return route({
    method: 'GET',
    path,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'List your portfolios, newest first',
    query: pagingQuery,
    responses: { 200: 'A page of portfolios', 503: unavailable },
    handler: async (ctx, { viewer, query }) => {
      const { portfolios: found, total } = await portfolios.page({ viewer, ...query });
      answer(ctx, { message: 'Portfolios', data: pageOf(found.map(presentPortfolio), { total, ...query }) });
    },
  });
}

function read({ portfolios }: PortfolioDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/:id`,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'Get a portfolio',
    params: portfolioPath,
    headers: ifNoneMatchHeader,
    responses: {
      200: 'The portfolio',
      304: 'Not modified since the ETag in If-None-Match',
      404: missing,
      503: unavailable,
    },
    handler: async (ctx, { params, viewer }) => {
      const portfolio = await portfolios.get(portfolioIdOf(params), viewer);
      respondPortfolio(ctx, portfolio, { message: 'Portfolio' });
    },
  });
}

/** `PUT` is kept for old clients and behaves as `PATCH`. */
function change({ portfolios }: PortfolioDeps, method: 'PATCH' | 'PUT'): Route {
  return route({
    method,
    deprecated: method === 'PUT',
    path: `${path}/:id`,
    access: 'user',
    scope: 'portfolio:write',
    tag,
    summary: 'Change a portfolio',
    description:
      'Omitted fields keep their value. Changing the method or time zone recomputes positions, lots and gains. The base currency cannot ' +
      'change once there are transactions.',
    params: portfolioPath,
    body: portfolioChangesBody,
    headers: ifMatchHeader,
    responses: {
      200: 'The updated portfolio',
      404: missing,
      409: 'The portfolio has transactions, so its base currency cannot change',
      ...ifMatchResponses,
      503: unavailable,
    },
    handler: async (ctx, { params, viewer, body }) => {
      const id = portfolioIdOf(params);
      const expected = expectedVersion(ctx);
      const portfolio = await portfolios.change({ id, viewer, expected, changes: fieldsOf(body) });
      respondPortfolio(ctx, portfolio, { message: 'Portfolio changed' });
    },
  });
}

function remove({ portfolios }: PortfolioDeps): Route {
  return route({
    method: 'DELETE',
    path: `${path}/:id`,
    access: 'user',
    scope: 'portfolio:write',
    tag,
    summary: 'Delete a portfolio with all its contents',
    params: portfolioPath,
    headers: ifMatchHeader,
    responses: { 200: 'Deleted', 404: missing, ...ifMatchResponses, 503: unavailable },
    handler: async (ctx, { params, viewer }) => {
      const id = portfolioIdOf(params);
      await portfolios.remove({ id, viewer, expected: expectedVersion(ctx) });
      answer(ctx, { message: 'Portfolio deleted', data: { id } });
    },
  });
}

function fieldsOf({ name, method, ...rest }: z.output<typeof portfolioChangesBody>) {
  const { base_currency: baseCurrency, time_zone: timeZone } = rest;
  return {
    ...(name === undefined ? {} : { name }),
    ...(method === undefined ? {} : { method }),
    ...(baseCurrency === undefined ? {} : { baseCurrency }),
    ...(timeZone === undefined ? {} : { timeZone }),
  };
}

function respondPortfolio(
  ctx: ApiContext,
  portfolio: Portfolio,
  { status = 200, message }: { readonly status?: number; readonly message: string },
): void {
  const tagOf = versionTagOf(portfolio);
  ctx.set('ETag', tagOf);
  ctx.set('Cache-Control', 'private, no-cache');
  const isRead = ctx.method === 'GET' || ctx.method === 'HEAD';
  if (isRead && matchesTag(ctx.req.headers['if-none-match'], tagOf)) ctx.status = 304;
  else answer(ctx, { status, message, data: presentPortfolio(portfolio) });
}

/** A portfolio as its owner sees it. */
function presentPortfolio(portfolio: Portfolio): Record<string, unknown> {
  return {
    id: portfolio.id,
    name: portfolio.name,
    base_currency: portfolio.baseCurrency,
    method: portfolio.method,
    time_zone: portfolio.timeZone,
    version: portfolio.version,
    created_at: portfolio.createdAt,
    updated_at: portfolio.updatedAt,
  };
}
