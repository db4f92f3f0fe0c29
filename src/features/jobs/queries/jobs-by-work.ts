import type { Knex } from 'knex';

/** Finds the id of a user's own job of some work, so that the same question does not make the same job twice. */
export type FindJobByWork = (userId: string, workKey: string) => Promise<string | undefined>;

/** The newest completed job whose result is kept, else the oldest that is still open. Binds the query to a pool. */
export function createFindJobByWork(knex: Knex): FindJobByWork {
  return async (userId, workKey) => {
    const { rows } = await knex.raw<{ rows: { id: string }[] }>(byWorkSql, [
      workKey,
      userId,
      workKey,
      userId,
    ]);
    return rows[0]?.id;
  };
}

/** Each half has a partial index of its own. Only computed performance is looked for by what it is. */
const byWorkSql = `(select id, 0 as place from jobs where work_key = ? and user_id = ?
    and state = 'completed' and name = 'performance.compute' and result_id is not null order by id desc limit 1)
  union all
  (select id, 1 from jobs where work_key = ? and user_id = ? and state in ('queued', 'running') order by id limit 1)
  order by place limit 1`;
