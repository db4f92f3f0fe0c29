import type { CandleQueries, ChartPoint } from './queries/candles.ts';
import type { HistoryAsks, SeriesKey } from './queries/history-requests.ts';
import { findGaps, type Gaps } from './history-gaps.ts';

/** What is stored of a span, and what of it is missing. */
export interface SpanLook {
  readonly points: readonly ChartPoint[];
  readonly gaps: Gaps;
  /** The provider has said that it does not know the asset. */
  readonly isUnknown: boolean;
  /** All that is missing was refused: to ask again now would bring the same word. */
  readonly isRefused: boolean;
}

interface LookDeps {
  readonly candles: Pick<CandleQueries, 'points'>;
  readonly asks: Pick<HistoryAsks, 'within'>;
}

/** Milliseconds since the epoch. */
interface LookSpan {
  readonly from: number;
  readonly to: number;
  readonly now: number;
}

/**
 * Looks at a span of a series.
 * @throws {UnavailableError} Postgres does not answer.
 */
export async function lookAt(deps: LookDeps, series: SeriesKey, span: LookSpan): Promise<SpanLook> {
  const { assetId, currency, granularity } = series;
  const { from, to, now } = span;
  const [points, asked] = await Promise.all([
    deps.candles.points({ assetId, currency, granularity, from, to }),
    deps.asks.within(series, { from, to }),
  ]);
  const present = points.map(({ openTime }) => openTime);
  const gaps = findGaps({ from, to, now, granularity, present, asked });
  const outcomes = new Set(asked.map(({ outcome }) => outcome));
  const isBarred = gaps.missing === 0 && gaps.barred > 0;
  return {
    points,
    gaps,
    isUnknown: outcomes.has('unknown'),
    isRefused: isBarred && outcomes.has('refused') && !outcomes.has('failed'),
  };
}
