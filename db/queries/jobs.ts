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
  readonly idempotency?:
    { readonly key: string; readonly route: string; readonly bodyHash: string } | undefined;
}

const openStates: JobState[] = ['queued', 'running'];

/** Client jobs in Postgres, as the API sees them. */
export type JobQueries = ReturnType<typeof createJobQueries>;

/** Binds the queries to a connection pool. */
export function createJobQueries(knex: Knex) {
  return {
    ...overviewsOf(knex),

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
  };
}

/** Questions about many jobs at once. */
function overviewsOf(knex: Knex) {
  return {
    /** Those of the jobs that have ended, without their results. */
    async findEnded(ids: readonly string[]): Promise<readonly JobRecord[]> {
      const rows = await Job.query(knex)
        .findByIds([...ids])
        .whereNotIn('state', openStates);
      return rows.map(toRecord);
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
  };
}

const insertSql = `insert into jobs
  (id, user_id, name, work_key, data, total, route, idempotency_key, body_hash)
  values (?, ?, ?, ?, ?, ?, ?, ?, ?)
  on conflict (user_id, route, idempotency_key) where idempotency_key is not null do nothing
  returning *`;

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
