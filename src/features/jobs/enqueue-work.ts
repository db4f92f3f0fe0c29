import { isPortfolioJob, type ClientJobName, type JobData } from '../../../jobs/registry.ts';
import { requesterText, type Requester } from '../../domain/requester.ts';
import type { Queues } from '../../platform/queue/queues.ts';

/**
 * Adds the job of a client's work to its queue; equal work shares one job. Small work goes first, as its quotes do in demand.
 * For jobs on portfolios, which cost worker time instead, every user's first job goes before any user's second, so that a user
 * with many jobs waits behind users with few.
 * @throws {Error} Redis does not accept it.
 */
export async function enqueueWork(
  queues: Pick<Queues, 'add'>,
  work: {
    readonly name: ClientJobName;
    readonly workKey: string;
    /** Who asked for it first. */
    readonly requester: Requester;
    readonly submission: object;
    /** Number of requested assets. */
    readonly total: number;
    /** Unfinished jobs on portfolios that the user had before. */
    readonly ahead: number;
  },
): Promise<void> {
  const { name, workKey, requester, submission, total, ahead } = work;
  const data = { ...submission, workKey, requester: requesterText(requester) };
  await queues.add(name, data as unknown as JobData<ClientJobName>, {
    deduplication: { id: workKey },
    priority: isPortfolioJob(name) ? 1 + ahead : total,
  });
}
