import type {
  ChartRead,
  ChartReading,
  HistoryReader,
  OhlcReading,
} from '../../../src/features/history/history-reader.ts';
import type { DailyCloses, DayPoint } from '../../../src/features/history/queries/candles.ts';

/** A history as a test puts it; remembers what was asked for. */
export class FakeHistory implements HistoryReader {
  readonly requested: ChartRead[] = [];
  reading: ChartReading = { points: [], state: 'unknown' };
  candles: OhlcReading = { candles: [], missing: 1 };
  days: readonly DayPoint[] = [];
  readonly rolls = { ages: () => Promise.resolve({}) };

  chart(requested: ChartRead): Promise<ChartReading> {
    this.requested.push(requested);
    return Promise.resolve(this.reading);
  }

  ohlc(): Promise<OhlcReading> {
    return Promise.resolve(this.candles);
  }

  startOf(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  dayOf(): Promise<readonly DayPoint[]> {
    return Promise.resolve(this.days);
  }

  dailyCloses(): Promise<ReadonlyMap<string, DailyCloses>> {
    return Promise.resolve(new Map());
  }
}
