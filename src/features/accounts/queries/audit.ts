import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import type { Claim } from '../../../../db/claims.ts';
import { orUnavailable } from '../../../../db/outage.ts';

/** Kinds of security events. */
export const auditTypes = [
  'account.registered',
  'account.updated',
  'account.role_changed',
  'account.deleted',
  'login.succeeded',
  'login.failed',
  'login.throttled',
  'session.ended',
  'session.reuse_detected',
  'sessions.ended',
  'password.changed',
  'password.reset_requested',
  'password.reset',
  'key.created',
  'key.revoked',
  'webhook_secret.rotated',
] as const;
type AuditType = (typeof auditTypes)[number];

/** Who acts, and from where, for the audit log. Absent fields are unknown. */
export interface Actor {
  readonly actorId?: string | undefined;
  readonly keyId?: string | undefined;
  readonly address?: string | undefined;
  readonly requestId?: string | undefined;
  /** What the credential claims; confirmed by changes that outlive it. */
  readonly claim?: Claim | undefined;
  /** `command` for the operator at a shell. */
  readonly via?: 'command' | undefined;
}

/** A security event to record. */
export interface NewAuditEvent {
  readonly type: AuditType;
  /** The user that it is about. */
  readonly userId?: string | undefined;
  readonly by: Actor;
  /** Small, and without secrets. */
  readonly detail?: Readonly<Record<string, string | number | boolean | readonly string[]>>;
}

/** Records an event in the same transaction as the change it describes, so that neither exists without the other. */
export async function recordEvent(knex: Knex, { type, userId, by, detail }: NewAuditEvent): Promise<void> {
  await knex('audit_events').insert({
    id: uuidv7(),
    type,
    user_id: userId ?? null,
    actor_id: by.actorId ?? null,
    key_id: by.keyId ?? null,
    address: by.address ?? null,
    request_id: by.requestId ?? null,
    detail: JSON.stringify(detail ?? {}),
  });
}

/** The audit log over one pool. */
export function createAuditQueries(knex: Knex) {
  return {
    /** Records an event that belongs to no other statement. @throws {UnavailableError} Postgres does not answer. */
    append: (event: NewAuditEvent): Promise<void> => orUnavailable(recordEvent(knex, event)),

    /** A page of events, the newest first. @throws {UnavailableError} Postgres does not answer. */
    async list({
      type,
      userId,
      offset,
      limit,
    }: {
      readonly type?: AuditType | undefined;
      readonly userId?: string | undefined;
      readonly offset: number;
      readonly limit: number;
    }) {
      const matching = (): Knex.QueryBuilder =>
        knex('audit_events').where({
          ...(type === undefined ? {} : { type }),
          ...(userId === undefined ? {} : { user_id: userId }),
        });
      const [events, counted] = await orUnavailable(
        Promise.all([
          matching().orderBy('id', 'desc').offset(offset).limit(limit).select(shown) as Promise<
            {
              readonly id: string;
              readonly at: Date;
              readonly type: AuditType;
              readonly userId: string | null;
              readonly actorId: string | null;
              readonly keyId: string | null;
              readonly address: string | null;
              readonly requestId: string | null;
              readonly detail: Readonly<Record<string, unknown>>;
            }[]
          >,
          matching().count<{ count: number }[]>({ count: '*' }),
        ]),
      );
      return { events, total: counted[0]?.count ?? 0 };
    },
  };
}

const shown = {
  id: 'id',
  at: 'at',
  type: 'type',
  userId: 'user_id',
  actorId: 'actor_id',
  keyId: 'key_id',
  address: 'address',
  requestId: 'request_id',
  detail: 'detail',
};
