/** The webhooks of a user, and where events are stored to be delivered. */
import type { Actor } from '../accounts/queries/audit.ts';
import { ConflictError, messageOf, NotFoundError } from '../../domain/errors.ts';
import type { Platform } from '../../platform/platform.ts';
import { createAddressGuard } from './address-guard.ts';
import {
  createWebhookQueries,
  type DeliveryRecord,
  type DeliveryState,
  type SecretGeneration,
} from './queries/webhook-deliveries.ts';
import { createSigner, rotationOverlapMs, serverSecretsOf } from './signature.ts';
import { createTargets } from './target.ts';

export type WebhookService = ReturnType<typeof createWebhookService>;

/** Deliveries that are added to the queue concurrently. */
const batchSize = 50;

/** Builds the service. Its methods reject with {@link UnavailableError} when Postgres does not answer. */
export function createWebhookService({
  config,
  knex,
  queues,
  log,
}: Pick<Platform, 'config' | 'knex' | 'queues' | 'log'>) {
  const guard = createAddressGuard(config.WEBHOOK_ALLOWED_NETWORKS);
  const isHttpAllowed = (config.WEBHOOK_HTTP ?? (config.APP_ENV === 'production' ? 'off' : 'on')) === 'on';
  const targets = createTargets({ isHttpAllowed, guard });
  const signer = createSigner(serverSecretsOf(config));
  const deliveries = createWebhookQueries(knex);

  /**
   * Adds a job for the next attempt of a delivery, `delayMs` from now. At most one waits or runs for each attempt.
   * Resolves to whether it was added; if not, the row is found due later.
   */
  async function queueAttempt(
    { id, attempts }: { readonly id: string; readonly attempts: number },
    delayMs = 0,
  ): Promise<boolean> {
    try {
      // With the number, because the job of an attempt may still be running when the next one is added.
      const deduplication = { id: `webhook-${id}-${attempts}` };
      await queues.add('webhook.deliver', { deliveryId: id }, { deduplication, delay: delayMs });
      return true;
    } catch (error) {
      log.debug({ delivery: id, reason: messageOf(error) }, 'an attempt could not be queued yet');
      return false;
    }
  }

  /** @throws {NotFoundError} there is no such delivery of this user. */
  async function get(id: string, userId: string): Promise<DeliveryRecord> {
    const found = await deliveries.find(id, userId);
    if (found === undefined) throw new NotFoundError('Delivery not found', 'delivery_not_found');
    return found;
  }

  const shown = (userId: string, { generation, rotatedAt }: SecretGeneration) => ({
    generation,
    rotatedAt,
    /** `whsec_` and base64. */
    secret: signer.secretOf({ userId, generation }),
    /** Until then the secret before it signs too; null when there is none. */
    previousUntil: rotatedAt && new Date(rotatedAt.getTime() + rotationOverlapMs),
  });

  return {
    /** Which URLs may receive webhooks. */
    targets,
    /** Which addresses may be connected to. */
    guard,
    signer,
    /** Deliveries in Postgres, for those who attempt and purge them. */
    deliveries,
    queueAttempt,

    /**
     * Stores a delivery in the transaction of its event, so that neither is there without the other. Returns its id. A
     * user with {@link pendingPerUser} of them waiting gets it as a dead letter.
     * @throws {Error} the body is longer than {@link maxBodyBytes}.
     */
    enqueueIn: deliveries.enqueueIn,

    /**
     * Has deliveries attempted at once; to be called after the commit. Never rejects: those that Redis does not take are found
     * due within seconds.
     */
    async enqueueAttempts(ids: readonly string[]): Promise<void> {
      for (let start = 0; start < ids.length; start += batchSize) {
        const batch = ids.slice(start, start + batchSize);
        const added = await Promise.all(batch.map((id) => queueAttempt({ id, attempts: 0 })));
        // Redis is away: each further one would wait for its deadline in vain.
        if (!added.some(Boolean)) return;
      }
    },

    /** The secret that a user's webhooks are signed with. */
    secret: async (userId: string) => shown(userId, await deliveries.currentSecret(userId)),

    /** @throws {UnauthenticatedError} the credential behind the request was revoked. */
    rotate: async (userId: string, by: Actor) => shown(userId, await deliveries.rotateSecret(userId, by)),

    /** A page of a user's deliveries, without bodies; `page` counts from 1. */
    list: ({
      userId,
      page,
      limit,
      state,
    }: {
      readonly userId: string;
      readonly page: number;
      readonly limit: number;
      readonly state?: DeliveryState | undefined;
    }) => deliveries.list({ userId, state, offset: (page - 1) * limit, limit }),

    get,

    /**
     * Starts a delivery again that was given up, or that waits for its next attempt.
     * @throws {NotFoundError} there is no such delivery of this user.
     * @throws {ConflictError} it was delivered, is being attempted, its job is gone, or too many are waiting.
     */
    async retry(id: string, userId: string): Promise<DeliveryRecord> {
      const again = await deliveries.retry(id, userId);
      if (again === undefined) {
        await get(id, userId);
        throw new ConflictError(
          'This webhook cannot be retried: it was delivered, is being attempted, its job is no longer stored, or too many are waiting',
          'delivery_not_retriable',
        );
      }
      await queueAttempt({ id, attempts: 0 });
      return again;
    },

    /**
     * Sends a webhook without an event, to try a receiver out.
     * @throws {ValidationError} the URL must not receive webhooks; names the field `url`.
     */
    async test(userId: string, text: string): Promise<DeliveryRecord> {
      const url = targets.checked(text, 'url');
      const payload = { message: 'This is a test' };
      const id = await deliveries.enqueue({ userId, url, type: 'webhook.test', payload });
      await queueAttempt({ id, attempts: 0 });
      return await get(id, userId);
    },
  };
}
