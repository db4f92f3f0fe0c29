import type { Principal } from '../../domain/principal.ts';
import type { AppDeps } from '../../app-deps.ts';
import type { Route } from '../../platform/http/route.ts';
import { answerV3 } from './answer.ts';
import { v3Route } from './v3-route.ts';

type KeyDeps = Pick<AppDeps, 'usageReports' | 'authenticator' | 'config' | 'clock'>;

const minutesOfDay = 1_440;

/** `/key`: what the caller's key (or without one, its user) may do and has done this month. */
export function keyRoutes({ usageReports, authenticator, config, clock }: KeyDeps): Route[] {
  const quotaOf = ({ keyId }: Principal): number | undefined =>
    keyId === undefined ? undefined : authenticator.dailyQuotaOf(keyId);
  const key = v3Route({
    path: '/key',
    scope: 'any',
    summary: "Plan, limits and usage of the caller's key",
    description:
      'Requests of this month (UTC). Without a daily quota the allowance is that of the limit by the minute.',
    handler: async (ctx, { viewer }) => {
      const perMinute = viewer.keyId === undefined ? config.RATE_LIMIT_USER : config.RATE_LIMIT_KEY;
      const month = monthOf(new Date(clock.now()));
      const { days, totals } = await usageReports.ofUser({
        userId: viewer.userId,
        from: month.from,
        to: month.to,
      });
      const own = days.filter(({ keyId }) => keyId === (viewer.keyId ?? null));
      const used = own.reduce((sum, { requests }) => sum + requests, 0);
      const credit = (quotaOf(viewer) ?? perMinute * minutesOfDay) * month.days;
      const json = JSON.stringify(keyAnswer({ perMinute, credit, used, usedByAll: totals.requests }));
      answerV3(ctx, { json, cache: 'none' });
    },
  });
  return [key];
}

interface KeyFigures {
  readonly perMinute: number;
  /** Requests of the month. */
  readonly credit: number;
  readonly used: number;
  /** With all keys of the user and without one. */
  readonly usedByAll: number;
}

/** The body of `/key`. */
export function keyAnswer({ perMinute, credit, used, usedByAll }: KeyFigures) {
  return {
    plan: 'Pricepool',
    rate_limit_request_per_minute: perMinute,
    monthly_call_credit: credit,
    current_total_monthly_calls: usedByAll,
    current_remaining_monthly_calls: Math.max(0, credit - used),
    api_key_rate_limit_request_per_minute: perMinute,
    api_key_monthly_call_credit: credit,
    api_key_current_total_monthly_calls: used,
  };
}

/** First and last day of a moment's month in UTC, and how many days it has. */
function monthOf(now: Date): { readonly from: string; readonly to: string; readonly days: number } {
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()];
  const days = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  const dayOf = (day: number): string => new Date(Date.UTC(year, month, day)).toISOString().slice(0, 10);
  return { from: dayOf(1), to: dayOf(days), days };
}
