/**
 * Attempts to deliver webhooks. The row decides: a job that comes twice, too early or too late finds nothing to do. What an
 * attempt came to is written before the next one is queued; should either be lost, the row is found due again, so that every
 * webhook is delivered at least once or ends as a dead letter.
 */
import type { JobQueries } from '../../../src/features/jobs/queries/jobs.ts';
import type {
  ClaimedDelivery,
  WebhookAttemptQueries,
} from '../../../src/features/webhooks/queries/webhook-attempts.ts';
import { maxBodyBytes } from '../../../src/features/webhooks/queries/webhook-deliveries.ts';
import type { Clock } from '../../../src/platform/concurrency/clock.ts';
import { messageOf } from '../../../src/domain/errors.ts';
import type { Logger } from '../../../src/platform/observability/logger.ts';
import type { QueueAttempt } from '../../../src/features/webhooks/webhook-outbox.ts';
import { jobEventBody } from '../../../src/features/webhooks/job-event.ts';
import type { SendWebhook } from '../../../src/features/webhooks/send.ts';
import type { WebhookSigner } from '../../../src/features/webhooks/signature.ts';
import type { AttemptTurns } from '../../../src/features/webhooks/attempt-limits.ts';
import { verdictOf, type Attempted, type VerdictRules } from '../../../src/features/webhooks/verdict.ts';
import type { JobContext, Processor } from '../../runtime/processor.ts';
import { PutBack } from '../../runtime/requeue.ts';

export interface DeliverDeps {
  readonly attempts: WebhookAttemptQueries;
  readonly jobs: Pick<JobQueries, 'find'>;
  readonly queueAttempt: QueueAttempt;
  readonly send: SendWebhook;
  readonly signer: WebhookSigner;
  readonly turns: AttemptTurns;
  readonly rules: VerdictRules;
  readonly clock: Clock;
  readonly log: Logger;
  /** Counts what attempts came to, for metrics. Must not throw. */
  readonly count: (outcome: 'delivered' | 'failed' | 'dead') => void;
}

/** An attempt that has not ended after so long (s) counts as lost: longer than one can take. */
const attemptSeconds = 30;

/** Makes one attempt to deliver a webhook. */
export function createWebhookDeliver(deps: DeliverDeps): Processor<'webhook.deliver'> {
  return async ({ deliveryId }, context) => {
    const waiting = await deps.attempts.waiting(deliveryId);
    if (waiting === undefined) return null;
    const owners = { host: new URL(waiting.url).host, user: waiting.userId };
    const turn = deps.turns.enter(owners, context.start > 1);
    if ('comeBackMs' in turn) throw new PutBack('all turns are taken', turn.comeBackMs);
    let tookMs: number | undefined;
    const timed: SendWebhook = async (request) => {
      const begunAt = performance.now();
      try {
        return await deps.send(request);
      } finally {
        tookMs = performance.now() - begunAt;
      }
    };
    try {
      const claimed = await deps.attempts.claim(deliveryId, attemptSeconds);
      if (claimed !== undefined) await attempt({ ...deps, send: timed }, claimed, context);
      return null;
    } finally {
      turn.leave(tookMs);
    }
  };
}

async function attempt(deps: DeliverDeps, claimed: ClaimedDelivery, context: JobContext): Promise<void> {
  const attempted = await tryToSend(deps, claimed, context);
  const { id, attempt: number } = claimed;
  const next = verdictOf(attempted, number, deps.rules);
  const { status = null, error = null } = attempted;
  const isNoted = await deps.attempts.settle({ id, attempt: number, status, error, next });
  if (!isNoted) return;
  deps.count(typeof next === 'string' ? next : 'failed');
  const told = {
    delivery: id,
    user: claimed.userId,
    attempt: number,
    host: new URL(claimed.url).host,
    error,
  };
  if (next === 'dead') deps.log.warn(told, 'a webhook was given up');
  if (typeof next === 'string') return;
  deps.log.debug(told, 'a webhook is to be tried again');
  await deps.queueAttempt({ id, attempts: number }, next.afterMs);
}

/** @throws {PutBack} the process is about to end: the attempt is given back. */
async function tryToSend(
  deps: DeliverDeps,
  claimed: ClaimedDelivery,
  { callSignal }: JobContext,
): Promise<Attempted> {
  try {
    if (claimed.isOrphan) return { error: 'The account was deleted', isHopeless: true };
    const body = claimed.body ?? (await bodyOfJob(deps, claimed.id));
    if (body === undefined) return { error: 'The job is not kept any more', isHopeless: true };
    const timestamp = Math.floor(deps.clock.now() / 1000);
    const headers = {
      'content-type': 'application/json',
      'user-agent': 'Pricepool-Webhooks/1',
      ...deps.signer.headersOf({ id: claimed.id, timestamp, body }, claimed),
    };
    return await deps.send({ url: claimed.url, headers, body, signal: callSignal });
  } catch (error) {
    await deps.attempts.giveBack(claimed);
    if (callSignal.aborted) throw new PutBack('the process is about to end');
    deps.log.warn({ delivery: claimed.id, reason: messageOf(error) }, 'an attempt could not be made');
    throw error;
  }
}

async function bodyOfJob({ jobs }: DeliverDeps, id: string): Promise<string | undefined> {
  const job = await jobs.find(id);
  return job === undefined ? undefined : jobEventBody(job, maxBodyBytes);
}
