/**
 * Webhooks on their way, as those who send them and their owners see them; attempts are in webhook-attempts.ts. The row is the
 * truth: jobs in Redis only say that it is time for an attempt.
 */
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { orUnavailable } from '../../../../db/outage.ts';

/** Whether a webhook is still to be delivered, was delivered, or was given up. */
export const deliveryStates = ['pending', 'delivered', 'dead'] as const;
export type DeliveryState = (typeof deliveryStates)[number];

/** What is to be told to whom. */
export interface NewDelivery {
  readonly userId: string;
  /** Checked by the rules of src/webhooks/target.ts before. */
  readonly url: string;
  /** `<entity>.<what happened>`, such as `alert.triggered`. */
  readonly type: string;
  /** Becomes `data` of the body. */
  readonly payload: object;
}

/** Where events are put to be delivered as webhooks. */
export interface WebhookOutbox {
  /**
   * Stores a delivery in the transaction of what it tells of, so that neither is there without the other. Returns its id. A user
   * with {@link pendingPerUser} of them waiting gets it as a dead letter.
   * @throws {Error} the body is longer than {@link maxBodyBytes}.
   */
  enqueueIn(trx: Knex, delivery: NewDelivery): Promise<string>;
  /**
   * Has deliveries attempted at once; to be called after the commit. Never rejects: those that Redis does not take are found due
   * within seconds.
   */
  kick(ids: readonly string[]): Promise<void>;
}

/** A delivery as its owner sees it. */
export interface DeliveryRecord {
  readonly id: string;
  readonly userId: string;
  readonly url: string;
  readonly type: string;
  /** JSON text; null of a job's end, which is told from the row of the job with the same id, and in lists. */
  readonly body: string | null;
  readonly state: DeliveryState;
  /** Attempts that have begun. */
  readonly attempts: number;
  /** When the next attempt is due; null when there will be none. */
  readonly nextAt: Date | null;
  readonly lastStatus: number | null;
  readonly lastError: string | null;
  readonly createdAt: Date;
  readonly endedAt: Date | null;
}

/** A page of deliveries of one user. */
export interface DeliveryFilter {
  readonly userId: string;
  readonly state?: DeliveryState | undefined;
  readonly offset: number;
  readonly limit: number;
}

/** Deliveries that one user may have waiting. */
export const pendingPerUser = 1_000;
/** Longest body (bytes). */
export const maxBodyBytes = 256 * 1024;

/** Deliveries in Postgres, for those who send and own them. */
export type WebhookDeliveryQueries = ReturnType<typeof createWebhookDeliveryQueries>;

/** Binds the queries to a connection pool. */
export function createWebhookDeliveryQueries(knex: Knex) {
  return {
    enqueueIn: (trx: Knex, delivery: NewDelivery): Promise<string> => enqueue(trx, delivery),

    /** Stores a delivery by itself. @throws {UnavailableError} Postgres does not answer. */
    enqueue: (delivery: NewDelivery): Promise<string> => orUnavailable(enqueue(knex, delivery)),

    /** One delivery of a user. @throws {UnavailableError} Postgres does not answer. */
    async find(id: string, userId: string): Promise<DeliveryRecord | undefined> {
      const row = await orUnavailable(
        knex<DeliveryRow>('webhook_deliveries').where({ id, user_id: userId }).first(),
      );
      return row === undefined ? undefined : toRecord(row);
    },

    /** A page of a user's deliveries, the newest first, without bodies. @throws {UnavailableError} Postgres does not answer. */
    async list({ userId, state, offset, limit }: DeliveryFilter) {
      const filter = { user_id: userId, ...(state === undefined ? {} : { state }) };
      const [rows, counted] = await orUnavailable(
        Promise.all([
          knex<DeliveryRow>('webhook_deliveries')
            .where(filter)
            .select(...listed)
            .orderBy([
              { column: 'created_at', order: 'desc' },
              { column: 'id', order: 'desc' },
            ])
            .offset(offset)
            .limit(limit),
          knex('webhook_deliveries').where(filter).count<{ count: number }[]>({ count: '*' }),
        ]),
      );
      return {
        deliveries: rows.map((row) => toRecord({ ...row, body: null })),
        total: counted[0]?.count ?? 0,
      };
    },

    /**
     * Has a delivery of a user begin anew, with all attempts before it: one that was given up, or that waits for its next attempt.
     * Undefined when it was delivered, is being attempted, the job that it tells of is gone, or too many are waiting.
     * @throws {UnavailableError} Postgres does not answer.
     */
    async retry(id: string, userId: string): Promise<DeliveryRecord | undefined> {
      const { rows } = await orUnavailable(knex.raw<{ rows: DeliveryRow[] }>(retrySql, [id, userId]));
      return rows[0] === undefined ? undefined : toRecord(rows[0]);
    },

    /** Waiting deliveries and dead letters, for metrics. */
    async countByState(): Promise<{ readonly pending: number; readonly dead: number }> {
      const { rows } = await knex.raw<{ rows: [{ pending: number; dead: number }] }>(countSql);
      return rows[0];
    },

    /** Deletes a bounded bite of deliveries that ended more than `seconds` ago. Returns the number of rows. */
    async purge(seconds: number): Promise<number> {
      const { rowCount } = await knex.raw<{ rowCount: number }>(purgeSql, [seconds]);
      return rowCount;
    },
  };
}

/** Why a user's delivery was given up before its first attempt. */
const crowded = 'Too many deliveries were waiting';

/** Columns of a new delivery, for rows of `due` that have `id`, `user_id`, `url`, `type` and `body`. */
function insertOf(due: string): string {
  return `insert into webhook_deliveries (id, user_id, url, type, body, state, last_error, ended_at)
    select id, user_id, url, type, body, case when is_full then 'dead' else 'pending' end,
      case when is_full then '${crowded}' end, case when is_full then now() end
    from (select due.*, webhook_backlog_is_full(user_id, ${pendingPerUser}) as is_full from (${due}) as due) as judged`;
}

/**
 * The part of a statement that tells of the jobs it ends: `ended` must have `id`, `user_id`, `state` and `callback_url`. It costs
 * next to nothing where no row has one. A job ends once, so that its id can be that of the delivery.
 */
export const toldEndsSql = `told as (${insertOf(
  `select id, user_id, callback_url as url, 'job.' || state as type, null::text as body
    from ended where callback_url is not null`,
)} on conflict (id) do nothing)`;

const enqueueSql = insertOf(
  'select ?::uuid as id, ?::uuid as user_id, ?::text as url, ?::text as type, ?::text as body',
);

async function enqueue(trx: Knex, { userId, url, type, payload }: NewDelivery): Promise<string> {
  const id = uuidv7();
  const body = JSON.stringify({ type, timestamp: new Date(), data: payload });
  if (Buffer.byteLength(body) > maxBodyBytes) throw new Error(`a webhook ${type} is too long`);
  await trx.raw(enqueueSql, [id, userId, url, type, body]);
  return id;
}

/** Of one that is being attempted no outcome is known: it is left alone. */
const retrySql = `update webhook_deliveries as own set state = 'pending', attempts = 0, next_at = now(), ended_at = null
  where id = ? and user_id = ? and last_error is not null
    and (body is not null or exists (select 1 from jobs where jobs.id = own.id))
    and (state = 'pending' or state = 'dead' and not webhook_backlog_is_full(user_id, ${pendingPerUser}))
  returning *`;

const countSql = `select
  (select count(*) from webhook_deliveries where state = 'pending') as pending,
  (select count(*) from webhook_deliveries where state = 'dead') as dead`;

/** A bounded bite, so that a purge never holds locks for long; the next one takes more. */
const purgeSql = `delete from webhook_deliveries where id in (
    select id from webhook_deliveries where ended_at < now() - make_interval(secs => ?) limit 5000)`;

const listed = [
  'id',
  'user_id',
  'url',
  'type',
  'state',
  'attempts',
  'next_at',
  'last_status',
  'last_error',
  'created_at',
  'ended_at',
] as const;

interface DeliveryRow {
  readonly id: string;
  readonly user_id: string;
  readonly url: string;
  readonly type: string;
  readonly body: string | null;
  readonly state: DeliveryState;
  readonly attempts: number;
  readonly next_at: Date;
  readonly last_status: number | null;
  readonly last_error: string | null;
  readonly created_at: Date;
  readonly ended_at: Date | null;
}

function toRecord(row: DeliveryRow): DeliveryRecord {
  const { id, url, type, body, state, attempts } = row;
  return {
    id,
    userId: row.user_id,
    url,
    type,
    body,
    state,
    attempts,
    nextAt: state === 'pending' ? row.next_at : null,
    lastStatus: row.last_status,
    lastError: row.last_error,
    createdAt: row.created_at,
    endedAt: row.ended_at,
  };
}
