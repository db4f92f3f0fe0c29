import { createCandlePartitions } from '../db/queries/candle-partitions.ts';
import { createCandleRolls } from '../db/queries/candle-rolls.ts';
import { createCandleQueries } from '../db/queries/candles.ts';
import { createHistoryAsks } from '../db/queries/history-asks.ts';
import type { HistoryDeps } from '../workers/processors/backfill-history.ts';
import type { RefreshDeps } from '../workers/processors/refresh-outcome.ts';
import type { UpkeepDeps } from '../workers/processors/upkeep.ts';
import type { Config } from './config/load-config.ts';
import { createCandleKeeping } from './history/candle-keeping.ts';
import { createHistoryReader } from './history/history-reader.ts';
import { createTickRecorder } from './history/tick-recorder.ts';
import type { AppDeps } from './http/deps.ts';
import type { Logger } from './lib/logger.ts';
import type { Shutdown } from './lib/shutdown.ts';
import type { Pipeline } from './pipeline.ts';
import { createHistoryKick } from './queue/kick-history.ts';

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
}: Pick<HistoryRequest, 'config' | 'pipeline'>): Pick<UpkeepDeps, 'keepCandles'> {
  const retention = { '5m': config.HISTORY_KEEP_5M, '1h': config.HISTORY_KEEP_1H };
  const parts = {
    rolls: createCandleRolls(knex),
    partitions: createCandlePartitions(knex),
    asks: createHistoryAsks(knex),
  };
  return { keepCandles: createCandleKeeping({ ...parts, retention, clock }) };
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
