import { withDeadline } from '../../platform/concurrency/deadline.ts';
import type { AppDeps, BudgetFigures, SourceFigures } from '../../app-deps.ts';
import { answer } from '../../platform/http/envelope.ts';
import { route, type Route } from '../../platform/http/route.ts';
import { clearQuery } from './price-schemas.ts';

/** What the cache holds, and emptying it. */
export function cacheRoutes({
  quotes,
  budgetStatus,
  sources,
}: Pick<AppDeps, 'quotes' | 'budgetStatus' | 'sources'>): Route[] {
  const stats = route({
    method: 'GET',
    path: '/api/v1/crypto/cache/stats',
    access: 'user',
    scope: 'prices:read',
    tag: 'Prices',
    summary: 'What the cache holds and what is left of the budget',
    answers: {
      200: 'Counts by state, hits, misses, ages, memory, and the budget (null when it cannot be read): calls a minute, credits of the month, until when they last at the rate of the last hour, the freshness that can be afforded now, and how the price sources stand',
    },
    handler: async (ctx) => {
      const budget = await withDeadline(budgetStatus(), 1_000, 'reading the budget').catch(() => undefined);
      const known = await withDeadline(sources(), 1_000, 'reading the sources').catch(() => undefined);
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
    summary: 'Forget quotes',
    query: clearQuery,
    answers: { 200: 'How many were removed', 503: 'The cache does not answer; see Retry-After' },
    handler: async (ctx, { query: { coins } }) => {
      answer(ctx, { message: 'Cache cleared', data: { removed: await quotes.clear(coins) } });
    },
  });

  return [stats, clear];
}

function presentBudget(budget: BudgetFigures) {
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

function presentMonth(month: BudgetFigures['month']) {
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

function presentSources(known: SourceFigures | undefined) {
  if (known === undefined) return { sources: null, deviations: null };
  const sources = known.sources.map(({ name, state, failures, retryInMs }) => ({
    name,
    state,
    failures,
    retry_in_seconds: retryInMs / 1000,
  }));
  const { doubted = 0, confirmed = 0 } = known.guarded;
  return { sources, deviations: { doubted, confirmed } };
}

const round = (value: number): number => Math.round(value * 10) / 10;
