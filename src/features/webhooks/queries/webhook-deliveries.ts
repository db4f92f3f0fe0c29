/**
 * Webhooks to be delivered. The row is the truth: jobs in Redis only say that an attempt is due. A process that makes
 * an attempt claims the row first: the number of the attempt increases, and `next_at` moves past the longest time that
 * an attempt can take. So no other process makes the same attempt, and if the process dies the delivery is found due
 * again. The result of an attempt is written only while it is still the last one.
 */
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { recordEvent, type Actor } from '../../accounts/queries/audit.ts';
import { confirmClaim } from '../../../../db/claims.ts';
import { orUnavailable } from '../../../../db/outage.ts';

/** Whether a webhook is still to be delivered, was delivered, or was given up. */
export const deliveryStates = ['pending', 'delivered', 'dead'] as const;
export type DeliveryState = (typeof deliveryStates)[number];

/** A delivery as its owner sees it. */
export interface DeliveryRecord {
  readonly id: string;
  readonly userId: string;
  readonly url: string;
  readonly type: string;
  /** JSON text; null for the end of a job (which is read from the row of the job with the same id) and in lists. */
  readonly body: string | null;
  readonly state: DeliveryState;
  /** Attempts that have started. */
  readonly attempts: number;
  /** When the next attempt is due; null when there will be none. */
  readonly nextAt: Date | null;
  readonly lastStatus: number | null;
  readonly lastError: string | null;
  readonly createdAt: Date;
  readonly endedAt: Date | null;
}

/** Which of a user's signing secrets is valid: they are counted, and computed from the count. */
export interface SecretGeneration {
  readonly generation: number;
  /** When it started; null for the first. */
  readonly rotatedAt: Date | null;
}

/** A due attempt. */
export interface ClaimedDelivery extends SecretGeneration {
  readonly id: string;
  readonly userId: string;
  readonly url: string;
  readonly type: string;
  /** JSON text; null for the end of a job, which is read from the row of the job with the same id. */
  readonly body: string | null;
  /** Number of this attempt, from 1. */
  readonly attempt: number;
  /** Its owner has deleted the account. */
  readonly isOrphan: boolean;
}

/** Most deliveries of one user that may wait. */
export const pendingPerUser = 1_000;
/** Longest body (bytes). */
export const maxBodyBytes = 256 * 1024;

/** Binds the statements to a connection pool. Those of users reject with {@link UnavailableError} when Postgres does not answer. */
export function createWebhookQueries(knex: Knex) {
  async function records(sql: string, values: readonly unknown[]): Promise<readonly DeliveryRecord[]> {
    const { rows } = await orUnavailable(knex.raw<{ rows: DeliveryRecord[] }>(sql, values as never));
    return rows;
  }
  return {
    enqueueIn: enqueue,

    /** Stores a delivery outside of any other change. */
    enqueue: (delivery: Parameters<typeof enqueue>[1]): Promise<string> =>
      orUnavailable(enqueue(knex, delivery)),

    /** One delivery of a user. */
    async find(id: string, userId: string): Promise<DeliveryRecord | undefined> {
      const sql = `select ${columns} from webhook_deliveries where id = ? and user_id = ?`;
      return (await records(sql, [id, userId]))[0];
    },

    /** A page of a user's deliveries, the newest first, without bodies. */
    async list({
      userId,
      state = null,
      offset,
      limit,
    }: {
      readonly userId: string;
      readonly state?: DeliveryState | null | undefined;
      readonly offset: number;
      readonly limit: number;
    }): Promise<{ readonly deliveries: readonly DeliveryRecord[]; readonly total: number }> {
      const counted = knex('webhook_deliveries')
        .where({ user_id: userId, ...(state === null ? {} : { state }) })
        .count<{ count: number }[]>({ count: '*' });
      const [deliveries, [row]] = await Promise.all([
        records(listSql, [userId, state, state, offset, limit]),
        orUnavailable(counted),
      ]);
      return { deliveries, total: row?.count ?? 0 };
    },

    /**
     * Starts a delivery of a user again, with all attempts before it: one that was given up, or that waits for its next attempt.
     * Undefined when it was delivered, is being attempted, its job is gone, or too many are waiting.
     */
    retry: async (id: string, userId: string): Promise<DeliveryRecord | undefined> =>
      (await records(retrySql, [id, userId]))[0],

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

    /** The generation of a user's secret that holds. */
    async currentSecret(userId: string): Promise<SecretGeneration> {
      const row = await orUnavailable(
        knex('webhook_secrets')
          .where({ user_id: userId })
          .first<SecretGeneration | undefined>('generation', 'rotated_at as rotatedAt'),
      );
      return row ?? { generation: 0, rotatedAt: null };
    },

    /**
     * Starts the next generation, and says so in the audit log.
     * @throws {UnauthenticatedError} the credential behind the request was revoked.
     */
    rotateSecret: (userId: string, by: Actor): Promise<SecretGeneration> =>
      orUnavailable(
        knex.transaction(async (trx) => {
          await confirmClaim(trx, by.claim);
          const { rows } = await trx.raw<{ rows: [SecretGeneration] }>(rotateSql, [userId]);
          const detail = { generation: rows[0].generation };
          await recordEvent(trx, { type: 'webhook_secret.rotated', userId, by, detail });
          return rows[0];
        }),
      ),

    /** Whose delivery waits for an attempt, and where it goes. */
    waiting: (id: string) =>
      knex('webhook_deliveries')
        .where({ id, state: 'pending' })
        .first<{ readonly userId: string; readonly url: string } | undefined>('user_id as userId', 'url'),

    /** Starts an attempt that may take `seconds`; undefined when none is due, or another process makes it. */
    async claim(id: string, seconds: number): Promise<ClaimedDelivery | undefined> {
      const { rows } = await knex.raw<{ rows: ClaimedDelivery[] }>(claimSql, [seconds, id]);
      return rows[0];
    },

    /**
     * Notes what came of an attempt, unless another one has started since. Whether it was noted.
     * @param outcome.status what was answered; null when there was no answer.
     * @param outcome.error what was wrong; null when nothing was.
     * @param outcome.next what follows: nothing more, or another attempt after so long (ms).
     */
    async settle({
      id,
      attempt,
      status,
      error,
      next,
    }: {
      readonly id: string;
      readonly attempt: number;
      readonly status: number | null;
      readonly error: string | null;
      readonly next: 'delivered' | 'dead' | { readonly afterMs: number };
    }): Promise<boolean> {
      const state = typeof next === 'string' ? next : 'pending';
      const afterMs = typeof next === 'string' ? 0 : next.afterMs;
      const values = [state, status, error, afterMs, id, attempt] as never;
      const { rowCount } = await knex.raw<{ rowCount: number }>(settleSql, values);
      return rowCount > 0;
    },

    /** Gives an attempt back that was not made to its end: it does not count. */
    async giveBack({ id, attempt }: { readonly id: string; readonly attempt: number }): Promise<void> {
      await knex.raw(giveBackSql, [id, attempt]);
    },

    /**
     * A page of what is due behind `after`, the longest due first; the next attempt of each is number `attempts` + 1. `next` is
     * where the following page starts, undefined when this one is empty.
     */
    async due({ limit, after }: { readonly limit: number; readonly after?: string | undefined }) {
      const [at, id] = after?.split('/') ?? ['-infinity', '00000000-0000-0000-0000-000000000000'];
      const { rows: due } = await knex.raw<{
        // The moment as text, because a date of JavaScript would lose the microseconds.
        rows: { readonly id: string; readonly attempts: number; readonly at: string }[];
      }>(dueSql, [at ?? '', id ?? '', limit]);
      const last = due.at(-1);
      return { due, next: last === undefined ? undefined : `${last.at}/${last.id}` };
    },
  };
}

/** Those of a {@link DeliveryRecord}. */
const columns = `id, user_id as "userId", url, type, body, state, attempts,
  case when state = 'pending' then next_at end as "nextAt", last_status as "lastStatus", last_error as "lastError",
  created_at as "createdAt", ended_at as "endedAt"`;

const listSql = `select ${columns.replace(' body,', ' null as body,')} from webhook_deliveries
  where user_id = ? and (?::text is null or state = ?) order by created_at desc, id desc offset ? limit ?`;

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
export const deliveriesOfEndsSql = `told as (${insertOf(
  `select id, user_id, callback_url as url, 'job.' || state as type, null::text as body
    from ended where callback_url is not null`,
)} on conflict (id) do nothing)`;

const enqueueSql = insertOf(
  'select ?::uuid as id, ?::uuid as user_id, ?::text as url, ?::text as type, ?::text as body',
);

async function enqueue(
  trx: Knex,
  {
    userId,
    url,
    type,
    payload,
  }: {
    readonly userId: string;
    /** Checked by the rules of target.ts before. */
    readonly url: string;
    /** `<entity>.<what happened>`, such as `alert.triggered`. */
    readonly type: string;
    /** Becomes `data` of the body. */
    readonly payload: object;
  },
): Promise<string> {
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
  returning ${columns}`;

const countSql = `select
  (select count(*) from webhook_deliveries where state = 'pending') as pending,
  (select count(*) from webhook_deliveries where state = 'dead') as dead`;

/** A bounded bite, so that a purge never holds locks for long; the next one takes more. */
const purgeSql = `delete from webhook_deliveries where id in (
    select id from webhook_deliveries where ended_at < now() - make_interval(secs => ?) order by ended_at limit 5000)`;

const rotateSql = `insert into webhook_secrets as own (user_id, generation, rotated_at) values (?, 1, now())
  on conflict (user_id) do update set generation = own.generation + 1, rotated_at = now()
  returning generation, rotated_at as "rotatedAt"`;

/** Who comes a moment early, by a clock that is ahead, need not come again. */
const claimSql = `update webhook_deliveries as own set attempts = attempts + 1, last_status = null, last_error = null,
    next_at = now() + make_interval(secs => ?)
  from users left join webhook_secrets on webhook_secrets.user_id = users.id
  where own.id = ? and own.state = 'pending' and own.next_at <= now() + interval '500 ms' and users.id = own.user_id
  returning own.id, own.user_id as "userId", own.url, own.type, own.body, own.attempts as attempt,
    users.deleted_at is not null as "isOrphan", coalesce(webhook_secrets.generation, 0) as generation,
    webhook_secrets.rotated_at as "rotatedAt"`;

const settleSql = `update webhook_deliveries as own set state = told.state, last_status = told.status, last_error = told.error,
    next_at = now() + make_interval(secs => told.after_ms / 1000),
    ended_at = case when told.state = 'pending' then null else now() end
  from (select ?::text as state, ?::int as status, ?::text as error, ?::float8 as after_ms) as told
  where own.id = ? and own.attempts = ? and own.state = 'pending'`;

const giveBackSql = `update webhook_deliveries set attempts = attempts - 1, next_at = now()
  where id = ? and attempts = ? and state = 'pending'`;

const dueSql = `select id, attempts, next_at::text as at from webhook_deliveries
  where state = 'pending' and next_at <= now() and (next_at, id) > (?::timestamptz, ?::uuid)
  order by next_at, id limit ?`;
