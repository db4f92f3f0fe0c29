import type { Knex } from 'knex';
import type { AlertFiring } from '../alert.ts';
import { orUnavailable } from '../../../../db/outage.ts';

export type FiringQueries = ReturnType<typeof createFiringQueries>;

const shown = { id: 'id', alertId: 'alert_id', userId: 'user_id', at: 'at', body: 'body' };

/** Queries for firings. All methods throw {@link UnavailableError} when Postgres does not answer. */
export function createFiringQueries(knex: Knex) {
  return {
    /** A page of a user's firings, the newest first. */
    async page({
      userId,
      alertId,
      offset,
      limit,
    }: {
      readonly userId: string;
      readonly alertId?: string | undefined;
      readonly offset: number;
      readonly limit: number;
    }): Promise<{ readonly firings: readonly AlertFiring[]; readonly total: number }> {
      const filter = { user_id: userId, ...(alertId === undefined ? {} : { alert_id: alertId }) };
      const [rows, counted] = await orUnavailable(
        Promise.all([
          knex('alert_firings')
            .where(filter)
            .orderBy('id', 'desc')
            .offset(offset)
            .limit(limit)
            .select<AlertFiring[]>(shown),
          knex('alert_firings').where(filter).count<{ count: number }[]>({ count: '*' }),
        ]),
      );
      return { firings: rows, total: counted[0]?.count ?? 0 };
    },

    /** Firings of a user after a given one, the oldest first. */
    after: (userId: string, firingId: string, limit: number): Promise<readonly AlertFiring[]> =>
      orUnavailable(
        knex('alert_firings')
          .where({ user_id: userId })
          .where('id', '>', firingId)
          .orderBy('id')
          .limit(limit)
          .select<AlertFiring[]>(shown),
      ),

    /** The id of the newest firing of each user that has one. */
    async newest(userIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
      const { rows } = await orUnavailable(
        knex.raw<{ rows: { user_id: string; id: string }[] }>(newestSql, [userIds] as never),
      );
      return new Map(rows.map(({ user_id: userId, id }) => [userId, id]));
    },
  };
}

const newestSql = `select user_id, newest.id from unnest(?::uuid[]) as asked (user_id)
  cross join lateral (select id from alert_firings where alert_firings.user_id = asked.user_id order by id desc limit 1)
    as newest`;
