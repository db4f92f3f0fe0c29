/**
 * Learns from the provider what the budget is. `tier.check` checks every minute whether the provider has reported its limits
 * within a day; `tier.refresh` asks. This also shows the calls that others make with the same key. An attempt is recorded
 * before its call, so that a provider that reports nothing is not asked every minute.
 */
import type { Redis } from 'ioredis';
import type { JobResult } from '../../../jobs/registry.ts';
import { messageOf } from '../../../src/domain/errors.ts';
import type { Logger } from '../../../src/platform/observability/logger.ts';
import type { Budget } from '../../../src/features/upstream/budget/budget.ts';
import { parseKeyResponse } from '../../../src/features/upstream/budget/tier.ts';
import { startStopwatch } from '../../../src/features/upstream/call-signal.ts';
import type { PriceProvider } from '../../../src/features/upstream/provider.ts';
import type { RequestLimiter } from '../../../src/features/upstream/request-limiter-contract.ts';
import type { Queues } from '../../../src/platform/queue/queues.ts';
import type { JobContext } from '../../runtime/processor.ts';
import { Requeue } from '../../runtime/requeue.ts';
import { callUpstream, waitOf } from './upstream-call.ts';

/** `tier.refresh`: asks the provider for the limits of our key, with one upstream call, and updates the budget. */
export async function refreshTier(
  {
    provider,
    limiter,
    budget,
    log,
  }: {
    readonly provider: Pick<PriceProvider, 'fetchDocument'>;
    readonly limiter: RequestLimiter;
    readonly budget: Pick<Budget, 'applyReportedLimits'>;
    readonly log: Logger;
  },
  context: JobContext,
): Promise<JobResult<'tier.refresh'>> {
  if (provider.fetchDocument === undefined) return { reported: false };
  try {
    const since = { requested: startStopwatch() };
    const text = await callUpstream({ limiter, urgency: 'stream', context }, async (grant) => {
      since.requested = startStopwatch();
      const signal = AbortSignal.any([grant.signal, context.signal]);
      return await provider.fetchDocument?.({ path: '/key', signal });
    });
    if (text === undefined) return { reported: false };
    const reported = parseKeyResponse(text);
    await budget.applyReportedLimits({ ...reported, agoMs: since.requested.elapsedMs() });
    log.info(reported, 'the provider reported the limits of the API key; they are used from now on');
    return { reported: true };
  } catch (error) {
    const waitMs = waitOf(error);
    if (waitMs !== undefined) throw new Requeue('no budget', waitMs);
    log.warn(
      { reason: messageOf(error) },
      'the provider did not report the limits of the API key; the limits known so far stay in use',
    );
    return { reported: false };
  }
}

const reportEveryMs = 86_400_000;
const attemptEveryMs = 3_600_000;

/** Whether the provider is to be asked now. */
export async function checkTier({
  redis,
  queues,
  attemptKey,
  reportedAgoMs,
}: {
  readonly redis: Redis;
  readonly queues: Pick<Queues, 'add'>;
  /** Key under which the last attempt is recorded. */
  readonly attemptKey: string;
  /** How long ago (ms) the provider has told; undefined when it never has. */
  readonly reportedAgoMs: () => Promise<number | undefined>;
}): Promise<boolean> {
  const agoMs = await reportedAgoMs();
  if (agoMs !== undefined && agoMs < reportEveryMs) return false;
  if ((await redis.set(attemptKey, '1', 'PX', attemptEveryMs, 'NX')) === null) return false;
  await queues.add('tier.refresh', {}, { deduplication: { id: 'tier' } });
  return true;
}
