import { createCandlePartitions } from './features/history/queries/candle-partitions.ts';
import { createCandleRolls } from './features/history/queries/candle-rolls.ts';
import { createCandleQueries } from './features/history/queries/candles.ts';
import { createHistoryAsks } from './features/history/queries/history-requests.ts';
import type { HistoryDeps } from '../workers/processors/history/backfill-history.ts';
import type { RefreshDeps } from '../workers/processors/upstream/refresh-outcome.ts';
import type { Config } from './platform/config/load-config.ts';
import { createCandleKeeping } from './features/history/candle-maintenance.ts';
import { createHistoryReader } from './features/history/history-reader.ts';
import { createTickRecorder } from './features/history/tick-recorder.ts';
import type { AppDeps } from './app-deps.ts';
import type { Logger } from './platform/observability/logger.ts';
import type { Shutdown } from './platform/observability/shutdown.ts';
import type { Pipeline } from './pipeline.ts';
import { createHistoryKick } from './features/history/enqueue-backfill.ts';

/** Price history, wired: what workers write and upkeep keeps, and what API processes read. A composition root like the pipeline. */

interface HistoryRequest {
  readonly config: Pick<Config, 'HISTORY_KEEP_5M' | 'HISTORY_KEEP_1H'>;
  readonly log: Logger;
  readonly shutdown: Shutdown;
  readonly pipeline: Pipeline;
}

/** The writing side, for workers of the `refresh` queue. */
export function buildHistoryWriting({
  log,
  shutdown,
  pipeline: { knex },
}: HistoryRequest): HistoryDeps & Required<Pick<RefreshDeps, 'observe'>> {
  const candles = createCandleQueries(knex);
  const recorder = createTickRecorder({ candles, log });
  shutdown.add('queues', 'candles', () => recorder.close());
  return {
    candles,
    partitions: createCandlePartitions(knex),
    asks: createHistoryAsks(knex),
    observe: (quotes) => recorder.observe(quotes),
  };
}

/** What keeps candles in order, for workers of the `upkeep` queue. */
export function buildHistoryKeeping({
  config,
  pipeline: { knex, clock },
}: Pick<HistoryRequest, 'config' | 'pipeline'>): ReturnType<typeof createCandleKeeping> {
  const retention = { '5m': config.HISTORY_KEEP_5M, '1h': config.HISTORY_KEEP_1H };
  const parts = {
    rolls: createCandleRolls(knex),
    partitions: createCandlePartitions(knex),
    asks: createHistoryAsks(knex),
  };
  return createCandleKeeping({ ...parts, retention, clock });
}

/** The reading side, for API processes. */
export function buildHistoryReading({
  log,
  pipeline: { knex, clock, queues },
}: Pick<HistoryRequest, 'log' | 'pipeline'>): Pick<AppDeps, 'history'> {
  const candles = createCandleQueries(knex);
  const kick = createHistoryKick(queues);
  return { history: createHistoryReader({ candles, asks: createHistoryAsks(knex), kick, clock, log }) };
}
