import { withDeadline } from '../../lib/deadline.ts';
import type { AppDeps, BudgetFigures } from '../deps.ts';
import { answer } from '../present/envelope.ts';
import { route, type Route } from '../route.ts';
import { clearQuery } from '../schemas/prices.ts';

/** What the cache holds, and emptying it. */
export function cacheRoutes({ quotes, budgetStatus }: Pick<AppDeps, 'quotes' | 'budgetStatus'>): Route[] {
  const stats = route({
    method: 'GET',
    path: '/api/v1/crypto/cache/stats',
    access: 'user',
    scope: 'prices:read',
    tag: 'Prices',
    summary: 'What the cache holds and what is left of the budget',
    answers: {
      200: 'Counts by state, hits, misses, ages, memory, and the budget (null when it cannot be read)',
    },
    handler: async (ctx) => {
      const budget = await withDeadline(budgetStatus(), 1_000, 'reading the budget').catch(() => undefined);
      const data = { ...quotes.stats(), budget: budget === undefined ? null : presentBudget(budget) };
      answer(ctx, { message: 'Cache', data });
    },
  });

  const clear = route({
    method: 'DELETE',
    path: '/api/v1/crypto/cache',
    access: 'admin',
    scope: 'admin',
    tag: 'Prices',
    summary: 'Forget quotes',
    query: clearQuery,
    answers: { 200: 'How many were removed', 503: 'The cache does not answer; see Retry-After' },
    handler: async (ctx, { query: { coins } }) => {
      answer(ctx, { message: 'Cache cleared', data: { removed: await quotes.clear(coins) } });
    },
  });

  return [stats, clear];
}

function presentBudget({ limit, used, available, nextGrantInMs, blockedForMs }: BudgetFigures) {
  return {
    limit,
    used,
    available,
    next_grant_in_seconds: nextGrantInMs / 1000,
    blocked_for_seconds: blockedForMs / 1000,
  };
}
