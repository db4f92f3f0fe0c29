import type { RunQueries } from '../../db/queries/runs.ts';
import { registry, type ClientJobName, type JobData } from '../../jobs/registry.ts';
import type { Logger } from '../../src/lib/logger.ts';
import type { Queues } from '../../src/queue/queues.ts';
import type { ProcessorsOf } from '../runtime/processor.ts';

export interface UpkeepDeps {
  readonly runs: RunQueries;
  readonly queues: Queues;
  readonly log: Logger;
  readonly retentionSeconds: number;
  /** Deletes ledger rows that no window and no month needs any more. Returns their number. */
  readonly purgeLedger: () => Promise<number>;
}

/** A row this old (s) without an end is looked after; younger ones are most likely just being added. */
const reconcileAfterSeconds = 3;
/** Works looked after at a time, the oldest first. */
const reconcileLimit = 1_000;

/** The processors of the `upkeep` queue. */
export function createUpkeepProcessors(deps: UpkeepDeps): ProcessorsOf<'upkeep'> {
  return {
    'jobs.reconcile': async () => ({ added: await reconcile(deps) }),
    'jobs.purge': async () => ({
      deleted: (await deps.runs.purge(deps.retentionSeconds)) + (await deps.purgeLedger()),
    }),
  };
}

/**
 * Adds every open work again. Deduplication makes that harmless for work that is queued or running, so there is no need to
 * find out which of it Redis has lost.
 */
async function reconcile({ runs, queues, log }: UpkeepDeps): Promise<number> {
  const works = await runs.openWork(reconcileAfterSeconds, reconcileLimit);
  for (const { name, workKey, submission } of works) {
    if (!isClientJob(name)) {
      log.error({ name, workKey }, 'an open job has a name that is not known');
      continue;
    }
    await queues.add(name, { ...submission, workKey } as JobData<ClientJobName>, {
      deduplication: { id: workKey },
    });
  }
  return works.length;
}

function isClientJob(name: string): name is ClientJobName {
  return name in registry && registry[name as keyof typeof registry].queue === 'requests';
}
