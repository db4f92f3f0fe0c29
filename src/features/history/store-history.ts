import type { createCandlePartitions } from './queries/candle-partitions.ts';
import type { CandleQueries } from './queries/candles.ts';
import type { SeriesKey } from './queries/history-requests.ts';
import { candleOf, type Candle } from '../../domain/candle.ts';
import { granularityMs, type Granularity, type HistoryPoint } from '../../domain/history.ts';

/** A point within this distance (ms) of midnight also counts as the point of that day. */
const dayStartMs = 3_600_000;

/**
 * Stores points of the past, the first of each interval. Those at the start of a day are also stored as points of days,
 * because days are kept without end. Partitions must exist ({@link makeRoom}).
 * @throws {UnavailableError} Postgres does not answer.
 */
export async function storePoints(
  candles: Pick<CandleQueries, 'storePoints'>,
  /** Points of one asset in one currency in any order, and their source. */
  series: SeriesKey & { readonly points: readonly HistoryPoint[]; readonly source: string },
): ReturnType<CandleQueries['storePoints']> {
  const stored = await candles.storePoints(series.granularity, firstOfEach(series, series.granularity));
  if (series.granularity !== '1d') {
    const days = firstOfEach(series, '1d').filter(({ firstAt, openTime }) => firstAt - openTime < dayStartMs);
    await candles.storePoints('1d', days);
  }
  return stored;
}

/**
 * Creates the partitions that points of a span need. Not within a transaction that has stored something.
 * @throws {UnavailableError} Postgres does not answer.
 * @throws {RangeError} the span is too long for its granularity.
 */
export async function makeRoom(
  partitions: Pick<ReturnType<typeof createCandlePartitions>, 'ensure'>,
  span: { readonly granularity: Granularity; readonly from: number; readonly to: number },
): Promise<void> {
  await partitions.ensure(span);
  if (span.granularity !== '1d') await partitions.ensure({ ...span, granularity: '1d' });
}

function firstOfEach(
  { points, ...about }: Parameters<typeof storePoints>[1],
  granularity: Granularity,
): readonly Candle[] {
  const { assetId, currency, source } = about;
  const first = new Map<number, Candle>();
  for (const point of points) {
    const candle = candleOf({ ...point, assetId, currency, source }, granularityMs[granularity]);
    const known = first.get(candle.openTime);
    if (known === undefined || candle.firstAt < known.firstAt) first.set(candle.openTime, candle);
  }
  return [...first.values()];
}
