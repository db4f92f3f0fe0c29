import type { Actor } from '../accounts/queries/audit.ts';
import type { DeliveryRecord, DeliveryState, WebhookDeliveryQueries } from './queries/webhook-deliveries.ts';
import type { SecretGeneration, WebhookSecretQueries } from './queries/webhook-secrets.ts';
import { ConflictError, NotFoundError } from '../../domain/errors.ts';
import { rotationOverlapMs, type WebhookSigner } from './signature.ts';
import type { WebhookTargets } from './target.ts';
import type { QueueAttempt } from './webhook-outbox.ts';

/** The secret that a user's webhooks are signed with. */
export interface ShownSecret extends SecretGeneration {
  /** `whsec_` and base64. */
  readonly secret: string;
  /** Until then the secret before it signs too; null when there is none. */
  readonly previousUntil: Date | null;
}

/** A page of a user's deliveries; `page` counts from 1. */
export interface DeliveryPageRequest {
  readonly userId: string;
  readonly page: number;
  readonly limit: number;
  readonly state?: DeliveryState | undefined;
}

/** A user's webhooks. All reject with {@link UnavailableError} when Postgres does not answer. */
export interface WebhookDesk {
  secret(userId: string): Promise<ShownSecret>;
  /** @throws {UnauthenticatedError} the credential behind the request was revoked. */
  rotate(userId: string, by: Actor): Promise<ShownSecret>;
  list(
    request: DeliveryPageRequest,
  ): Promise<{ readonly deliveries: readonly DeliveryRecord[]; readonly total: number }>;
  /** @throws {NotFoundError} there is no such delivery of this user. */
  get(id: string, userId: string): Promise<DeliveryRecord>;
  /**
   * Begins a delivery anew that was given up, or that waits for its next attempt.
   * @throws {NotFoundError} there is no such delivery of this user.
   * @throws {ConflictError} it was delivered, is being attempted, its job is gone, or too many are waiting.
   */
  retry(id: string, userId: string): Promise<DeliveryRecord>;
  /**
   * Sends a webhook that tells of nothing.
   * @throws {ValidationError} the URL must not receive webhooks; names the field `url`.
   */
  test(userId: string, url: string): Promise<DeliveryRecord>;
}

interface WebhookDeskDeps {
  readonly deliveries: Pick<WebhookDeliveryQueries, 'enqueue' | 'find' | 'list' | 'retry'>;
  readonly secrets: WebhookSecretQueries;
  readonly signer: Pick<WebhookSigner, 'secretOf'>;
  readonly targets: Pick<WebhookTargets, 'checked'>;
  readonly queueAttempt: QueueAttempt;
}

/** Builds the {@link WebhookDesk}. */
export function createWebhookDesk(deps: WebhookDeskDeps): WebhookDesk {
  const { deliveries, secrets, signer, targets, queueAttempt } = deps;
  const shown = (userId: string, { generation, rotatedAt }: SecretGeneration): ShownSecret => ({
    generation,
    rotatedAt,
    secret: signer.secretOf({ userId, generation }),
    previousUntil: rotatedAt && new Date(rotatedAt.getTime() + rotationOverlapMs),
  });
  const get = async (id: string, userId: string): Promise<DeliveryRecord> => {
    const found = await deliveries.find(id, userId);
    if (found === undefined) throw new NotFoundError('There is no such delivery', 'delivery_not_found');
    return found;
  };
  return {
    get,
    secret: async (userId) => shown(userId, await secrets.current(userId)),
    rotate: async (userId, by) => shown(userId, await secrets.rotate(userId, by)),
    list: ({ userId, page, limit, state }) =>
      deliveries.list({ userId, state, offset: (page - 1) * limit, limit }),

    async retry(id, userId) {
      const again = await deliveries.retry(id, userId);
      if (again === undefined) {
        await get(id, userId);
        throw new ConflictError(
          'It was delivered, is being attempted now, its job is no longer kept, or too many deliveries wait',
          'delivery_not_retriable',
        );
      }
      await queueAttempt({ id, attempts: 0 });
      return again;
    },

    async test(userId, text) {
      const url = targets.checked(text, 'url');
      const payload = { message: 'This is a test' };
      const id = await deliveries.enqueue({ userId, url, type: 'webhook.test', payload });
      await queueAttempt({ id, attempts: 0 });
      return await get(id, userId);
    },
  };
}
