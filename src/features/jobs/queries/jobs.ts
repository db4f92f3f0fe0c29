import type { Knex } from 'knex';
import type { JobRecord, JobState } from '../../../domain/job.ts';
import { createBatcher } from '../../../platform/concurrency/batcher.ts';
import { Job } from '../../../../db/models/job.ts';
import { isOutage } from '../../../../db/outage.ts';
import { deliveriesOfEndsSql } from '../../webhooks/queries/webhook-deliveries.ts';

/** A row to insert. */
export interface NewJob {
  readonly id: string;
  readonly userId: string;
  /** The API key that it came with. */
  readonly keyId?: string | undefined;
  readonly name: string;
  readonly workKey: string;
  readonly submission: { readonly currency: string };
  readonly total: number;
  /** JSON text of what its symbols were resolved to. */
  readonly resolvedJson?: string | undefined;
  /** URL that is notified when it ends. */
  readonly callbackUrl?: string | undefined;
  readonly idempotency?:
    { readonly key: string; readonly route: string; readonly bodyHash: string } | undefined;
}

const openStates: JobState[] = ['queued', 'running'];

/** Client jobs in Postgres, as the API sees them. */
export type JobQueries = ReturnType<typeof createJobQueries>;

/**
 * Binds the queries to a connection pool.
 * @param onDeliveries Called with jobs that have ended and need a webhook: the delivery has the id of the job. Must not throw.
 */
export function createJobQueries(
  knex: Knex,
  onDeliveries: (ids: readonly string[]) => void = () => undefined,
) {
  return {
    ...overviewsOf(knex),

    /**
     * The id of a user's own job of some work, so that the same request does not create the same job twice: the newest
     * completed one whose result is stored, else the oldest unfinished one.
     */
    async findByWork(userId: string, workKey: string): Promise<string | undefined> {
      const values = [workKey, userId, workKey, userId];
      const { rows } = await knex.raw<{ rows: { id: string }[] }>(byWorkSql, values);
      return rows[0]?.id;
    },

    /** Inserts a row; undefined when its idempotency key is taken. Concurrent rows share one statement. */
    insert: createBatcher({
      what: 'storing jobs',
      run: (jobs: readonly NewJob[]) => insertMany(knex, jobs),
      // A row can be refused for its content (an unknown user); the others must not fail with it.
      isOneToBlame: (error) => !isOutage(error),
      ...batchLimits,
    }),

    /** The job that holds an idempotency key, with the hash of its body. */
    async findByIdempotencyKey(
      userId: string,
      route: string,
      key: string,
    ): Promise<{ job: JobRecord; bodyHash: string | null } | undefined> {
      const row = await Job.query(knex).findOne({ user_id: userId, route, idempotency_key: key });
      return row === undefined ? undefined : { job: toRecord(row), bodyHash: row.body_hash };
    },

    /** One job with its result. Concurrent requests share one statement. */
    find: createBatcher({
      what: 'reading jobs',
      run: (ids: readonly string[]) => findMany(knex, ids),
      ...batchLimits,
    }),

    /** A page of a user's jobs, the newest first; ids are UUID v7, so they sort by time. */
    async list({
      userId,
      state,
      names,
      offset,
      limit,
    }: {
      readonly userId: string;
      readonly state?: JobState | undefined;
      /** Jobs of other names are left out; all when undefined. */
      readonly names?: readonly string[] | undefined;
      readonly offset: number;
      readonly limit: number;
    }) {
      const page = await Job.query(knex)
        .where({ user_id: userId, ...(state === undefined ? {} : { state }) })
        .modify((query) => (names === undefined ? undefined : void query.whereIn('name', [...names])))
        .orderBy('id', 'desc')
        .range(offset, offset + limit - 1);
      return { jobs: page.results.map(toRecord), total: page.total };
    },

    /** Cancels an open row; undefined when it was not open. */
    async cancel(id: string): Promise<JobRecord | undefined> {
      const { rows } = await knex.raw<{ rows: Job[] }>(cancelSql, [id]);
      const [row] = rows;
      if (row?.callback_url != null) onDeliveries([id]);
      return row === undefined ? undefined : toRecord(row);
    },
  };
}

/** Each half has a partial index. Only computed performance is looked up by its work. */
const byWorkSql = `(select id, 0 as place from jobs where work_key = ? and user_id = ?
    and state = 'completed' and name = 'performance.compute' and result_id is not null order by id desc limit 1)
  union all
  (select id, 1 from jobs where work_key = ? and user_id = ? and state in ('queued', 'running') order by id limit 1)
  order by place limit 1`;

const cancelSql = `with ended as (
    update jobs set state = 'cancelled', finished_at = now(), version = version + 1
    where id = ? and state in ('queued', 'running') returning *),
  ${deliveriesOfEndsSql}
  select * from ended`;

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

    /** Number of open rows of a user. Concurrent requests share one statement. */
    countOpenOfUser: createBatcher({
      what: 'counting jobs',
      run: (userIds: readonly string[]) => countOpenOfMany(knex, userIds),
      ...batchLimits,
    }),

    /** Number of open rows of a user with one of these names. */
    async countOpenOfNames(userId: string, names: readonly string[]): Promise<number> {
      const { rows } = await knex.raw<{ rows: { open: number }[] }>(countNamedSql, [userId, names] as never);
      return rows[0]?.open ?? 0;
    },

    /** Total number of open rows. */
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

/** At most four connections of a pool, so that other queries find one too. */
const batchLimits = { maxEntries: 200, maxConcurrent: 4, maxWaiting: 20_000, maxWaitMs: 2_500 } as const;

async function countOpenOfMany(knex: Knex, userIds: readonly string[]): Promise<number[]> {
  const distinct = [...new Set(userIds)];
  const { rows } = await knex.raw<{ rows: { user_id: string; open: number }[] }>(countOpenSql, [
    distinct,
  ] as never);
  const counts = new Map(rows.map((row) => [row.user_id, row.open]));
  return userIds.map((userId) => counts.get(userId) ?? 0);
}

const countNamedSql = `select count(*)::int as open from jobs
  where user_id = ? and state in ('queued', 'running') and name = any(?::text[])`;

const countOpenSql = `select user_id, count(*) as open from jobs
  where user_id = any(?::uuid[]) and state in ('queued', 'running') group by user_id`;

const insertSql = `insert into jobs
  (id, user_id, api_key_id, name, work_key, data, total, route, idempotency_key, body_hash, resolved, callback_url)
  values VALUES
  on conflict (user_id, route, idempotency_key) where idempotency_key is not null do nothing
  returning id, created_at`;

async function insertMany(knex: Knex, jobs: readonly NewJob[]): Promise<(JobRecord | undefined)[]> {
  const values = jobs.flatMap((job) => [
    job.id,
    job.userId,
    job.keyId ?? null,
    job.name,
    job.workKey,
    JSON.stringify(job.submission),
    job.total,
    job.idempotency?.route ?? null,
    job.idempotency?.key ?? null,
    job.idempotency?.bodyHash ?? null,
    job.resolvedJson ?? null,
    job.callbackUrl ?? null,
  ]);
  // Not as arrays: quoting a text inside an array costs more than a parameter of its own.
  const sql = insertSql.replace('VALUES', jobs.map(() => '(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)').join(', '));
  const { rows } = await knex.raw<{ rows: { id: string; created_at: Date }[] }>(sql, values);
  const createdAt = new Map(rows.map((row) => [row.id, row.created_at]));
  return jobs.map((job) => {
    const at = createdAt.get(job.id);
    return at === undefined ? undefined : newRecord(job, at);
  });
}

/** The record of an inserted row, without reading it back. */
function newRecord(job: NewJob, createdAt: Date): JobRecord {
  return {
    id: job.id,
    userId: job.userId,
    name: job.name,
    state: 'queued',
    done: 0,
    total: job.total,
    version: 1,
    workKey: job.workKey,
    currency: job.submission.currency,
    createdAt,
    startedAt: null,
    finishedAt: null,
    error: null,
    errorStatus: null,
    resultJson: null,
    resolvedJson: job.resolvedJson ?? null,
  };
}

/** Everything except the submitted data, which may be large. A result that several rows share is sent once. */
const findSql = `select id, user_id, name, state, done, total, version, work_key, jsonb_build_object('currency', data->'currency') as data,
    created_at, started_at, finished_at, error, resolved, result_id,
    exists (select 1 from users where users.id = jobs.user_id and users.deleted_at is not null) as orphaned,
    case when row_number() over (partition by result_id order by id) = 1
      then (select body from job_results where job_results.id = jobs.result_id) end as body
  from jobs where id = any(?::uuid[])`;

async function findMany(knex: Knex, ids: readonly string[]): Promise<(JobRecord | undefined)[]> {
  const { rows } = await knex.raw<{
    rows: (JobRow & {
      readonly result_id: string | null;
      readonly body: string | null;
      readonly orphaned: boolean;
    })[];
  }>(findSql, [ids] as never);
  const bodies = new Map<string | null, string>();
  for (const { result_id, body } of rows) if (body !== null) bodies.set(result_id, body);
  const found = new Map(
    rows.map((row) => {
      const job = toRecord(row);
      // Requests and results are deleted with the account, because they have no owner any more.
      if (row.orphaned) return [row.id, { ...job, resolvedJson: null }];
      return [row.id, { ...job, resultJson: bodies.get(row.result_id) ?? null }];
    }),
  );
  return ids.map((id) => found.get(id));
}

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
  | 'resolved'
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
    error: row.error && { code: row.error.code, message: row.error.message },
    errorStatus: row.error?.status ?? null,
    resultJson: null,
    resolvedJson: row.resolved,
  };
}
