import type { Knex } from 'knex';
import type { Requester } from '../../../domain/requester.ts';
import { createBatcher } from '../../../platform/concurrency/batcher.ts';
import { isOutage } from '../../../../db/outage.ts';
import { deliveriesOfEndsSql } from '../../webhooks/queries/webhook-deliveries.ts';

/** Accepted work that has not ended. */
export interface OpenWork {
  readonly name: string;
  readonly workKey: string;
  /** Who asked for it first. */
  readonly requester: Requester;
  readonly submission: object;
  /** Number of distinct assets. */
  readonly total: number;
}

/** A run, for all rows that wait for it. */
interface RunRef {
  readonly workKey: string;
  readonly startedAt: Date;
}

/** Client jobs in Postgres, as workers see them: one statement moves every row that waits for the same work. */
export type RunQueries = ReturnType<typeof createRunQueries>;

/** Called with jobs that have ended and need a webhook: the delivery has the id of the job. Must not throw. */
type OnDeliveries = (ids: readonly string[]) => void;

/** Binds the queries to a connection pool. */
export function createRunQueries(knex: Knex, onDeliveries: OnDeliveries = () => undefined) {
  const complete = createBatcher({
    what: 'completing jobs',
    run: (ends: Parameters<typeof completeMany>[1]) => completeMany(knex, ends, onDeliveries),
    isOneToBlame: (error) => !isOutage(error),
    maxEntries: 50,
    maxConcurrent: 3,
    maxWaiting: 10_000,
    maxWaitMs: 10_000,
  });
  // One at a time: a price that hundreds of runs waited for leaves the other connections to those that end.
  const markProgress = createBatcher({
    what: 'noting progress of jobs',
    run: (steps: Parameters<typeof markMany>[1]) => markMany(knex, steps),
    maxEntries: 500,
    maxConcurrent: 1,
    maxWaiting: 20_000,
    maxWaitMs: 10_000,
  });
  return {
    /**
     * Marks a run as running and notes its progress; rows that have ended, or are being changed, stay as they are. Runs that come further
     * together share one statement.
     */
    async markProgress({ workKey, startedAt }: RunRef, done: number): Promise<void> {
      await markProgress({ workKey, startedAt, done });
    },

    /**
     * Ends a run: stores its result once and completes every row that still waits for it. Returns their ids. Runs that end
     * together share one statement.
     */
    async complete(run: RunRef, resultId: string, body: string): Promise<readonly string[]> {
      return await complete({ ...run, resultId, body });
    },

    /**
     * Fails every row that still waits for a run. Returns their ids.
     * @param error the reason; `status` is the HTTP status if the request itself was at fault, otherwise absent.
     */
    async fail(
      { workKey, startedAt }: RunRef,
      error: { readonly code: string; readonly message: string; readonly status?: number },
    ): Promise<readonly string[]> {
      const values = [JSON.stringify(error), startedAt, workKey];
      const { rows } = await knex.raw<{ rows: EndedRow[] }>(failSql, values);
      announceDeliveries(rows, onDeliveries);
      return rows.map(({ id }) => id);
    },

    /**
     * A page of distinct unfinished work older than `seconds`, the oldest first, of `limit` rows at most, after `after`; `next`
     * is where the next page starts, undefined when this one is empty.
     */
    async openWork({
      seconds,
      limit,
      after,
    }: {
      readonly seconds: number;
      readonly limit: number;
      readonly after?: string | undefined;
    }): Promise<{ readonly works: readonly OpenWork[]; readonly next: string | undefined }> {
      const values = [seconds, after ?? '-infinity', limit];
      const { rows } = await knex.raw<{
        rows: {
          readonly name: string;
          readonly user_id: string;
          readonly api_key_id: string | null;
          readonly work_key: string;
          readonly data: object;
          readonly total: number;
          readonly last: string;
        }[];
      }>(openWorkSql, values);
      return {
        works: rows.map(({ name, work_key, user_id, api_key_id, data, total }) => ({
          name,
          workKey: work_key,
          requester: { userId: user_id, keyId: api_key_id ?? undefined },
          submission: data,
          total,
        })),
        next: rows[0]?.last,
      };
    },

    /** Deletes at most 5,000 rows that ended more than `seconds` ago. Returns their number. */
    async purge(seconds: number): Promise<number> {
      const { rowCount } = await knex.raw<{ rowCount: number }>(purgeJobsSql, [seconds]);
      return rowCount;
    },

    /** Deletes at most 1,000 results that are older than `seconds` and that no row refers to. Returns their number. */
    async purgeResults(seconds: number): Promise<number> {
      const { rowCount } = await knex.raw<{ rowCount: number }>(purgeResultsSql, [seconds]);
      return rowCount;
    },
  };
}

/** Waits for no row: with several at a time it could wait for the end of a run that waits for it. */
const progressSql = `with step as (
    select * from (values VALUES) as step (done, started_at, work_key)),
  waiting as (
    select jobs.id, step.done, step.started_at from step join jobs on jobs.work_key = step.work_key
    where jobs.state in ('queued', 'running')
    for update of jobs skip locked)
  update jobs set state = 'running', done = greatest(jobs.done, least(waiting.done, jobs.total)),
    started_at = coalesce(jobs.started_at, waiting.started_at), version = version + 1
  from waiting where jobs.id = waiting.id`;

/** A result is only stored when somebody still waits for it. */
const completeSql = `with run as (
    select * from (values VALUES) as run (result_id, body, work_key, started_at)),
  stored as (
    insert into job_results (id, body) select result_id, body from run
    where exists (select 1 from jobs where jobs.work_key = run.work_key and state in ('queued', 'running'))
    returning id),
  ended as (
    update jobs set state = 'completed', done = total, result_id = stored.id,
      started_at = coalesce(jobs.started_at, run.started_at), finished_at = now(), version = version + 1
    from run join stored on stored.id = run.result_id
    where jobs.work_key = run.work_key and state in ('queued', 'running')
    returning jobs.id, jobs.user_id, jobs.state, jobs.callback_url, stored.id as result_id),
  ${deliveriesOfEndsSql}
  select id, result_id, callback_url is not null as "hasDelivery" from ended`;

interface EndedRow {
  readonly id: string;
  /** A delivery was stored. */
  readonly hasDelivery: boolean;
}

function announceDeliveries(rows: readonly EndedRow[], onDeliveries: OnDeliveries): void {
  const reported = rows.filter(({ hasDelivery }) => hasDelivery).map(({ id }) => id);
  if (reported.length > 0) onDeliveries(reported);
}

async function markMany(
  knex: Knex,
  steps: readonly (RunRef & { readonly done: number })[],
): Promise<readonly undefined[]> {
  const values = steps.flatMap(({ done, startedAt, workKey }) => [done, startedAt, workKey]);
  const rowsSql = steps.map(() => '(?::int, ?::timestamptz, ?::text)').join(', ');
  await knex.raw(progressSql.replace('VALUES', rowsSql), values);
  return steps.map(() => undefined);
}

async function completeMany(
  knex: Knex,
  ends: readonly (RunRef & { readonly resultId: string; readonly body: string })[],
  onDeliveries: OnDeliveries,
): Promise<(readonly string[])[]> {
  const values = ends.flatMap(({ resultId, body, workKey, startedAt }) => [
    resultId,
    body,
    workKey,
    startedAt,
  ]);
  // Not as arrays: quoting a large text inside an array costs more than a parameter of its own.
  const rowsSql = ends.map(() => '(?::uuid, ?::text, ?::text, ?::timestamptz)').join(', ');
  const sql = completeSql.replace('VALUES', rowsSql);
  const { rows } = await knex.raw<{ rows: (EndedRow & { result_id: string })[] }>(sql, values);
  announceDeliveries(rows, onDeliveries);
  const ended = new Map<string, string[]>(ends.map(({ resultId }) => [resultId, []]));
  for (const { id, result_id } of rows) ended.get(result_id)?.push(id);
  return ends.map(({ resultId }) => ended.get(resultId) ?? []);
}

const failSql = `with ended as (
    update jobs set state = 'failed', error = ?, started_at = coalesce(started_at, ?),
      finished_at = now(), version = version + 1
    where work_key = ? and state in ('queued', 'running') returning id, user_id, state, callback_url),
  ${deliveriesOfEndsSql}
  select id, callback_url is not null as "hasDelivery" from ended`;

/** `last` is text, because a JavaScript date would lose the microseconds. */
const openWorkSql = `select * from (
    select distinct on (work_key) name, work_key, user_id, api_key_id, data, total, created_at, last from (
      select name, work_key, user_id, api_key_id, data, total, created_at, (max(created_at) over ())::text as last from (
        select name, work_key, user_id, api_key_id, data, total, created_at from jobs
        where state in ('queued', 'running') and created_at < now() - make_interval(secs => ?)
          and created_at > ?::timestamptz
        order by created_at limit ?) as page) as aged
    order by work_key, created_at) as works
  order by created_at`;

/**
 * A bounded batch, so that a purge never holds locks for long; the next one takes more. A job whose end has not been reported
 * yet stays, because the report is built from its row.
 */
const purgeJobsSql = `delete from jobs where id in (
    select id from jobs where finished_at < now() - make_interval(secs => ?)
      and (callback_url is null or not exists (
        select 1 from webhook_deliveries as waiting where waiting.id = jobs.id and waiting.state = 'pending'))
    order by finished_at limit 5000)`;

/** Results are large: a batch has fewer. */
const purgeResultsSql = `delete from job_results where id in (
    select id from job_results where created_at < now() - make_interval(secs => ?)
      and not exists (select 1 from jobs where jobs.result_id = job_results.id)
    order by created_at limit 1000)`;
