import type { OpenWork, RunQueries } from '../../../src/features/jobs/queries/runs.ts';
import { isClientJob, isPortfolioJob, type ClientJobName, type JobData } from '../../../jobs/registry.ts';
import { requesterText } from '../../../src/domain/requester.ts';
import type { Logger } from '../../../src/platform/observability/logger.ts';
import { turnOf } from '../../../src/features/jobs/job-priority.ts';
import type { Queues } from '../../../src/platform/queue/queues.ts';
import type { ProcessorsOf } from '../../runtime/processor.ts';

export interface UpkeepDeps {
  readonly runs: RunQueries;
  readonly queues: Queues;
  readonly log: Logger;
  readonly retentionSeconds: number;
  /** Deletes ledger rows that no window and no month needs any more. Returns their number. */
  readonly purgeLedger: () => Promise<number>;
  /** Releases names of deleted accounts, deletes expired credentials and old audit events. Returns the number of rows. */
  readonly purgeAccess: () => Promise<number>;
  /** Deletes what is left of portfolios that were deleted long ago. Returns the number of rows. */
  readonly purgePortfolios: () => Promise<number>;
  /** Rolls up candles, makes partitions and drops old ones. */
  readonly keepCandles: () => Promise<{ readonly written: number; readonly dropped: number }>;
  /** Sees to it that the list of assets is fetched when that is due. Whether something was. */
  readonly checkAssets: () => Promise<boolean>;
  /** Sees to it that the provider is asked for the limits of our key when that is due. Whether it is. */
  readonly checkTier: () => Promise<boolean>;
  /** Wants what is read often and about to stop being fresh. Returns the number of calls that it takes. */
  readonly warm: () => Promise<number>;
  /** Queues webhooks that are due and that Redis may have lost. Returns their number. */
  readonly checkWebhooks: () => Promise<number>;
  /** Deletes webhooks that are past their retention. Returns their number. */
  readonly purgeWebhooks: () => Promise<number>;
  /** Deletes uploads and results of imports that are past their time. Returns the number of rows. */
  readonly purgeImports: () => Promise<number>;
  /** Takes snapshots of portfolios whose day has ended, and deletes old ones. */
  readonly keepSnapshots: () => Promise<{ readonly stored: number; readonly deleted: number }>;
  /** Has the books of portfolios updated that are behind. Returns their number. */
  readonly checkBooks: () => Promise<number>;
}

/** Where the last look of this process ended; undefined at the begin. */
interface Position {
  after: string | undefined;
}

/** A row this old (s) without an end is looked after; younger ones are most likely just being added. */
const reconcileAfterSeconds = 3;
/** Rows looked after at a time, the oldest first. */
const reconcileLimit = 1_000;
/** Pages of one look; the next look goes on behind them, so that a long backlog hides nothing. */
const pagesPerLook = 5;

/** The processors of the `upkeep` queue. */
export function createUpkeepProcessors(deps: UpkeepDeps): ProcessorsOf<'upkeep'> {
  const position: Position = { after: undefined };
  return {
    'jobs.reconcile': async () => ({ added: await reconcile(deps, position) }),
    'assets.check': async () => ({ kicked: await deps.checkAssets() }),
    'tier.check': async () => ({ kicked: await deps.checkTier() }),
    'quotes.warm': async () => ({ calls: await deps.warm() }),
    'books.check': async () => ({ added: await deps.checkBooks() }),
    'candles.roll': () => deps.keepCandles(),
    'snapshots.check': () => deps.keepSnapshots(),
    'webhooks.check': async () => ({ added: await deps.checkWebhooks() }),
    'jobs.purge': async () => ({
      deleted:
        (await deps.runs.purge(deps.retentionSeconds)) +
        (await deps.purgeLedger()) +
        (await deps.purgeAccess()) +
        (await deps.purgeWebhooks()) +
        (await deps.purgePortfolios()) +
        (await deps.purgeImports()),
    }),
  };
}

/**
 * Adds every open work again. Deduplication makes that harmless for work that is queued or running, so there is no need to
 * find out which of it Redis has lost.
 */
async function reconcile(deps: UpkeepDeps, position: Position): Promise<number> {
  let added = 0;
  /** Jobs on portfolios that this look has found, by user: their turns, as they were when they were submitted. */
  const found = new Map<string, number>();
  const aheadOf = ({ name, requester: { userId } }: OpenWork): number => {
    if (!isPortfolioJob(name)) return 0;
    const ahead = found.get(userId) ?? 0;
    found.set(userId, ahead + 1);
    return ahead;
  };
  for (let page = 0; page < pagesPerLook; page++) {
    const { works, next } = await deps.runs.openWork({
      seconds: reconcileAfterSeconds,
      limit: reconcileLimit,
      after: position.after,
    });
    await Promise.all(works.map((work) => addAgain(deps, work, aheadOf(work))));
    added += works.length;
    position.after = next;
    if (next === undefined) break;
  }
  return added;
}

async function addAgain(
  { queues, log }: UpkeepDeps,
  { name, workKey, requester, submission, total }: OpenWork,
  ahead: number,
): Promise<void> {
  if (!isClientJob(name)) {
    log.error({ name, workKey }, 'an open job has a name that is not known');
    return;
  }
  const data = { ...submission, workKey, requester: requesterText(requester) } as JobData<ClientJobName>;
  await queues.add(name, data, turnOf({ name, workKey, total, ahead }));
}
