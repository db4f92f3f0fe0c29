import { z } from 'zod';
import { chartIntervals, dayMs, type ChartInterval } from '../history/chart.ts';
import type { ApiContext } from '../../platform/http/context.ts';
import type { Route } from '../../platform/http/route.ts';
import { answerV3 } from './answer.ts';
import { checkedCurrency, firstMoment, readChart, type ChartDeps, type FoundChart } from './charts.ts';
import { checkedId } from './coin-id.ts';
import { invalidParameter } from '../../platform/http/v3-errors.ts';
import { precision, requiredCurrency, requiredText, word } from './params.ts';
import { v3Route } from './v3-route.ts';

const idPath = z.object({ id: z.string().meta({ description: 'Asset id, such as bitcoin' }) });
const intervals = Object.keys(chartIntervals) as [ChartInterval, ...ChartInterval[]];
const interval = () => word(intervals, 'Distance of the points; by the length of the span when absent');
const answers = {
  401: 'The key is none, or no source reaches back to this time',
  404: 'No asset has this id',
  422: 'A parameter is missing, or is none',
};
const description =
  'Points that were observed, five minutes apart for the last day, hours up to 90 days, else days; the last one is the latest price. X-Pricepool-State says `partial` where something is missing that has not come in time.';

const chartQuery = z.object({
  vs_currency: requiredCurrency(),
  days: requiredText('Days back from now, or max'),
  interval: interval(),
  precision: precision(),
});

const rangeQuery = z.object({
  vs_currency: requiredCurrency(),
  from: requiredText('Begin, in Unix seconds or as an ISO 8601 date'),
  to: requiredText('End, in Unix seconds or as an ISO 8601 date'),
  interval: interval(),
  precision: precision(),
});

/** Prices, market capitalisations and volumes over time. */
export function chartRoutes(deps: ChartDeps): Route[] {
  return [marketChart(deps), marketChartRange(deps)];
}

function marketChart(deps: ChartDeps): Route {
  return v3Route({
    path: '/coins/:id/market_chart',
    summary: 'Price, market capitalisation and volume of an asset until now',
    description,
    params: idPath,
    query: chartQuery,
    answers,
    handler: async (ctx, { params, query, viewer }) => {
      const currency = checkedCurrency(query.vs_currency);
      const to = deps.clock.now();
      const from = query.days === 'max' ? firstMoment : to - daysOf(query.days) * dayMs;
      // CoinGecko has days where the whole history is asked for, however young an asset is.
      const given = query.interval ?? (query.days === 'max' ? 'daily' : undefined);
      const asked = { assetId: checkedId(params.id), currency, from, to, untilNow: true, viewer };
      send(ctx, await readChart(deps, { ...asked, interval: given, precision: query.precision }));
    },
  });
}

function marketChartRange(deps: ChartDeps): Route {
  return v3Route({
    path: '/coins/:id/market_chart/range',
    summary: 'Price, market capitalisation and volume of an asset in a span of time',
    description,
    params: idPath,
    query: rangeQuery,
    answers,
    handler: async (ctx, { params, query, viewer }) => {
      const currency = checkedCurrency(query.vs_currency);
      const [from, to] = [momentOf(query.from), momentOf(query.to)];
      const untilNow = to >= deps.clock.now();
      const asked = { assetId: checkedId(params.id), currency, from, to, untilNow, viewer };
      send(ctx, await readChart(deps, { ...asked, interval: query.interval, precision: query.precision }));
    },
  });
}

/** More days than any asset has are as good as all. */
const mostDays = 36_500;

function daysOf(text: string): number {
  const days = /^\d{1,9}(\.\d{1,9})?$/.test(text) ? Number(text) : 0;
  if (days <= 0) throw invalidParameter('Invalid days');
  return Math.min(days, mostDays);
}

/** Latest moment that is taken (ms): dates beyond it do not exist. */
const lastMoment = 8.64e15;
const isoDate = /^\d{4}-\d{2}-\d{2}([T ][\d:.]+(Z|[+-]\d{2}:?\d{2})?)?$/;

function momentOf(text: string): number {
  const isSeconds = /^\d{1,12}(\.\d+)?$/.test(text);
  const at = isSeconds ? Number(text) * 1_000 : isoDate.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at) || at < 0 || at > lastMoment) throw invalidParameter('Invalid date');
  return Math.round(at);
}

function send(ctx: ApiContext, { json, state, lastAt }: FoundChart): void {
  const cache = state === 'partial' ? 'none' : 'prices';
  answerV3(ctx, { json, cache, state, receivedAt: lastAt });
}
