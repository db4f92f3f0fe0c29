/**
 * The ledger of upstream calls. Every time is the database's own (`clock_timestamp()`, which unlike `now()` is not the start of
 * the transaction), and leaves the database only as a distance from its present.
 */
import type { Knex } from 'knex';

/** No call lasts longer than this (the budget refuses a longer deadline), so older rows can be skipped. */
const longestCallMs = 60_000;

const fromNow = "clock_timestamp() + ? * interval '1 millisecond'";

/** Outcomes for which providers charge nothing. */
const free = ['rate_limited', 'rejected', 'url_too_long'];

export type UpstreamCallLog = ReturnType<typeof createUpstreamCallLog>;

/** Reads and writes `upstream_calls`, `budget_blocks` and `budget_tiers`. Every method rejects when the database fails. */
export function createUpstreamCallLog(knex: Knex) {
  return {
    /** Writes a grant, durably, before its call may go out. `lastsMs`: the call is over by then. */
    async record({
      id,
      budgetKey,
      lastsMs,
      credits = 1,
    }: {
      id: string;
      budgetKey: string;
      lastsMs: number;
      credits?: number;
    }): Promise<void> {
      await knex('upstream_calls').insert({
        id,
        budget_key: budgetKey,
        counted_until: knex.raw(fromNow, [lastsMs]),
        credits,
      });
    },
    /** Reports that the call has ended; with `answered`, it was counted before now. */
    async settle({
      id,
      outcome,
      answered,
    }: {
      id: string;
      outcome: string;
      answered: boolean;
    }): Promise<void> {
      const now = knex.raw('clock_timestamp()');
      const counted = answered
        ? { counted_until: knex.raw('least(counted_until, clock_timestamp())') }
        : undefined;
      await knex('upstream_calls')
        .where({ id })
        .update({ settled_at: now, outcome, ...counted });
    },
    /** Removes a call that was never made. */
    async remove(id: string): Promise<void> {
      await knex('upstream_calls').where({ id }).delete();
    },
    /**
     * Grants that may have been counted within the last `windowMs`, and the credits spent since a given time, both of the same
     * instant.
     */
    recent: (query: Parameters<typeof recentCalls>[1]) => recentCalls(knex, query),
    /** Stores the limits that the provider reported; what others have spent is stored as a row like that of a call. */
    storeReportedLimits: (reported: Parameters<typeof storeReportedLimits>[1]) =>
      storeReportedLimits(knex, reported),
    /** Blocks all calls for this time. Never shortens an earlier block. */
    async block({ budgetKey, ms }: { budgetKey: string; ms: number }): Promise<void> {
      await knex('budget_blocks')
        .insert({ budget_key: budgetKey, blocked_until: knex.raw(fromNow, [ms]) })
        .onConflict('budget_key')
        .merge({ blocked_until: knex.raw('greatest(budget_blocks.blocked_until, excluded.blocked_until)') });
    },
    /** How long ago (ms) the provider last reported its limits; undefined when it never has. */
    async reportedAgoMs(budgetKey: string): Promise<number | undefined> {
      const row: { ms: number } | undefined = await knex('budget_tiers')
        .where({ budget_key: budgetKey })
        .first(knex.raw('(extract(epoch from clock_timestamp() - told_at) * 1000)::double precision as ms'));
      return row?.ms;
    },
    /** Credits that calls granted since `since` have cost or may cost; refused calls cost none. */
    async creditsSince(budgetKey: string, since: Date): Promise<number> {
      const row: { credits?: unknown } | undefined = await knex('upstream_calls')
        .where({ budget_key: budgetKey })
        .where('granted_at', '>=', since)
        .where((unpaid) => void unpaid.whereNull('outcome').orWhereNotIn('outcome', free))
        .sum({ credits: 'credits' })
        .first();
      return Number(row?.credits ?? 0);
    },
    /**
     * Sums the next hour that is not summed yet and ended at least ten minutes ago; later reports about its calls are no longer
     * counted, which errs on the safe side. Returns false when there is none.
     */
    sumHour: (): Promise<boolean> => sumHour(knex),
    /** Sums hours as {@link sumHour} does until none is left or `ms` have passed. Returns whether none is left. */
    async sumHours(ms: number): Promise<boolean> {
      const until = performance.now() + ms;
      while (await sumHour(knex)) if (performance.now() > until) return false;
      return true;
    },
    /** Deletes at most 10,000 rows of calls granted before `olderThan`. Keep at least the present month. @returns how many. */
    purge: (olderThan: Date): Promise<number> => deleteSome(knex, purgeSql, olderThan),
    /** Deletes at most 10,000 sums of hours before `olderThan`. @returns how many. */
    purgeSums: (olderThan: Date): Promise<number> => deleteSome(knex, purgeSumsSql, olderThan),
  };
}

const purgeSql = `delete from upstream_calls where ctid = any(array(
    select ctid from upstream_calls where granted_at < ? order by granted_at limit 10000))`;
const purgeSumsSql = `delete from upstream_sums where ctid = any(array(
    select ctid from upstream_sums where hour < ? order by hour limit 10000))`;

async function deleteSome(knex: Knex, sql: string, olderThan: Date): Promise<number> {
  const { rowCount } = await knex.raw<{ rowCount: number }>(sql, [olderThan]);
  return rowCount;
}

const hourMs = 3_600_000;
/** An hour is summed this long (s) after its end: by then its calls are over, and all reports about them have arrived. */
const sumAfterSeconds = 600;
/** The time that counts is the earlier one, because credits spent by others are written as over in two minutes. */
const countedAt = 'least(granted_at, counted_until)';
const longestAhead = "interval '5 minutes'";
/** No month is looked at that began longer ago: the first sum ever begins here, however far back the ledger reaches. */
const longestMonth = "interval '33 days'";

/**
 * Sum and calls come from one statement, hence from one instant: the budget's proof needs a grant in both or in neither. Whole
 * summed hours come from their sums, the time before and after them from the rows. Times are subselects, because an index helps
 * only when they are read once.
 */
const recentSql = `
  with bounds as materialized (
    select least(:since, clock_timestamp() - :windowMs * interval '1 millisecond') - :longest * interval '1 millisecond' as since,
           greatest(:firstHour::timestamptz, (select summed_to from upstream_sums_to)) as summed_to),
  rows as (
    select id, counted_until, case when outcome = any(:free) or counted_until < :since then 0 else credits end as charged
    from upstream_calls
    where budget_key = :budgetKey and granted_at > (select since from bounds)
      and granted_at < :firstHour::timestamptz + ${longestAhead} and ${countedAt} < :firstHour
    union all
    select id, counted_until, case when outcome = any(:free) or counted_until < :since then 0 else credits end
    from upstream_calls
    where budget_key = :budgetKey and granted_at > (select since from bounds)
      and granted_at >= (select summed_to from bounds) and ${countedAt} >= (select summed_to from bounds))
  select coalesce(sum(charged), 0) + (
           select coalesce(sum(credits), 0) from upstream_sums
           where budget_key = :budgetKey and hour >= :firstHour and hour < (select summed_to from bounds)
             and outcome <> all(:free)) as credits,
         coalesce(json_agg(json_build_object(
           'id', id, 'credits', charged,
           'counted_in_ms', extract(epoch from counted_until - clock_timestamp()) * 1000
         )) filter (where counted_until > clock_timestamp() - :windowMs * interval '1 millisecond'), '[]') as calls
  from rows`;

/** Sums the next hour that has calls and ended long enough ago. Returns false when there is none. */
async function sumHour(knex: Knex): Promise<boolean> {
  return await knex.transaction(async (trx) => {
    await trx.raw(firstMarkSql);
    // A second process that sums waits here, and then finds the next hour.
    const { rows: marks } = await trx.raw<{ rows: { summed_to: string }[] }>(
      'select summed_to::text from upstream_sums_to for update',
    );
    const summedTo = marks[0]?.summed_to;
    const { rows } = await trx.raw<{ rows: { hour: Date; is_over: boolean }[] }>(nextHourSql, {
      summedTo,
      sumAfterSeconds,
    });
    const [next] = rows;
    if (next?.is_over !== true) return false;
    await trx.raw(sumSql, { hour: next.hour });
    await trx.raw("update upstream_sums_to set summed_to = ?::timestamptz + interval '1 hour'", [next.hour]);
    return true;
  });
}

const firstMarkSql = `
  insert into upstream_sums_to (summed_to) values (date_bin('1 hour', clock_timestamp() - ${longestMonth}, 'epoch'))
  on conflict do nothing`;

/** Where there is no call, there is no hour: `greatest` passes over what is null. */
const nextHourSql = `
  select hour, hour + interval '1 hour' < clock_timestamp() - :sumAfterSeconds * interval '1 second' as is_over
  from (
    select greatest(date_bin('1 hour', first - ${longestAhead}, 'epoch'), :summedTo::timestamptz) as hour
    from (select min(granted_at) as first from upstream_calls where granted_at >= :summedTo::timestamptz) as calls
    where first is not null) as next`;

const sumSql = `
  insert into upstream_sums (budget_key, hour, outcome, credits)
  select budget_key, :hour::timestamptz, coalesce(outcome, ''), sum(credits) from upstream_calls
  where granted_at >= :hour and granted_at < :hour::timestamptz + interval '1 hour' + ${longestAhead}
    and ${countedAt} >= :hour and ${countedAt} < :hour::timestamptz + interval '1 hour'
  group by 1, 2, 3
  on conflict (budget_key, hour, outcome) do update set credits = excluded.credits`;

async function recentCalls(
  knex: Knex,
  {
    budgetKey,
    windowMs,
    creditsSince,
    free,
  }: {
    readonly budgetKey: string;
    readonly windowMs: number;
    readonly creditsSince: Date;
    /** Outcomes of calls that cost no credits. */
    readonly free: readonly string[];
  },
): Promise<{
  /**
   * `countedInMs`: time from now until the latest time at which the upstream may have counted the call; negative when that is
   * past.
   */
  readonly calls: readonly { readonly id: string; readonly countedInMs: number; readonly credits: number }[];
  readonly blockedForMs: number;
  readonly credits: number;
  /** The limits that the provider last reported. */
  readonly reported:
    { readonly callsPerMinute: number | undefined; readonly creditsPerMonth: number | undefined } | undefined;
}> {
  const firstHour = new Date(Math.ceil(creditsSince.getTime() / hourMs) * hourMs);
  const requested = {
    budgetKey,
    windowMs,
    since: creditsSince,
    firstHour,
    free: [...free],
    longest: longestCallMs,
  };
  const {
    rows,
  }: {
    rows: {
      readonly credits: string | number;
      readonly calls: readonly { id: string; counted_in_ms: number; credits: number }[];
    }[];
  } = await knex.raw(recentSql, requested);
  const blocks: { ms: number }[] = await knex('budget_blocks')
    .where({ budget_key: budgetKey })
    .select(
      knex.raw('(extract(epoch from blocked_until - clock_timestamp()) * 1000)::double precision as ms'),
    );
  const tier: { calls_per_minute: number | null; credits_per_month: string | null } | undefined = await knex(
    'budget_tiers',
  )
    .where({ budget_key: budgetKey })
    .first('calls_per_minute', 'credits_per_month');
  return {
    calls: (rows[0]?.calls ?? []).map((row) => ({
      id: row.id,
      countedInMs: row.counted_in_ms,
      credits: row.credits,
    })),
    credits: Number(rows[0]?.credits ?? 0),
    blockedForMs: Math.max(0, blocks[0]?.ms ?? 0),
    reported: tier && {
      callsPerMinute: tier.calls_per_minute ?? undefined,
      creditsPerMonth: tier.credits_per_month === null ? undefined : Number(tier.credits_per_month),
    },
  };
}

async function storeReportedLimits(
  knex: Knex,
  reported: {
    readonly budgetKey: string;
    readonly callsPerMinute: number | undefined;
    readonly creditsPerMonth: number | undefined;
    readonly others: { readonly id: string; readonly credits: number };
  },
): Promise<void> {
  const { id, credits } = reported.others;
  if (credits > 0) {
    // Already over, so that it counts in no window.
    const countedUntil = knex.raw("clock_timestamp() - interval '2 minutes'");
    const row = {
      id,
      budget_key: reported.budgetKey,
      counted_until: countedUntil,
      credits,
      outcome: 'others',
    };
    await knex('upstream_calls').insert({ ...row, settled_at: knex.raw('clock_timestamp()') });
  }
  await knex('budget_tiers')
    .insert({
      budget_key: reported.budgetKey,
      told_at: knex.raw('clock_timestamp()'),
      calls_per_minute: reported.callsPerMinute ?? null,
      credits_per_month: reported.creditsPerMonth ?? null,
    })
    .onConflict('budget_key')
    .merge();
}
