import type { JobData } from '../../../jobs/registry.ts';
import { granularityMs } from '../../domain/history.ts';
import { urgencies } from '../../domain/quote.ts';
import type { Queues } from '../../platform/queue/queues.ts';

/** Makes sure that a job asks for points of the past. At most one waits or runs for the same piece and urgency. */
export type KickHistory = (wanted: JobData<'history.backfill'>) => Promise<void>;

/** Builds a {@link KickHistory}. It rejects when Redis does not take the job. */
export function createHistoryKick(queues: Pick<Queues, 'add'>): KickHistory {
  return async (wanted) => {
    const { assetId, currency, granularity, to, urgency } = wanted;
    const piece = Math.floor(to / granularityMs[granularity]);
    await queues.add('history.backfill', wanted, {
      deduplication: { id: `history-${currency}-${granularity}-${piece}-${urgency}-${assetId}` },
      priority: urgencies.indexOf(urgency) + 1,
    });
  };
}
