import type { JobData } from '../../../jobs/registry.ts';
import { granularityMs } from '../../domain/history.ts';
import { urgencies } from '../../domain/quote.ts';
import type { Platform } from '../../platform/platform.ts';
import { createHistoryReader } from './history-reader.ts';
import { createCandlePartitions } from './queries/candle-partitions.ts';
import { createCandleRolls } from './queries/candle-rolls.ts';
import { createCandleQueries } from './queries/candles.ts';
import { createBackfillRequests } from './queries/history-requests.ts';
import { createRequestCloses } from './request-closes.ts';
import { TickRecorder } from './tick-recorder.ts';

export type HistoryService = ReturnType<typeof createHistoryService>;

/** Builds the service of prices of the past. Its methods throw {@link UnavailableError} when Postgres does not answer. */
export function createHistoryService({
  knex,
  queues,
  clock,
  log,
  shutdown,
}: Pick<Platform, 'knex' | 'queues' | 'clock' | 'log' | 'shutdown'>) {
  const candles = createCandleQueries(knex);
  const asks = createBackfillRequests(knex);

  /**
   * Adds a job that requests points of the past, unless one waits or runs for the same piece and urgency. Rejects when
   * Redis does not take the job.
   */
  async function enqueue(wanted: JobData<'history.backfill'>): Promise<void> {
    const { assetId, currency, granularity, to, urgency } = wanted;
    const chunk = Math.floor(to / granularityMs[granularity]);
    await queues.add('history.backfill', wanted, {
      deduplication: { id: `history-${currency}-${granularity}-${chunk}-${urgency}-${assetId}` },
      priority: urgencies.indexOf(urgency) + 1,
    });
  }

  const reading = { candles, asks, enqueue, clock, log };
  return {
    ...createHistoryReader(reading),
    /** The last daily close of each asset before a moment (ms since the epoch), by asset; those without any are missing. */
    closesBefore: candles.closesBefore,
    /** The last price of each UTC day of a span, by asset; assets without any are missing. What is stored, and nothing is asked for. */
    dailyCloses: (requested: Parameters<typeof candles.dailyCloses>[0]) => candles.dailyCloses(requested),
    /** Asks for daily prices that something lacked. Never rejects. */
    requestCloses: createRequestCloses(reading),
    candles,
    asks,
    partitions: createCandlePartitions(knex),
    rolls: createCandleRolls(knex),

    /** Starts to write observed prices into candles, until shutdown; to be called once in a process. */
    openRecorder(): TickRecorder {
      const recorder = new TickRecorder({ candles, log });
      shutdown.add('queues', 'candles', () => recorder.close());
      return recorder;
    },
  };
}
