/** The webhooks of a user: the secret that signs them, and the result of each. */
import type { AccountService } from '../accounts/account-service.ts';
import { actorOf } from '../accounts/actor.ts';
import { charge } from '../../platform/http/admission.ts';
import { answer, respondJson, envelopeOf } from '../../platform/http/envelope.ts';
import { pageOf } from '../../platform/http/paging.ts';
import { route, type Route } from '../../platform/http/route.ts';
import type { DeliveryRecord } from './queries/webhook-deliveries.ts';
import type { WebhookService } from './webhook-service.ts';
import { deliveriesQuery, deliveryIdOf, deliveryPath, testBody } from './schemas.ts';

interface WebhookDeps {
  readonly webhooks: Pick<WebhookService, 'secret' | 'rotate' | 'list' | 'get' | 'retry' | 'test'>;
  readonly access: Pick<AccountService, 'allowances'>;
}

const tag = 'Webhooks';
const path = '/api/v1/webhooks';
const missing = 'Delivery not found';
const unavailable = 'Database unavailable; see Retry-After';

/** Test calls to a receiver of the user's choice: enough to try one. */
const testPolicy = { name: 'webhook-tests', limit: 60, windowSeconds: 3_600 };
const rotationPolicy = { name: 'webhook-rotations', limit: 20, windowSeconds: 3_600 };
const retryPolicy = { name: 'webhook-retries', limit: 600, windowSeconds: 3_600 };

/** Reading and rotating the secret; listing, retrying and testing deliveries. */
export function webhookRoutes(deps: WebhookDeps): Route[] {
  return [secret(deps), rotate(deps), list(deps), one(deps), retry(deps), tryOut(deps)];
}

function secret({ webhooks }: WebhookDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/secret`,
    access: 'user',
    scope: 'session',
    tag,
    summary: 'Get the secret that signs your webhooks',
    description: 'Webhooks are signed according to the Standard Webhooks specification.',
    responses: { 200: 'The secret, in the format of Standard Webhooks libraries', 503: unavailable },
    handler: async (ctx, { viewer }) => {
      const shown = await webhooks.secret(viewer.userId);
      ctx.set('Cache-Control', 'no-store');
      answer(ctx, { message: 'Webhook secret', data: presentSecret(shown) });
    },
  });
}

function rotate({ webhooks, access: { allowances } }: WebhookDeps): Route {
  return route({
    method: 'POST',
    path: `${path}/secret/rotate`,
    access: 'user',
    scope: 'session',
    tag,
    summary: 'Replace the secret that signs your webhooks',
    description:
      'For 24 hours webhooks are signed with the previous secret too; any older secret is no longer valid.',
    responses: { 200: 'The new secret', 503: unavailable },
    handler: async (ctx, { viewer }) => {
      await charge(ctx, () => allowances.take(rotationPolicy, viewer.userId));
      const shown = await webhooks.rotate(viewer.userId, actorOf(ctx, viewer));
      ctx.set('Cache-Control', 'no-store');
      answer(ctx, { message: 'Webhook secret rotated', data: presentSecret(shown) });
    },
  });
}

function list({ webhooks }: WebhookDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/deliveries`,
    access: 'user',
    scope: 'webhooks:read',
    tag,
    summary: 'List your webhooks, newest first',
    description: 'state=dead lists deliveries that failed and are not retried any more.',
    query: deliveriesQuery,
    responses: { 200: 'A page of deliveries, without bodies', 503: unavailable },
    handler: async (ctx, { query: { page, limit, state }, viewer: { userId } }) => {
      const { deliveries, total } = await webhooks.list({ userId, page, limit, state });
      const data = pageOf(deliveries.map(presentDelivery), { total, page, limit });
      answer(ctx, { message: 'Deliveries', data });
    },
  });
}

function one({ webhooks }: WebhookDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/deliveries/:id`,
    access: 'user',
    scope: 'webhooks:read',
    tag,
    summary: 'Get a webhook, with its body',
    params: deliveryPath,
    responses: { 200: 'The delivery', 404: missing, 503: unavailable },
    handler: async (ctx, { params, viewer }) => {
      const delivery = await webhooks.get(deliveryIdOf(params), viewer.userId);
      respondJson(ctx, 200, envelopeOf('Delivery', deliveryJson(delivery)));
    },
  });
}

function retry({ webhooks, access: { allowances } }: WebhookDeps): Route {
  return route({
    method: 'POST',
    path: `${path}/deliveries/:id/retry`,
    access: 'user',
    scope: 'webhooks:write',
    tag,
    summary: 'Retry a webhook that has failed or waits for its next attempt',
    params: deliveryPath,
    responses: {
      202: 'The delivery is attempted at once, and its attempts are counted from zero',
      404: missing,
      409: 'Not retried: the webhook was delivered, is being attempted, its job is no longer stored, or too many are waiting',
      503: unavailable,
    },
    handler: async (ctx, { params, viewer }) => {
      const id = deliveryIdOf(params);
      await charge(ctx, () => allowances.take(retryPolicy, viewer.userId));
      const delivery = await webhooks.retry(id, viewer.userId);
      respondJson(ctx, 202, envelopeOf('It is tried again', deliveryJson(delivery)));
    },
  });
}

function tryOut({ webhooks, access: { allowances } }: WebhookDeps): Route {
  return route({
    method: 'POST',
    path: `${path}/test`,
    access: 'user',
    scope: 'webhooks:write',
    tag,
    summary: 'Send a test webhook',
    body: testBody,
    responses: { 202: 'The delivery; links.self has its state', 503: unavailable },
    handler: async (ctx, { body, viewer }) => {
      await charge(ctx, () => allowances.take(testPolicy, viewer.userId));
      const delivery = await webhooks.test(viewer.userId, body.url);
      ctx.set('Location', `${path}/deliveries/${delivery.id}`);
      respondJson(ctx, 202, envelopeOf('Test is on its way', deliveryJson(delivery)));
    },
  });
}

function presentSecret(shown: Awaited<ReturnType<WebhookService['secret']>>) {
  const { secret: text, generation, rotatedAt, previousUntil } = shown;
  return { secret: text, generation, rotated_at: rotatedAt, previous_signs_until: previousUntil };
}

function presentDelivery(delivery: DeliveryRecord): Record<string, unknown> {
  const { id, type, url, state, attempts } = delivery;
  return {
    id,
    type,
    url,
    state,
    attempts,
    next_attempt_at: delivery.nextAt,
    last_status: delivery.lastStatus,
    last_error: delivery.lastError,
    created_at: delivery.createdAt,
    delivered_at: state === 'delivered' ? delivery.endedAt : null,
    given_up_at: state === 'dead' ? delivery.endedAt : null,
    links: { self: `/api/v1/webhooks/deliveries/${id}` },
  };
}

/** With the body that is sent; a job's end is shown by the job. */
function deliveryJson(delivery: DeliveryRecord): string {
  const presented = JSON.stringify(presentDelivery(delivery)).slice(0, -1);
  return delivery.body === null
    ? `${presented},"job":"/api/v1/jobs/${delivery.id}"}`
    : `${presented},"body":${delivery.body}}`;
}
