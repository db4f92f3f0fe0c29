import { granularities, type Granularity } from '../../../src/domain/history.ts';
import { dayMs } from '../../../src/features/history/chart.ts';
import type { HistoryService } from '../../../src/features/history/history-service.ts';
import { createCandleRolls } from '../../../src/features/history/queries/candle-rolls.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import type { Processor } from '../../runtime/processor.ts';
import { backfillHistory, type BackfillSources } from './backfill-history.ts';

/** Partitions are made so far ahead (ms): an upkeep that fails has a while until candles lie in a default one. */
const aheadMs: Readonly<Record<Granularity, number>> = {
  '5m': 3 * dayMs,
  '1h': 10 * dayMs,
  '1d': 40 * dayMs,
};
const purgeEveryMs = 600_000;

/** The processor of the `refresh` queue that fills gaps. */
export function createHistoryProcessors(
  { clock, log }: Pick<Platform, 'clock' | 'log'>,
  services: { readonly history: HistoryService } & BackfillSources,
) {
  const deps = { ...services, ...services.history, clock, log };
  const backfill: Processor<'history.backfill'> = (job, context) => backfillHistory(deps, job, context);
  return { 'history.backfill': backfill };
}

/**
 * The processor of the `upkeep` queue, which keeps candles in order: partitions ahead, hours and days rolled up, and what is
 * past its retention dropped, but nothing that is not rolled up yet. Two at the same time do no harm.
 */
export function createHistoryMaintenance(
  { config, clock, knex }: Pick<Platform, 'config' | 'clock' | 'knex'>,
  { history: { partitions, asks } }: { readonly history: HistoryService },
) {
  const retention = { '5m': config.HISTORY_KEEP_5M, '1h': config.HISTORY_KEEP_1H };
  const rolls = createCandleRolls(knex);
  let purgedAt = -Infinity;
  return {
    /** Returns candles of hours and days that are new or have changed, and partitions that went. */
    'candles.roll': async (): Promise<{ readonly written: number; readonly dropped: number }> => {
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
    },
  };
}
