/**
 * Attempts to deliver webhooks. The row decides: a job that comes twice, too early or too late finds nothing to do. What an
 * attempt came to is written before the next one is queued; should either be lost, the row is found due again, so that every
 * webhook is delivered at least once or ends as a dead letter.
 */
import { messageOf } from '../../../src/domain/errors.ts';
import type { JobRecord } from '../../../src/domain/job.ts';
import { jobJson, presentJob } from '../../../src/domain/job-text.ts';
import type { createAttemptSlots } from '../../../src/features/webhooks/attempt-limits.ts';
import {
  maxBodyBytes,
  type ClaimedDelivery,
} from '../../../src/features/webhooks/queries/webhook-deliveries.ts';
import type { SendWebhook } from '../../../src/features/webhooks/send.ts';
import { verdictOf, type Attempted } from '../../../src/features/webhooks/verdict.ts';
import type { WebhookService } from '../../../src/features/webhooks/webhook-service.ts';
import type { Clock } from '../../../src/platform/concurrency/clock.ts';
import type { Logger } from '../../../src/platform/observability/logger.ts';
import type { JobContext, Processor } from '../../runtime/processor.ts';
import { Requeue } from '../../runtime/requeue.ts';

export interface DeliverDeps {
  readonly webhooks: Pick<WebhookService, 'deliveries' | 'queueAttempt' | 'signer'>;
  /** The job whose end a delivery without a body is about. */
  readonly findJob: (id: string) => Promise<JobRecord | undefined>;
  readonly send: SendWebhook;
  readonly slots: ReturnType<typeof createAttemptSlots>;
  readonly rules: Parameters<typeof verdictOf>[2];
  readonly clock: Clock;
  readonly log: Logger;
  /** Counts what attempts came to, for metrics. Must not throw. */
  readonly count: (outcome: 'delivered' | 'failed' | 'dead') => void;
}

/** An attempt that has not ended after so long (s) counts as lost: longer than one can take. */
const attemptSeconds = 30;

/** Makes one attempt to deliver a webhook. */
export function createWebhookDeliver(deps: DeliverDeps): Processor<'webhook.deliver'> {
  const { deliveries } = deps.webhooks;
  return async ({ deliveryId }, context) => {
    const waiting = await deliveries.waiting(deliveryId);
    if (waiting === undefined) return null;
    const owners = { host: new URL(waiting.url).host, user: waiting.userId };
    const slot = deps.slots.enter(owners, context.start > 1);
    if ('retryAfterMs' in slot) throw new Requeue('all slots are taken', slot.retryAfterMs);
    let tookMs: number | undefined;
    const timed: SendWebhook = async (request) => {
      const startedAt = performance.now();
      try {
        return await deps.send(request);
      } finally {
        tookMs = performance.now() - startedAt;
      }
    };
    try {
      const claimed = await deliveries.claim(deliveryId, attemptSeconds);
      if (claimed !== undefined) await attempt({ ...deps, send: timed }, claimed, context);
      return null;
    } finally {
      slot.leave(tookMs);
    }
  };
}

async function attempt(deps: DeliverDeps, claimed: ClaimedDelivery, context: JobContext): Promise<void> {
  const attempted = await tryToSend(deps, claimed, context);
  const { id, attempt: number } = claimed;
  const next = verdictOf(attempted, number, deps.rules);
  const { status = null, error = null } = attempted;
  const isNoted = await deps.webhooks.deliveries.settle({ id, attempt: number, status, error, next });
  if (!isNoted) return;
  deps.count(typeof next === 'string' ? next : 'failed');
  const about = {
    delivery: id,
    user: claimed.userId,
    attempt: number,
    host: new URL(claimed.url).host,
    error,
  };
  if (next === 'dead')
    deps.log.warn(
      about,
      'a webhook could not be delivered and is not retried; see `error` for what the receiver answered',
    );
  if (typeof next === 'string') return;
  deps.log.debug(about, 'a webhook will be tried again');
  await deps.webhooks.queueAttempt({ id, attempts: number }, next.afterMs);
}

/** @throws {Requeue} the process is about to end: the attempt is given back. */
async function tryToSend(
  { webhooks, findJob, send, clock, log }: DeliverDeps,
  claimed: ClaimedDelivery,
  { callSignal }: JobContext,
): Promise<Attempted> {
  try {
    if (claimed.isOrphan) return { error: 'The account was deleted', isHopeless: true };
    let { body } = claimed;
    if (body === null) {
      const job = await findJob(claimed.id);
      if (job === undefined) return { error: 'The job is no longer stored', isHopeless: true };
      body = bodyOf(job);
    }
    const timestamp = Math.floor(clock.now() / 1000);
    const headers = {
      'content-type': 'application/json',
      'user-agent': 'Pricepool-Webhooks/1',
      ...webhooks.signer.headersOf({ id: claimed.id, timestamp, body }, claimed),
    };
    return await send({ url: claimed.url, headers, body, signal: callSignal });
  } catch (error) {
    await webhooks.deliveries.giveBack(claimed);
    if (callSignal.aborted) throw new Requeue('the process is stopping');
    log.warn(
      { delivery: claimed.id, reason: messageOf(error) },
      'a webhook delivery failed on our side before it was sent; it does not count as an attempt and is retried',
    );
    throw error;
  }
}

/**
 * JSON text of the event of a job's end: the job as `GET /jobs/:id` shows it. A result that would make it too long is left out,
 * and is to be read there. It is the same at every attempt.
 */
function bodyOf(job: JobRecord): string {
  const head = JSON.stringify({
    type: `job.${job.state}`,
    timestamp: job.finishedAt ?? job.createdAt,
  }).slice(0, -1);
  const whole = `${head},"data":${jobJson(job, null)}}`;
  if (Buffer.byteLength(whole) <= maxBodyBytes) return whole;
  return `${head},"data":${JSON.stringify({ ...presentJob(job), eta_seconds: null, result_omitted: true })}}`;
}
