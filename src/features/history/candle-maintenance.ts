import type { CandlePartitions, CandleRetention } from './queries/candle-partitions.ts';
import type { CandleRolls } from './queries/candle-rolls.ts';
import type { HistoryAsks } from './queries/history-requests.ts';
import { dayMs } from './chart.ts';
import { granularities, type Granularity } from '../../domain/history.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';

interface KeepingDeps {
  readonly rolls: CandleRolls;
  readonly partitions: CandlePartitions;
  readonly asks: Pick<HistoryAsks, 'purge'>;
  readonly retention: CandleRetention;
  readonly clock: Clock;
}

/** What one round did. */
export interface KeepingRound {
  /** Candles of hours and days that are new or have changed. */
  readonly written: number;
  /** Partitions that went. */
  readonly dropped: number;
}

/** Partitions are made so far ahead (ms): whatever happens to upkeep has a while until candles lie in a default one. */
const aheadMs: Readonly<Record<Granularity, number>> = {
  '5m': 3 * dayMs,
  '1h': 10 * dayMs,
  '1d': 40 * dayMs,
};
const purgeEveryMs = 600_000;

/**
 * Builds the round that keeps candles in order: partitions ahead, hours and days rolled up, and what is past its retention dropped,
 * but nothing that is not rolled up yet. Two at the same time do no harm.
 */
export function createCandleKeeping(deps: KeepingDeps): () => Promise<KeepingRound> {
  const { rolls, partitions, asks, retention, clock } = deps;
  let purgedAt = -Infinity;
  return async () => {
    const now = clock.now();
    for (const granularity of granularities) {
      await partitions.ensure({ granularity, from: now, to: now + aheadMs[granularity] });
    }
    const { written, behind } = await rolls.roll(now);
    if (behind || now - purgedAt < purgeEveryMs) return { written, dropped: 0 };
    const { dropped } = await partitions.purge(retention, now);
    await asks.purge();
    purgedAt = now;
    return { written, dropped };
  };
}
