import type { Knex } from 'knex';
import type { Alert, NotEvaluated } from '../alert.ts';
import { alertColumns } from './alerts.ts';
import { orUnavailable } from '../../../../db/outage.ts';

/** An alert as a poll finds it. */
export interface FoundAlert {
  readonly alert: Alert;
  readonly isDeleted: boolean;
}

/** A position in the order of changes (`updated_at`, then `id`), from which a poll continues. */
export interface ChangeCursor {
  /** Timestamp text of Postgres, with microseconds. */
  readonly at: string;
  readonly id: string;
}

export type AlertWatchQueries = ReturnType<typeof createAlertWatch>;

/** The queries of evaluators: reading alerts, storing why they are not evaluated, purging. All methods throw {@link UnavailableError} when Postgres does not answer. */
export function createAlertWatch(knex: Knex) {
  async function query<R>(sql: string, values: readonly unknown[]): Promise<R[]> {
    const { rows } = await orUnavailable(knex.raw<{ rows: R[] }>(sql, values as never));
    return rows;
  }
  return {
    /** A cursor before all changes from now on. */
    async now(): Promise<ChangeCursor> {
      const [row] = await query<{ at: string }>(nowSql, []);
      return { at: row?.at ?? '-infinity', id: minId };
    },

    /** Alerts that can have a state transition, in the order of ids, after `after`. */
    watched: (after: string, limit: number): Promise<readonly Alert[]> =>
      query<Alert>(watchedSql, [after, limit]),

    /** Changes after the cursor, including deletions; `next` is undefined at the end. */
    async changed(
      { at, id }: ChangeCursor,
      limit: number,
    ): Promise<{ readonly found: readonly FoundAlert[]; readonly next: ChangeCursor | undefined }> {
      const rows = await query<FoundRow & { readonly cursor: string }>(changedSql, [at, id, limit]);
      const found = rows.map(({ cursor, ...row }) => ({ ...toFound(row), cursor }));
      const last = found.at(-1);
      const isEnd = found.length < limit || last === undefined;
      return { found, next: isEnd ? undefined : { at: last.cursor, id: last.alert.id } };
    },

    /** Alerts with these ids, including those marked as deleted. */
    byIds: async (ids: readonly string[]): Promise<readonly FoundAlert[]> =>
      (await query<FoundRow>(byIdsSql, [ids])).map(toFound),

    /** Stores why alerts cannot be evaluated, or that they can (null). */
    async storeReason(ids: readonly string[], reason: NotEvaluated | null): Promise<void> {
      await query(markSql, [reason, ids, reason]);
    },

    /**
     * Deletes alerts of deleted accounts and portfolios, and limited batches of alerts deleted an hour ago and of firings older
     * than `keepSeconds`. Returns the number of rows.
     */
    async purge(keepSeconds: number): Promise<number> {
      let count = 0;
      for (const [sql, values] of [
        [orphansSql, []],
        [purgeSql, []],
        [purgeFiringsSql, [keepSeconds]],
      ] as const) {
        const { rowCount } = await orUnavailable(knex.raw<{ rowCount: number }>(sql, values as never));
        count += rowCount;
      }
      return count;
    },
  };
}

const minId = '00000000-0000-0000-0000-000000000000';

/** A statement that started a little earlier may end later, so the next poll reads half a minute further back. */
const nowSql = `select (clock_timestamp() - interval '30 seconds')::text as at`;

const watchedSql = `select ${alertColumns} from alerts where deleted_at is null
    and (state in ('pending', 'armed') or state = 'fired' and repeat = 'every') and id > ?
  order by id limit ?`;

const changedSql = `select ${alertColumns}, deleted_at is not null as "isDeleted", updated_at::text as cursor from alerts where (updated_at, id) > (?::timestamptz, ?::uuid)
  order by updated_at, id limit ?`;

const byIdsSql = `select ${alertColumns}, deleted_at is not null as "isDeleted" from alerts where id = any(?::uuid[])`;

const markSql = `update alerts set not_evaluated = ? where id = any(?::uuid[]) and deleted_at is null
  and not_evaluated is distinct from ?`;

const orphansSql = `update alerts set deleted_at = now(), updated_at = clock_timestamp(), version = version + 1
  where deleted_at is null and (
    exists (select 1 from users where users.id = alerts.user_id and users.deleted_at is not null)
    or portfolio_id is not null and not exists (
      select 1 from portfolios where portfolios.id = alerts.portfolio_id and portfolios.deleted_at is null))`;

/** Limited batches, so that a purge never holds locks for long; the next one takes more. */
const purgeSql = `delete from alerts where id in (
  select id from alerts where deleted_at < now() - interval '1 hour' limit 5000)`;
const purgeFiringsSql = `delete from alert_firings where id in (
  select id from alert_firings where at < now() - make_interval(secs => ?) limit 5000)`;

type FoundRow = Alert & { readonly isDeleted: boolean };

function toFound({ isDeleted, ...alert }: FoundRow): FoundAlert {
  return { alert, isDeleted };
}
