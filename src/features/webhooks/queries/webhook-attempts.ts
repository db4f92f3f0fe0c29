/**
 * Attempts to deliver webhooks. Whoever makes one claims the row first: the number of the attempt rises, and `next_at` moves
 * behind the longest time that an attempt can take, so that nobody else makes it, and one whose process dies is found due again.
 * What came of an attempt is written only as long as it is still the last one.
 */
import type { Knex } from 'knex';

/** An attempt that is to be made. */
export interface ClaimedDelivery {
  readonly id: string;
  readonly userId: string;
  readonly url: string;
  readonly type: string;
  /** JSON text; null of a job's end, which is told from the row of the job with the same id. */
  readonly body: string | null;
  /** Number of this attempt, from 1. */
  readonly attempt: number;
  /** Its owner has deleted the account. */
  readonly isOrphan: boolean;
  /** Generation of the owner's secret, and since when. */
  readonly generation: number;
  readonly rotatedAt: Date | null;
}

/** An attempt that was made, and what the receiver said. */
export interface AttemptOutcome {
  readonly id: string;
  readonly attempt: number;
  /** Status that was answered; null when there was no answer. */
  readonly status: number | null;
  /** What was wrong; null when nothing was. */
  readonly error: string | null;
  /** What follows: nothing more, or another attempt after so long (ms). */
  readonly next: 'delivered' | 'dead' | { readonly afterMs: number };
}

/** A delivery that is due; the next attempt is number `attempts` + 1. */
export interface DueDelivery {
  readonly id: string;
  readonly attempts: number;
}

/** A page of what is due; begins behind `after`. */
export interface DuePage {
  readonly limit: number;
  readonly after?: string | undefined;
}

/** Attempts in Postgres. */
export type WebhookAttemptQueries = ReturnType<typeof createWebhookAttemptQueries>;

/** Binds the queries to a connection pool. */
export function createWebhookAttemptQueries(knex: Knex) {
  return {
    /** Whose delivery waits for an attempt, and where it goes. */
    async waiting(id: string): Promise<Pick<ClaimedDelivery, 'userId' | 'url'> | undefined> {
      const row = await knex('webhook_deliveries')
        .where({ id, state: 'pending' })
        .first<{ user_id: string; url: string } | undefined>('user_id', 'url');
      return row && { userId: row.user_id, url: row.url };
    },

    /** Begins an attempt that may take `seconds`; undefined when none is due, or somebody else makes it. */
    async claim(id: string, seconds: number): Promise<ClaimedDelivery | undefined> {
      const { rows } = await knex.raw<{ rows: ClaimedDelivery[] }>(claimSql, [seconds, id]);
      return rows[0];
    },

    /** Notes what came of an attempt, unless another one has begun since. Whether it was noted. */
    async settle({ id, attempt, status, error, next }: AttemptOutcome): Promise<boolean> {
      const state = typeof next === 'string' ? next : 'pending';
      const afterMs = typeof next === 'string' ? 0 : next.afterMs;
      const values = [state, status, error, afterMs, id, attempt] as never;
      const { rowCount } = await knex.raw<{ rowCount: number }>(settleSql, values);
      return rowCount > 0;
    },

    /** Gives an attempt back that was not made to its end: it does not count. */
    async giveBack({ id, attempt }: Pick<ClaimedDelivery, 'id' | 'attempt'>): Promise<void> {
      await knex.raw(giveBackSql, [id, attempt]);
    },

    /** A page of what is due, the longest due first; `next` is where the following page begins, undefined when this one is empty. */
    async due({ limit, after }: DuePage) {
      const [at, id] = after?.split('/') ?? ['-infinity', nilId];
      const { rows } = await knex.raw<{ rows: DueRow[] }>(dueSql, [at ?? '', id ?? '', limit]);
      const last = rows.at(-1);
      return {
        due: rows.map((row): DueDelivery => ({ id: row.id, attempts: row.attempts })),
        next: last === undefined ? undefined : `${last.at}/${last.id}`,
      };
    },
  };
}

const nilId = '00000000-0000-0000-0000-000000000000';

interface DueRow extends DueDelivery {
  /** A text, because a date of JavaScript would lose the microseconds. */
  readonly at: string;
}

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
