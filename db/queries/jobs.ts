import type { Knex } from 'knex';
import { raw } from 'objection';
import type { JobRecord, JobState } from '../../src/domain/job.ts';
import { Job } from '../models/job.ts';

/** A row to insert. */
export interface NewJob {
  readonly id: string;
  readonly userId: string;
  readonly name: string;
  readonly workKey: string;
  readonly submission: object;
  readonly total: number;
  readonly idempotency?: { readonly key: string; readonly route: string; readonly bodyHash: string } | undefined;
}

/** Work that was accepted and has not ended. */
export interface OpenWork {
  readonly name: string;
  readonly workKey: string;
  readonly submission: object;
}

/** How a run ended, for all rows that wait for it. */
export interface RunEnd {
  readonly workKey: string;
  readonly startedAt: Date;
}

const openStates: JobState[] = ['queued', 'running'];

/** Everything that reads or writes client jobs in Postgres. */
export type JobQueries = ReturnType<typeof createJobQueries>;

/** Binds the queries to a connection pool. */
export function createJobQueries(knex: Knex) {
  return {
    /** Inserts a row; undefined when its idempotency key is taken. */
    async insert(job: NewJob): Promise<JobRecord | undefined> {
      const { rows } = await knex.raw<{ rows: JobRow[] }>(insertSql, [
        job.id,
        job.userId,
        job.name,
        job.workKey,
        JSON.stringify(job.submission),
        job.total,
        job.idempotency?.route ?? null,
        job.idempotency?.key ?? null,
        job.idempotency?.bodyHash ?? null,
      ]);
      return rows[0] === undefined ? undefined : toRecord(rows[0]);
    },

    /** The job that holds an idempotency key, with the hash of its body. */
    async findByIdempotencyKey(
      userId: string,
      route: string,
      key: string,
    ): Promise<{ job: JobRecord; bodyHash: string | null } | undefined> {
      const row = await Job.query(knex).findOne({ user_id: userId, route, idempotency_key: key });
      return row === undefined ? undefined : { job: toRecord(row), bodyHash: row.body_hash };
    },

    /** One job with its result. */
    async find(id: string): Promise<JobRecord | undefined> {
      const { rows } = await knex.raw<{ rows: (JobRow & { body: string | null })[] }>(
        'select jobs.*, job_results.body from jobs left join job_results on job_results.id = jobs.result_id where jobs.id = ?',
        [id],
      );
      return rows[0] === undefined ? undefined : { ...toRecord(rows[0]), resultJson: rows[0].body };
    },

    /** A page of a user's jobs, the newest first; ids are UUID v7, so they sort by time. */
    async list(filter: { userId: string; state?: JobState | undefined; offset: number; limit: number }) {
      const page = await Job.query(knex)
        .where({ user_id: filter.userId, ...(filter.state === undefined ? {} : { state: filter.state }) })
        .orderBy('id', 'desc')
        .range(filter.offset, filter.offset + filter.limit - 1);
      return { jobs: page.results.map(toRecord), total: page.total };
    },

    /** Cancels an open row; undefined when it was not open. */
    async cancel(id: string): Promise<JobRecord | undefined> {
      const [row] = await Job.query(knex)
        .patch({ state: 'cancelled', finished_at: new Date(), version: raw('version + 1') })
        .where({ id })
        .whereIn('state', openStates)
        .returning('*');
      return row === undefined ? undefined : toRecord(row);
    },

    /** Number of rows that still wait for a run. */
    async countOpen(workKey: string): Promise<number> {
      return await Job.query(knex).where({ work_key: workKey }).whereIn('state', openStates).resultSize();
    },

    /** Number of open rows in all. */
    async countBacklog(): Promise<number> {
      return await Job.query(knex).whereIn('state', openStates).resultSize();
    },

    /** Rows by state, for metrics. */
    async countByState(): Promise<Readonly<Record<string, number>>> {
      const { rows } = await knex.raw<{ rows: { state: string; n: number }[] }>(
        'select state, count(*) as n from jobs group by state',
      );
      return Object.fromEntries(rows.map(({ state, n }) => [state, n]));
    },

    /** Marks a run as running and notes its progress; rows that have ended stay as they are. */
    async markProgress(workKey: string, done: number, startedAt: Date): Promise<void> {
      await knex.raw(
        `update jobs set state = 'running', done = greatest(done, least(?, total)), started_at = coalesce(started_at, ?),
           version = version + 1
         where work_key = ? and state in ('queued', 'running')`,
        [done, startedAt, workKey],
      );
    },

    /** Ends a run: stores its result once and completes every row that still waits for it. Returns their ids. */
    async complete({ workKey, startedAt }: RunEnd, resultId: string, body: string): Promise<readonly string[]> {
      const { rows } = await knex.raw<{ rows: { id: string }[] }>(completeSql, [
        resultId,
        body,
        workKey,
        startedAt,
        workKey,
      ]);
      return rows.map(({ id }) => id);
    },

    /** Fails every row that still waits for a run. Returns their ids. */
    async fail({ workKey, startedAt }: RunEnd, error: { code: string; message: string }): Promise<readonly string[]> {
      const { rows } = await knex.raw<{ rows: { id: string }[] }>(
        `update jobs set state = 'failed', error = ?, started_at = coalesce(started_at, ?), finished_at = now(),
           version = version + 1
         where work_key = ? and state in ('queued', 'running') returning id`,
        [JSON.stringify(error), startedAt, workKey],
      );
      return rows.map(({ id }) => id);
    },

    /** Distinct work older than `seconds` that has not ended, the oldest first. */
    async openWork(seconds: number, limit: number): Promise<readonly OpenWork[]> {
      const { rows } = await knex.raw<{ rows: { name: string; work_key: string; data: object }[] }>(
        `select distinct on (work_key) name, work_key, data from (
           select name, work_key, data, created_at from jobs
           where state in ('queued', 'running') and created_at < now() - make_interval(secs => ?)
           order by created_at limit ?) as oldest
         order by work_key, created_at`,
        [seconds, limit],
      );
      return rows.map((row) => ({ name: row.name, workKey: row.work_key, submission: row.data }));
    },

    /** Deletes rows that ended more than `seconds` ago, and results that nobody refers to. Returns the number of rows. */
    async purge(seconds: number): Promise<number> {
      const { rowCount } = await knex.raw<{ rowCount: number }>(
        `delete from jobs where id in (
           select id from jobs where finished_at < now() - make_interval(secs => ?) limit 5000)`,
        [seconds],
      );
      await knex.raw(
        `delete from job_results where created_at < now() - make_interval(secs => ?)
           and not exists (select 1 from jobs where jobs.result_id = job_results.id)`,
        [seconds],
      );
      return rowCount;
    },
  };
}

const insertSql = `insert into jobs
  (id, user_id, name, work_key, data, total, route, idempotency_key, body_hash)
  values (?, ?, ?, ?, ?, ?, ?, ?, ?)
  on conflict (user_id, route, idempotency_key) where idempotency_key is not null do nothing
  returning *`;

/** The result is only stored when somebody still waits for it. */
const completeSql = `with stored as (
    insert into job_results (id, body) select ?, ?
    where exists (select 1 from jobs where work_key = ? and state in ('queued', 'running'))
    returning id)
  update jobs set state = 'completed', done = total, result_id = stored.id, started_at = coalesce(started_at, ?),
    finished_at = now(), version = version + 1
  from stored where work_key = ? and state in ('queued', 'running') returning jobs.id`;

type JobRow = Pick<
  Job,
  | 'id'
  | 'user_id'
  | 'name'
  | 'state'
  | 'done'
  | 'total'
  | 'version'
  | 'work_key'
  | 'data'
  | 'created_at'
  | 'started_at'
  | 'finished_at'
  | 'error'
>;

function toRecord(row: JobRow): JobRecord {
  return {
    id: row.id,
    userId: row.user_id,
    name: row.name,
    state: row.state,
    done: row.done,
    total: row.total,
    version: row.version,
    workKey: row.work_key,
    currency: (row.data as { currency: string }).currency,
    createdAt: row.created_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    error: row.error,
    resultJson: null,
  };
}
