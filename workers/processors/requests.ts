import { v7 as uuidv7 } from 'uuid';
import type { JobQueries } from '../../db/queries/jobs.ts';
import type { RunQueries } from '../../db/queries/runs.ts';
import type { CollectQuotes } from '../../src/cache/collect-quotes.ts';
import type { HoldingRow } from '../../src/domain/aggregate.ts';
import type { QuoteReading } from '../../src/domain/cached-quote.ts';
import { workSubject, type JobEventLog } from '../../src/events/job-events.ts';
import type { Clock } from '../../src/lib/clock.ts';
import type { Logger } from '../../src/lib/logger.ts';
import type { JobContext, ProcessorsOf } from '../runtime/processor.ts';
import type { Aggregator } from '../runtime/thread-pool.ts';
import { PutBack } from '../runtime/put-back.ts';
import { RunProgress } from './run-progress.ts';

/**
 * Client jobs. One run serves every row with its work key; it waits for quotes, tells what it sees, and ends all rows that
 * still wait by one statement. Everything it does may be done twice: rows that have ended stay as they are.
 */
export interface RequestDeps {
  readonly jobs: Pick<JobQueries, 'countOpen'>;
  readonly runs: RunQueries;
  readonly collect: CollectQuotes;
  readonly aggregator: Aggregator;
  readonly events: JobEventLog;
  readonly clock: Clock;
  readonly log: Logger;
  /** Time (ms) after its submission at which a run completes with what it has. */
  readonly deadlineMs: number;
  /** A signal that aborts when nobody waits for the work any more. */
  readonly abandoned: (workKey: string) => { signal: AbortSignal; forget(): void };
}

/** A run that has waited too long for its turn still gets this long (ms) for its quotes. */
const leastWaitMs = 5_000;

interface Run {
  readonly workKey: string;
  readonly requester: string | undefined;
  readonly currency: string;
  readonly assetIds: readonly string[];
  readonly holdings?: readonly HoldingRow[];
}

/** The processors of the `requests` queue. */
export function createRequestProcessors(deps: RequestDeps): ProcessorsOf<'requests'> {
  return {
    'bulk.fetch': ({ workKey, requester, currency, assets }, context) =>
      runToEnd(deps, { workKey, requester, currency, assetIds: assets }, context),
    'portfolio.fetch': ({ workKey, requester, currency, holdings }, context) => {
      const assetIds = [...new Set(holdings.map(({ asset }) => asset))];
      return runToEnd(deps, { workKey, requester, currency, assetIds, holdings }, context);
    },
  };
}

/** Runs, and on the last attempt turns a failure into the end of all rows, so that no accepted job is left open. */
async function runToEnd(deps: RequestDeps, run: Run, context: JobContext): Promise<null> {
  const startedAt = new Date(deps.clock.now());
  try {
    await fetchAndComplete(deps, run, { context, startedAt });
    return null;
  } catch (error) {
    if (error instanceof PutBack || context.signal.aborted || !context.isLastAttempt) throw error;
    await failRows(deps, run.workKey, { code: 'job_failed', message: 'The job failed repeatedly' });
    throw error;
  }
}

interface RunFrame {
  readonly context: JobContext;
  readonly startedAt: Date;
}

async function fetchAndComplete(
  deps: RequestDeps,
  run: Run,
  { context, startedAt }: RunFrame,
): Promise<void> {
  const { workKey, requester, currency, assetIds, holdings } = run;
  const abandoned = deps.abandoned(workKey);
  const progress = new RunProgress({ ...deps, workKey, total: assetIds.length, startedAt });
  try {
    const readings = await deps.collect({
      currency,
      assetIds,
      urgency: 'interactive',
      requester,
      waitMs: Math.max(leastWaitMs, context.addedAt + deps.deadlineMs - startedAt.getTime()),
      signal: AbortSignal.any([context.waitSignal, abandoned.signal]),
      onSettled: (settled) => progress.settled(settled),
      onWait: () => progress.waits(),
    });
    const inOrder = assetIds.map(
      (assetId): QuoteReading => readings.get(assetId) ?? { assetId, state: 'pending', quote: undefined },
    );
    const fetchMs = deps.clock.now() - startedAt.getTime();
    const result = await deps.aggregator.run({ readings: inOrder, holdings, fetchMs });
    const body = typeof result === 'string' ? result : new TextDecoder().decode(result);
    // Who submits the same work from here on gets a run of its own; who did before is in the statement that follows.
    await context.releaseDeduplication();
    const ended = await deps.runs.complete({ workKey, startedAt }, uuidv7(), body);
    if (ended.length > 0) await progress.completed(ended);
  } catch (error) {
    if (!abandoned.signal.aborted) throw error;
    await endAbandoned(deps, workKey, context);
  } finally {
    abandoned.forget();
    await progress.flushed();
  }
}

/** Nobody waited for the work; if somebody came meanwhile, it is run after all. */
async function endAbandoned(deps: RequestDeps, workKey: string, context: JobContext): Promise<void> {
  await context.releaseDeduplication();
  if ((await deps.jobs.countOpen(workKey)) > 0) throw new PutBack('wanted again');
}

/** Ends all rows of a run as failed and says so. */
export async function failRows(
  deps: Pick<RequestDeps, 'runs' | 'events' | 'clock'>,
  workKey: string,
  error: { code: string; message: string },
): Promise<void> {
  const ended = await deps.runs.fail({ workKey, startedAt: new Date(deps.clock.now()) }, error);
  if (ended.length === 0) return;
  await deps.events.append(workSubject(workKey), [
    { type: 'job.failed', data: { state: 'failed', error }, jobs: ended },
  ]);
}
