import { z } from 'zod';
import type { DayPoint } from '../history/queries/candles.ts';
import type { Principal } from '../../domain/principal.ts';
import { dayMs } from '../history/chart.ts';
import { freeReachDays } from '../history/history-gaps.ts';
import type { ChartReading } from '../history/history-reader.ts';
import { AppError, NotFoundError } from '../../domain/errors.ts';
import type { AppDeps } from '../../app-deps.ts';
import type { ApiContext } from '../../platform/http/context.ts';
import type { Route } from '../../platform/http/route.ts';
import { answerV3 } from './answer.ts';
import { checkedId, refuseUnlisted } from './coin-id.ts';
import { canonicalPath, readDocument, type DocumentDeps } from './documents.ts';
import { coinNotFound, isOutOfReach, outOfReach } from '../../platform/http/v3-errors.ts';
import { flag, requiredText } from './params.ts';
import { unserved } from './unserved.ts';
import { v3Route } from './v3-route.ts';

type CoinHistoryDeps = DocumentDeps & Pick<AppDeps, 'history' | 'assets' | 'clock'>;

/** A day that is over does not change any more (ms). */
const updateMs = 86_400_000;

const historyQuery = z.object({
  date: requiredText('A UTC day: dd-mm-yyyy'),
  localization: flag('Names in other languages', true),
});

/** The figures of an asset at the begin of a day. */
export function coinHistoryRoutes(deps: CoinHistoryDeps): Route[] {
  return [coinHistory(deps)];
}

function coinHistory(deps: CoinHistoryDeps): Route {
  return v3Route({
    path: '/coins/:id/history',
    summary: 'Price, market capitalisation and volume of an asset on a day',
    description:
      'What is stored here, in the currencies that it is stored in; else as the source tells it, in all its currencies.',
    params: z.object({ id: z.string().meta({ description: 'Asset id, such as bitcoin' }) }),
    query: historyQuery,
    answers: {
      400: 'No such day',
      401: 'The key is none, or no source reaches back to this day',
      404: 'No asset has this id',
      422: 'The date is missing',
    },
    handler: async (ctx, { params, query, viewer }) => {
      const assetId = checkedId(params.id);
      const day = dayOf(query.date);
      if (day > deps.clock.now()) throw noDay();
      const { localization } = query;
      const own = await deps.history.dayOf(assetId, day);
      if (own.length > 0) {
        sendOwn(ctx, deps, { assetId, own, localization });
        return;
      }
      refuseUnlisted(deps.assets, assetId);
      const path = canonicalPath(`/coins/${encodeURIComponent(assetId)}/history`, {
        date: textOf(day),
        localization,
      });
      try {
        const refusals = { notFound: coinNotFound, outOfReach: () => outOfReach(freeReachDays) };
        const asked = { path, freshMs: updateMs, viewer, ...refusals };
        const { state, document } = await readDocument(deps, asked);
        answerV3(ctx, { json: document.json, cache: 'slow', state, receivedAt: document.receivedAt });
      } catch (error) {
        if (error instanceof NotFoundError) throw error;
        const { filled, reading } = await fillDay(deps, { assetId, day, viewer });
        if (filled.length > 0) sendOwn(ctx, deps, { assetId, own: filled, localization });
        else throw await refusalOf(deps, { error, reading });
      }
    },
  });
}

/** Other sources reach further back, though in one currency only. */
async function fillDay(
  { history, config }: CoinHistoryDeps,
  { assetId, day, viewer }: { readonly assetId: string; readonly day: number; readonly viewer: Principal },
): Promise<{ filled: readonly DayPoint[]; reading: ChartReading }> {
  const span = { from: day, to: day + dayMs - 1, waitMs: config.READ_WAIT_MS };
  const asked = { assetId, currency: 'usd', granularity: '1d', ...span, requester: viewer } as const;
  const reading = await history.chart(asked);
  return { filled: await history.dayOf(assetId, day), reading };
}

/** While another source may still tell the day, it is on its way, whatever the first one has refused. */
async function refusalOf(
  { budgetStatus }: CoinHistoryDeps,
  { error, reading }: { readonly error: unknown; readonly reading: ChartReading },
): Promise<unknown> {
  const isComing = reading.state === 'partial' && reading.isRefused !== true;
  return isOutOfReach(error) && isComing ? await unserved('pending', budgetStatus) : error;
}

interface OwnDay {
  readonly assetId: string;
  readonly own: readonly DayPoint[];
  readonly localization: boolean;
}

function sendOwn(ctx: ApiContext, { assets }: CoinHistoryDeps, { assetId, own, localization }: OwnDay): void {
  const asset = assets.byId(assetId);
  const by = (read: (point: DayPoint) => number | null): Record<string, number> =>
    Object.fromEntries(
      own.flatMap((point) => {
        const value = read(point);
        return value === null ? [] : [[point.currency, value]];
      }),
    );
  const name = asset?.name ?? assetId;
  const image = asset?.image ?? undefined;
  const json = JSON.stringify({
    id: assetId,
    symbol: asset?.symbol ?? assetId,
    name,
    ...(localization ? { localization: { en: name } } : {}),
    image: image === undefined ? {} : { thumb: image, small: image },
    market_data: {
      current_price: by(({ price }) => price),
      market_cap: by(({ marketCap }) => marketCap),
      total_volume: by(({ volume }) => volume),
    },
    // What is not kept here; CoinGecko's contract has these as objects with nullable figures.
    community_data: {},
    developer_data: {},
    public_interest_stats: {},
  });
  answerV3(ctx, { json, cache: 'slow', state: 'fresh' });
}

function noDay(): AppError {
  return new AppError('invalid date', { code: 'invalid_parameter', status: 400 });
}

/** Midnight of a `dd-mm-yyyy` (ms since the epoch). @throws {AppError} 400 for a day that there is not. */
function dayOf(text: string): number {
  const [, day, month, year] = /^(\d{1,2})-(\d{1,2})-(\d{4})$/.exec(text) ?? [];
  const at = Date.UTC(Number(year), Number(month) - 1, Number(day));
  if (Number.isNaN(at) || new Date(at).getUTCDate() !== Number(day) || at < 0) throw noDay();
  return at;
}

function textOf(day: number): string {
  const [year, month, date] = new Date(day).toISOString().slice(0, 10).split('-');
  return [date, month, year].join('-');
}
