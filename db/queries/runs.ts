import type { Knex } from 'knex';

/** Work that was accepted and has not ended. */
export interface OpenWork {
  readonly name: string;
  readonly workKey: string;
  readonly submission: object;
}

/** A run, for all rows that wait for it. */
export interface RunRef {
  readonly workKey: string;
  readonly startedAt: Date;
}

/** Client jobs in Postgres, as workers see them: one statement moves every row that waits for the same work. */
export type RunQueries = ReturnType<typeof createRunQueries>;

/** Binds the queries to a connection pool. */
export function createRunQueries(knex: Knex) {
  return {
    /** Marks a run as running and notes its progress; rows that have ended stay as they are. */
    async markProgress({ workKey, startedAt }: RunRef, done: number): Promise<void> {
      await knex.raw(progressSql, [done, startedAt, workKey]);
    },

    /** Ends a run: stores its result once and completes every row that still waits for it. Returns their ids. */
    async complete(
      { workKey, startedAt }: RunRef,
      resultId: string,
      body: string,
    ): Promise<readonly string[]> {
      const values = [resultId, body, workKey, startedAt, workKey];
      const { rows } = await knex.raw<{ rows: { id: string }[] }>(completeSql, values);
      return rows.map(({ id }) => id);
    },

    /** Fails every row that still waits for a run. Returns their ids. */
    async fail(
      { workKey, startedAt }: RunRef,
      error: { code: string; message: string },
    ): Promise<readonly string[]> {
      const { rows } = await knex.raw<{ rows: { id: string }[] }>(failSql, [
        JSON.stringify(error),
        startedAt,
        workKey,
      ]);
      return rows.map(({ id }) => id);
    },

    /** Distinct work older than `seconds` that has not ended, the oldest first. */
    async openWork(seconds: number, limit: number): Promise<readonly OpenWork[]> {
      const { rows } = await knex.raw<{ rows: { name: string; work_key: string; data: object }[] }>(
        openWorkSql,
        [seconds, limit],
      );
      return rows.map((row) => ({ name: row.name, workKey: row.work_key, submission: row.data }));
    },

    /** Deletes rows that ended more than `seconds` ago, and results that nobody refers to. Returns the number of rows. */
    async purge(seconds: number): Promise<number> {
      const { rowCount } = await knex.raw<{ rowCount: number }>(purgeJobsSql, [seconds]);
      await knex.raw(purgeResultsSql, [seconds]);
      return rowCount;
    },
  };
}

const progressSql = `update jobs set state = 'running', done = greatest(done, least(?, total)),
    started_at = coalesce(started_at, ?), version = version + 1
  where work_key = ? and state in ('queued', 'running')`;

/** The result is only stored when somebody still waits for it. */
const completeSql = `with stored as (
    insert into job_results (id, body) select ?, ?
    where exists (select 1 from jobs where work_key = ? and state in ('queued', 'running'))
    returning id)
  update jobs set state = 'completed', done = total, result_id = stored.id, started_at = coalesce(started_at, ?),
    finished_at = now(), version = version + 1
  from stored where work_key = ? and state in ('queued', 'running') returning jobs.id`;

const failSql = `update jobs set state = 'failed', error = ?, started_at = coalesce(started_at, ?),
    finished_at = now(), version = version + 1
  where work_key = ? and state in ('queued', 'running') returning id`;

const openWorkSql = `select distinct on (work_key) name, work_key, data from (
    select name, work_key, data, created_at from jobs
    where state in ('queued', 'running') and created_at < now() - make_interval(secs => ?)
    order by created_at limit ?) as oldest
  order by work_key, created_at`;

/** A bounded bite, so that a purge never holds locks for long; the next one takes more. */
const purgeJobsSql = `delete from jobs where id in (
    select id from jobs where finished_at < now() - make_interval(secs => ?) limit 5000)`;

const purgeResultsSql = `delete from job_results where created_at < now() - make_interval(secs => ?)
    and not exists (select 1 from jobs where jobs.result_id = job_results.id)`;
