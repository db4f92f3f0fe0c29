import { granularities, granularityMs, type Granularity } from '../../../src/domain/history.ts';
import { dayMs } from '../../../src/features/history/chart.ts';
import type { HistoryService } from '../../../src/features/history/history-service.ts';
import type { Config } from '../../../src/platform/config/load-config.ts';
import type { Logger } from '../../../src/platform/observability/logger.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import type { WorkerModule } from '../../runtime/processor.ts';
import { backfillHistory, type BackfillSources } from './backfill-history.ts';

/** Partitions are created this far ahead (ms): if maintenance fails, there is time until candles go to a default one. */
const aheadMs: Readonly<Record<Granularity, number>> = {
  '5m': 3 * dayMs,
  '1h': 10 * dayMs,
  '1d': 40 * dayMs,
};

/**
 * Processors of price history: the job that fills gaps, and the one that maintains candles: it creates partitions ahead, rolls
 * up hours and days, and drops what is past its retention, but nothing that is not rolled up yet. It may run twice at the same
 * time.
 */
export function createHistoryProcessors(
  { config, clock, log }: Pick<Platform, 'config' | 'clock' | 'log'>,
  {
    history,
    sources,
  }: {
    readonly history: HistoryService;
    /** Opened if `refresh` is served. */
    readonly sources: () => BackfillSources;
  },
) {
  return {
    processors: {
      refresh: () => {
        const deps = { ...sources(), ...history, clock, log };
        return { 'history.backfill': (job, context) => backfillHistory(deps, job, context) };
      },
      maintenance: () => {
        const { partitions, rolls } = history;
        const reportAge = createAgeReport(log);
        return {
          /** Returns the number of hourly and daily candles that are new or have changed. */
          'candles.roll': async () => {
            const now = clock.now();
            let written = 0;
            try {
              ({ written } = await rolls.roll(now));
            } finally {
              reportAge(await rolls.ages());
              for (const granularity of granularities) {
                await partitions.ensure({ granularity, from: now, to: now + aheadMs[granularity] });
              }
            }
            return { written };
          },
        };
      },
    },
    retentions: {
      'candles.purge': {
        async partitions() {
          const now = clock.now();
          const { dropped, deleted } = await history.partitions.purge(
            rolledUp(config, await history.rolls.watermarks(), now),
            now,
          );
          return dropped + deleted;
        },
      },
      'asks.purge': { history_asks: () => history.asks.purge() },
    },
  } satisfies WorkerModule;
}

/** How long (s) candles are kept: those that are not rolled up yet stay, at any age. */
function rolledUp(
  config: Pick<Config, 'HISTORY_RETENTION_5M' | 'HISTORY_RETENTION_1H'>,
  { '1h': hours, '1d': days }: Awaited<ReturnType<HistoryService['rolls']['watermarks']>>,
  now: number,
): Partial<Record<Granularity, number>> {
  const sinceWatermark = (watermark: number): number => (now - watermark) / 1000 + granularityMs['1h'] / 1000;
  return {
    ...(hours === undefined ? {} : { '5m': Math.max(config.HISTORY_RETENTION_5M, sinceWatermark(hours)) }),
    ...(days === undefined ? {} : { '1h': Math.max(config.HISTORY_RETENTION_1H, sinceWatermark(days)) }),
  };
}

/** It is a fault if candles are not rolled up for this time (s); the warning is repeated at this interval (ms). */
const lateSeconds = 900;
const reportEveryMs = 600_000;

/** Builds the report of how far candles are rolled up: a warning while they are late, and a message when that is over. */
function createAgeReport(log: Logger): (ages: Readonly<Record<string, number>>) => void {
  let reportedAt: number | undefined;
  return (ages) => {
    const age_seconds = Math.round(Math.max(0, ...Object.values(ages)));
    if (age_seconds <= lateSeconds) {
      if (reportedAt !== undefined)
        log.info({ age_seconds }, 'hourly and daily candles are up to date again');
      reportedAt = undefined;
    } else if (reportedAt === undefined || performance.now() - reportedAt >= reportEveryMs) {
      reportedAt = performance.now();
      log.warn(
        { age_seconds, ages },
        'hourly and daily candles are more than 15 min late, charts lack recent ones: are workers running, is Postgres slow?',
      );
    }
  };
}
