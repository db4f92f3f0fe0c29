import type { Knex } from 'knex';
import type { AlertFiring } from '../alert.ts';
import { orUnavailable } from '../../../../db/outage.ts';

/** A page of a user's firings. */
export interface FiringFilter {
  readonly userId: string;
  readonly alertId?: string | undefined;
  readonly offset: number;
  readonly limit: number;
}

/** What has fired. All methods throw {@link UnavailableError} when Postgres does not answer. */
export interface FiringQueries {
  /** The newest first. */
  page(filter: FiringFilter): Promise<{ readonly firings: readonly AlertFiring[]; readonly total: number }>;
  /** Those of a user behind a firing, the oldest first. */
  after(userId: string, firingId: string, limit: number): Promise<readonly AlertFiring[]>;
  /** The id of the newest firing of each user that has one. */
  newest(userIds: readonly string[]): Promise<ReadonlyMap<string, string>>;
}

interface FiringRow {
  readonly id: string;
  readonly alert_id: string;
  readonly user_id: string;
  readonly at: Date;
  readonly body: string;
}

const shown = ['id', 'alert_id', 'user_id', 'at', 'body'];

/** Queries on firings over one pool. */
export function createFiringQueries(knex: Knex): FiringQueries {
  return {
    async page({ userId, alertId, offset, limit }) {
      const filter = { user_id: userId, ...(alertId === undefined ? {} : { alert_id: alertId }) };
      const [rows, counted] = await orUnavailable(
        Promise.all([
          knex('alert_firings')
            .where(filter)
            .orderBy('id', 'desc')
            .offset(offset)
            .limit(limit)
            .select<FiringRow[]>(shown),
          knex('alert_firings').where(filter).count<{ count: number }[]>({ count: '*' }),
        ]),
      );
      return { firings: rows.map(toFiring), total: counted[0]?.count ?? 0 };
    },

    async after(userId, firingId, limit) {
      const rows = await orUnavailable(
        knex('alert_firings')
          .where({ user_id: userId })
          .where('id', '>', firingId)
          .orderBy('id')
          .limit(limit)
          .select<FiringRow[]>(shown),
      );
      return rows.map(toFiring);
    },

    async newest(userIds) {
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

function toFiring(row: FiringRow): AlertFiring {
  return { id: row.id, alertId: row.alert_id, userId: row.user_id, at: row.at, body: row.body };
}
