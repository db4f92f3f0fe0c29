import type { AppDeps } from '../../app-deps.ts';
import { answer } from '../../platform/http/envelope.ts';
import { pageOf } from '../../platform/http/paging.ts';
import { presentCounts, presentDay, presentUsageOfKey } from './present-usage.ts';
import { route, type Route } from '../../platform/http/route.ts';
import { allUsageQuery, usageQuery } from './usage-schemas.ts';

type UsageDeps = Pick<AppDeps, 'usageReports'>;

const unavailable = 'The database is away; see Retry-After';
const whatCounts =
  'A call to the price source is shared by those who asked first for the coins that it fetched, so upstream_calls is a ' +
  'fraction. Counts appear within some seconds.';

/** Usage: one's own, and for admins everybody's. */
export function usageRoutes({ usageReports }: UsageDeps): Route[] {
  const own = route({
    method: 'GET',
    path: '/api/v1/usage',
    access: 'user',
    scope: 'session',
    tag: 'Users',
    summary: 'Your requests, jobs and upstream calls by day and API key',
    description: `The last 30 days when no day is given, 366 at most. ${whatCounts}`,
    query: usageQuery,
    answers: { 200: 'Days, the newest first, and their totals', 503: unavailable },
    handler: async (ctx, { query, viewer: { userId } }) => {
      const { days, totals } = await usageReports.ofUser({ userId, ...query });
      const data = { ...query, days: days.map(presentDay), totals: presentCounts(totals) };
      answer(ctx, { message: 'Usage', data });
    },
  });

  const all = route({
    method: 'GET',
    path: '/api/v1/admin/usage',
    access: 'admin',
    scope: 'admin',
    tag: 'Administration',
    summary: 'Requests, jobs and upstream calls by user and API key, the most upstream calls first',
    description: `Sums over the last 30 days when no day is given, 366 at most. ${whatCounts}`,
    query: allUsageQuery,
    answers: { 200: 'A page of users and keys', 403: 'For admins only', 503: unavailable },
    handler: async (ctx, { query: { page, limit, ...range } }) => {
      const { usage, total } = await usageReports.all({ ...range, offset: (page - 1) * limit, limit });
      const data = { ...range, ...pageOf(usage.map(presentUsageOfKey), { total, page, limit }) };
      answer(ctx, { message: 'Usage', data });
    },
  });

  return [own, all];
}
