import type { Knex } from 'knex';
import { orUnavailable } from '../../../../db/outage.ts';

/** What somebody has caused. */
export interface UsageCounts {
  readonly requests: number;
  readonly jobs: number;
  /** Calls are shared by all who asked for what they fetched, so this is no whole number; rounded to 6 places. */
  readonly upstreamCalls: number;
}

/** Counts to add to a day of a user and a key. */
export interface NewUsage extends UsageCounts {
  /** UTC day, `YYYY-MM-DD`. */
  readonly day: string;
  readonly userId: string;
  readonly keyId: string | undefined;
}

export type UsageQueries = ReturnType<typeof createUsageQueries>;

/** What stands for "without a key" in the primary key. */
const noKey = '00000000-0000-0000-0000-000000000000';
const maxDays = 20_000;

/** Usage in Postgres. All reject with {@link UnavailableError} when it does not answer. */
export function createUsageQueries(knex: Knex) {
  const query = async <R>(sql: string, values: readonly (string | number)[]): Promise<readonly R[]> => {
    const { rows } = await orUnavailable(knex.raw<{ rows: R[] }>(sql, values));
    return rows;
  };
  return {
    /** Adds counts to what is stored; either all or none. */
    async add(rows: readonly NewUsage[]): Promise<void> {
      if (rows.length > 0) await query(addSql, [JSON.stringify(rows.map(toRow))]);
    },

    /**
     * The days of a user by key, the newest first, 20,000 at most; the totals are of all. `from` and `to` are UTC days, `YYYY-MM-DD`,
     * both included.
     */
    async ofUser({ userId, from, to }: Readonly<Record<'userId' | 'from' | 'to', string>>): Promise<{
      /** `keyId` is null for what was asked without a key. */
      readonly days: readonly (UsageCounts & { readonly day: string; readonly keyId: string | null })[];
      readonly totals: UsageCounts;
    }> {
      const [days, totals] = await Promise.all([
        query<CountsRow & { day: string; key_id: string }>(ofUserSql, [userId, from, to, maxDays]),
        query<CountsRow>(totalsSql, [userId, from, to]),
      ]);
      return {
        days: days.map((row) => ({ day: row.day, keyId: keyOf(row), ...countsOf(row) })),
        totals: countsOf(totals[0]),
      };
    },

    /** A page of users and keys, those with the most upstream calls first. */
    async all({
      from,
      to,
      offset,
      limit,
    }: Readonly<Record<'from' | 'to', string> & Record<'offset' | 'limit', number>>): Promise<{
      readonly usage: readonly (UsageCounts & {
        readonly userId: string;
        /** Null when there is no such account. */
        readonly username: string | null;
        readonly keyId: string | null;
        /** What is shown of the key; null without one. */
        readonly keyPrefix: string | null;
      })[];
      readonly total: number;
    }> {
      const [rows, counted] = await Promise.all([
        query<
          CountsRow & {
            readonly user_id: string;
            readonly key_id: string;
            readonly username: string | null;
            readonly prefix: string | null;
          }
        >(allSql, [from, to, limit, offset]),
        query<{ total: number }>(countSql, [from, to]),
      ]);
      const usage = rows.map((row) => {
        const { user_id: userId, username, prefix: keyPrefix } = row;
        return { userId, username, keyId: keyOf(row), keyPrefix, ...countsOf(row) };
      });
      return { usage, total: counted[0]?.total ?? 0 };
    },
  };
}

/** Sorted, so that processes that add at the same time never wait for each other in a circle. */
const addSql = `insert into usage_daily (day, user_id, key_id, requests, jobs, upstream_calls)
  select day, user_id, key_id, sum(requests), sum(jobs), sum(upstream_calls)
  from jsonb_to_recordset(?::jsonb)
    as row (day date, user_id uuid, key_id uuid, requests bigint, jobs bigint, upstream_calls numeric(20, 6))
  group by day, user_id, key_id order by day, user_id, key_id
  on conflict (day, user_id, key_id) do update set
    requests = usage_daily.requests + excluded.requests,
    jobs = usage_daily.jobs + excluded.jobs,
    upstream_calls = usage_daily.upstream_calls + excluded.upstream_calls`;

const ofUserSql = `select day::text as day, key_id, requests, jobs, upstream_calls::text as upstream_calls
  from usage_daily where user_id = ? and day between ? and ?
  order by usage_daily.day desc, key_id limit ?`;

const sums = `coalesce(sum(requests), 0)::bigint as requests, coalesce(sum(jobs), 0)::bigint as jobs,
  coalesce(sum(upstream_calls), 0) as upstream_calls`;

const totalsSql = `select ${sums} from usage_daily where user_id = ? and day between ? and ?`;

const allSql = `select page.*, users.username, api_keys.prefix from (
    select user_id, key_id, ${sums} from usage_daily where day between ? and ?
    group by user_id, key_id order by sum(upstream_calls) desc, user_id, key_id limit ? offset ?) as page
  left join users on users.id = page.user_id
  left join api_keys on api_keys.id = page.key_id
  order by page.upstream_calls desc, page.user_id, page.key_id`;

const countSql = `select count(*) as total
  from (select 1 from usage_daily where day between ? and ? group by user_id, key_id) as groups`;

function toRow({ day, userId, keyId, requests, jobs, upstreamCalls }: NewUsage): object {
  // As text: a number that is very small would be written with an exponent, and one of long digits rounded twice.
  const calls = upstreamCalls.toFixed(6);
  return { day, user_id: userId, key_id: keyId ?? noKey, requests, jobs, upstream_calls: calls };
}

/** Postgres gives `numeric` as text. */
interface CountsRow {
  readonly requests: number;
  readonly jobs: number;
  readonly upstream_calls: string;
}

function countsOf(row: CountsRow | undefined): UsageCounts {
  return {
    requests: row?.requests ?? 0,
    jobs: row?.jobs ?? 0,
    upstreamCalls: Number(Number(row?.upstream_calls ?? 0).toFixed(6)),
  };
}

function keyOf({ key_id: keyId }: { readonly key_id: string }): string | null {
  return keyId === noKey ? null : keyId;
}
