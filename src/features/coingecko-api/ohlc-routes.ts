import { z } from 'zod';
import { ohlcLengthOf } from '../history/chart.ts';
import type { OhlcReading } from '../history/history-reader.ts';
import { AppError } from '../../domain/errors.ts';
import type { AppDeps } from '../../app-deps.ts';
import type { Route } from '../../platform/http/route.ts';
import { answerV3 } from './answer.ts';
import { checkedCurrency } from './charts.ts';
import { checkedId, refuseUnlisted } from './coin-id.ts';
import { canonicalPath, readDocument, type DocumentDeps } from './documents.ts';
import { coinNotFound } from '../../platform/http/v3-errors.ts';
import { roundPrice, type Precision } from './numbers.ts';
import { precision, requiredCurrency, requiredText, word } from './params.ts';
import { v3Route } from './v3-route.ts';

type OhlcDeps = DocumentDeps & Pick<AppDeps, 'history' | 'assets'>;

/** CoinGecko renews its candles every quarter of an hour (ms). */
const updateMs = 900_000;
const allowedDays: ReadonlySet<string> = new Set(['1', '7', '14', '30', '90', '180', '365', 'max']);

const ohlcQuery = z.object({
  vs_currency: requiredCurrency(),
  days: requiredText(`Days back from now: ${[...allowedDays].join(', ')}`),
  interval: word(['daily', 'hourly'], 'Length of the candles, for plans that have it'),
  precision: precision(),
});

/**
 * Open, high, low and close. Our own candles are answered where we have watched the price for the whole span; points of a
 * chart make no candles, because a high between two points is known to nobody. Else the source's own are passed on.
 */
export function ohlcRoutes(deps: OhlcDeps): Route[] {
  return [ohlc(deps)];
}

function ohlc(deps: OhlcDeps): Route {
  return v3Route({
    path: '/coins/:id/ohlc',
    summary: 'Candles of an asset: open, high, low, close',
    description: 'Stamped with their close time: 30 minutes for 1 day, 4 hours up to 30 days, else 4 days.',
    params: z.object({ id: z.string().meta({ description: 'Asset id, such as bitcoin' }) }),
    query: ohlcQuery,
    answers: { 400: 'A number of days that is not offered', 404: 'No asset has this id' },
    handler: async (ctx, { params, query, viewer }) => {
      const assetId = checkedId(params.id);
      const currency = checkedCurrency(query.vs_currency);
      if (!allowedDays.has(query.days))
        throw new AppError('Invalid days parameter', { code: 'invalid_parameter', status: 400 });
      const own = await ownCandles(deps, { assetId, currency, query });
      if (own !== undefined && own.missing === 0 && own.candles.length > 0) {
        answerV3(ctx, { json: own.json, cache: 'prices', state: 'fresh' });
        return;
      }
      const path = canonicalPath(`/coins/${encodeURIComponent(assetId)}/ohlc`, { ...query });
      try {
        refuseUnlisted(deps.assets, assetId);
        const asked = { path, freshMs: updateMs, viewer, notFound: coinNotFound };
        const { state, document } = await readDocument(deps, asked);
        answerV3(ctx, { json: document.json, cache: 'prices', state, receivedAt: document.receivedAt });
      } catch (error) {
        // Candles of ours that are whole are better than none, when the source does not answer.
        if (own === undefined || own.candles.length === 0) throw error;
        answerV3(ctx, { json: own.json, cache: 'none', state: 'partial' });
      }
    },
  });
}

interface OwnQuestion {
  readonly assetId: string;
  readonly currency: string;
  readonly query: z.output<typeof ohlcQuery>;
}

/** Undefined for what we have no rule for. */
async function ownCandles(
  { history }: OhlcDeps,
  { assetId, currency, query }: OwnQuestion,
): Promise<(OhlcReading & { readonly json: string }) | undefined> {
  const days = Number(query.days);
  if (Number.isNaN(days) || query.interval !== undefined) return undefined;
  const lengthMs = ohlcLengthOf(days);
  const reading = await history.ohlc({ assetId, currency, days, lengthMs });
  return { ...reading, json: ohlcJson(reading, lengthMs, query.precision) };
}

function ohlcJson({ candles }: OhlcReading, lengthMs: number, places: Precision): string {
  const price = (value: number): number => roundPrice(value, places ?? 'full');
  return JSON.stringify(
    candles.map(({ openTime, open, high, low, close }) => [
      openTime + lengthMs,
      price(open),
      price(high),
      price(low),
      price(close),
    ]),
  );
}
