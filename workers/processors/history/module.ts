import { granularities, type Granularity } from '../../../src/domain/history.ts';
import { dayMs } from '../../../src/features/history/chart.ts';
import type { HistoryService } from '../../../src/features/history/history-service.ts';
import { createCandleRolls } from '../../../src/features/history/queries/candle-rolls.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import type { WorkerModule } from '../../runtime/processor.ts';
import { backfillHistory, type BackfillSources } from './backfill-history.ts';

/** Partitions are made so far ahead (ms): an upkeep that fails has a while until candles lie in a default one. */
const aheadMs: Readonly<Record<Granularity, number>> = {
  '5m': 3 * dayMs,
  '1h': 10 * dayMs,
  '1d': 40 * dayMs,
};
const purgeEveryMs = 600_000;

/**
 * What prices of the past give workers: the job that fills gaps, and the one that keeps candles in order: partitions ahead, hours
 * and days rolled up, and what is past its retention dropped, but nothing that is not rolled up yet. Two at the same time do no harm.
 */
export function createHistoryProcessors(
  { config, clock, knex, log }: Pick<Platform, 'config' | 'clock' | 'knex' | 'log'>,
  {
    history,
    sources,
  }: {
    readonly history: HistoryService;
    /** Opened where `refresh` is served. */
    readonly sources: () => BackfillSources;
  },
) {
  return {
    processors: {
      refresh: () => {
        const deps = { ...sources(), ...history, clock, log };
        return { 'history.backfill': (job, context) => backfillHistory(deps, job, context) };
      },
      upkeep: () => {
        const { partitions, asks } = history;
        const retention = { '5m': config.HISTORY_KEEP_5M, '1h': config.HISTORY_KEEP_1H };
        const rolls = createCandleRolls(knex);
        let purgedAt = -Infinity;
        return {
          /** Returns candles of hours and days that are new or have changed, and partitions that went. */
          'candles.roll': async () => {
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
      },
    },
  } satisfies WorkerModule;
}
