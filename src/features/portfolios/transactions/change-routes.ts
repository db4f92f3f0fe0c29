import type { AppDeps } from '../../../app-deps.ts';
import { answer } from '../../../platform/http/envelope.ts';
import { pageOf } from '../../../platform/http/paging.ts';
import { presentChange } from '../present-portfolio.ts';
import { route, type Route } from '../../../platform/http/route.ts';
import { pagingQuery, portfolioIdOf, portfolioPath } from '../portfolio-schemas.ts';
import { transactionIdOf, transactionPath } from './schemas.ts';

type ChangeDeps = Pick<AppDeps, 'transactions'>;

const tag = 'Transactions';
const path = '/api/v1/portfolios/:id';
const missing = 'There is no such portfolio or transaction, or it is somebody else’s';
const unavailable = 'The database is away; see Retry-After';

/** Audit trails: what was done to transactions, by whom, and what they said before and after. */
export function transactionChangeRoutes(deps: ChangeDeps): Route[] {
  return [ofPortfolio(deps), ofTransaction(deps)];
}

function ofPortfolio({ transactions }: ChangeDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/changes`,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'What was done to the transactions of a portfolio, the latest first',
    description: 'An import is one row, whatever it brought.',
    params: portfolioPath,
    query: pagingQuery,
    answers: { 200: 'A page of changes', 404: missing, 503: unavailable },
    handler: async (ctx, { params, viewer, query }) => {
      const found = await transactions.changes({ portfolioId: portfolioIdOf(params), viewer, ...query });
      const data = pageOf(found.changes.map(presentChange), { total: found.total, ...query });
      answer(ctx, { message: 'Changes', data });
    },
  });
}

function ofTransaction({ transactions }: ChangeDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/transactions/:tid/changes`,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'What was done to a transaction, also after it was deleted; the latest first',
    params: transactionPath,
    query: pagingQuery,
    answers: { 200: 'A page of changes', 404: missing, 503: unavailable },
    handler: async (ctx, { params, viewer, query }) => {
      const portfolioId = portfolioIdOf(params);
      const transactionId = transactionIdOf(params);
      const found = await transactions.changes({ portfolioId, transactionId, viewer, ...query });
      const data = pageOf(found.changes.map(presentChange), { total: found.total, ...query });
      answer(ctx, { message: 'Changes', data });
    },
  });
}
