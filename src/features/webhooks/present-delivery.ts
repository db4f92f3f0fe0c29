import type { DeliveryRecord } from './queries/webhook-deliveries.ts';

/** A delivery as it stands in lists. */
export function presentDelivery(delivery: DeliveryRecord): Record<string, unknown> {
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

/** JSON text of one delivery, with the body that is sent; a job's end is shown by the job. */
export function deliveryJson(delivery: DeliveryRecord): string {
  const presented = JSON.stringify(presentDelivery(delivery)).slice(0, -1);
  return delivery.body === null
    ? `${presented},"job":"/api/v1/jobs/${delivery.id}"}`
    : `${presented},"body":${delivery.body}}`;
}
