import type { AuditEvent } from './queries/audit.ts';

/** A security event as admins see it. */
export function presentAuditEvent(event: AuditEvent): Record<string, unknown> {
  return {
    id: event.id,
    at: event.at,
    type: event.type,
    user_id: event.userId,
    actor_id: event.actorId,
    key_id: event.keyId,
    address: event.address,
    request_id: event.requestId,
    detail: event.detail,
  };
}
