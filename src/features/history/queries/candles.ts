import type { Knex } from 'knex';
import type { Candle } from '../../../domain/candle.ts';
import { granularityMs, type Granularity, type HistoryPoint } from '../../../domain/history.ts';
import { orUnavailable } from '../../../../db/outage.ts';
import { rollAgainFrom } from './candle-rolls.ts';
import type { SeriesKey } from './history-requests.ts';

/** Prices of an asset at the end of each day. */
export interface DailyCloses {
  /** 00:00 UTC of each day, in milliseconds since the epoch, ascending. */
  readonly days: readonly number[];
  /** The last observed price of that day. */
  readonly closes: readonly number[];
}

/** A price of one day in one currency. */
export interface DayPoint extends HistoryPoint {
  readonly currency: string;
}

/** Candles in Postgres. Every method throws {@link UnavailableError} when it does not answer. */
export interface CandleQueries extends ReturnType<typeof statementsOf> {
  /** Everything done in `work` is stored together, or not at all. */
  inTransaction<T>(work: (candles: CandleQueries) => Promise<T>): Promise<T>;
}

/** Most points of one answer: a year of five minutes. */
const maxPoints = 100_000;

/** Statements on candles over a pool, or within a transaction. */
export function createCandleQueries(knex: Knex): CandleQueries {
  return {
    ...statementsOf(knex),
    inTransaction: (work) => orUnavailable(knex.transaction((trx) => work(createCandleQueries(trx)))),
  };
}

function statementsOf(knex: Knex) {
  const query = async <R>(
    sql: string,
    values: readonly (string | number | readonly unknown[])[],
  ): Promise<readonly R[]> => {
    const { rows } = await orUnavailable(knex.raw<{ rows: R[] }>(sql, values as never));
    return rows;
  };
  return {
    /**
     * Merges observations into the candles of five minutes. May be repeated; each candle once in a call. Observations
     * that arrive after their hours and days have been rolled up cause these to be rolled up again.
     */
    async mergeLive(candles: readonly Candle[]): Promise<void> {
      if (candles.length === 0) return;
      await query(mergeSql, ['5m', ...columnsOf(candles)]);
      const oldest = candles.reduce((least, { openTime }) => Math.min(least, openTime), Infinity);
      if (oldest < Date.now() - granularityMs['1h']) await orUnavailable(rollAgainFrom(knex, oldest));
    },

    /** Stores points observed by others, each the only one of its candle, 20,000 at most. Never makes a row worse. */
    async storePoints(granularity: Granularity, points: readonly Candle[]) {
      const none = {
        inserted: 0,
        /** Rows that existed and are better now. */
        improved: 0,
        /** Rows of the same moment that hold another price, and keep it. */
        different: 0,
      };
      if (points.length === 0) return none;
      const [row] = await query<typeof none>(storeSql, [granularity, ...columnsOf(points)]);
      return row ?? none;
    },

    /** The first observation of every interval that starts in a span and has one, oldest first, 100,000 at most. */
    points: ({
      assetId,
      currency,
      granularity,
      from,
      to,
    }: SeriesKey & { readonly from: number; readonly to: number }) =>
      query<HistoryPoint & { readonly openTime: number }>(pointsSql[granularity], [
        assetId,
        currency,
        from,
        to,
        from,
        to,
        maxPoints,
      ]),

    /** Candles of what this deployment has observed itself, oldest first. */
    live: ({
      assetId,
      currency,
      granularity,
      from,
      to,
    }: SeriesKey & { readonly from: number; readonly to: number }) =>
      query<Pick<Candle, 'openTime' | 'open' | 'high' | 'low' | 'close' | 'observations'>>(liveSql, [
        assetId,
        currency,
        granularity,
        from,
        to,
        maxPoints,
      ]),

    /** The first observation of a UTC day (ms of its midnight) in every currency that has one. */
    dayOf: (assetId: string, day: number) => query<DayPoint>(daySql, [assetId, day, day]),

    /** The last price of each UTC day from `from` to `to` (ms, both included), by asset; assets without any are missing. */
    async dailyCloses({
      assetIds,
      currency,
      from,
      to,
    }: {
      readonly assetIds: readonly string[];
      readonly currency: string;
      readonly from: number;
      readonly to: number;
    }): Promise<ReadonlyMap<string, DailyCloses>> {
      const rows = await query<DailyCloses & { asset: string }>(closesSql, [assetIds, currency, from, to]);
      return new Map(rows.map(({ asset, days, closes }) => [asset, { days, closes }]));
    },

    /** The last daily close of each asset before a moment (ms since the epoch), by asset; those without any are missing. */
    closesBefore: async (
      assetIds: readonly string[],
      currency: string,
      before: number,
    ): Promise<ReadonlyMap<string, number>> => {
      const rows = await query<{ asset: string; close: number }>(beforeSql, [assetIds, currency, before]);
      return new Map(rows.map(({ asset, close }) => [asset, close]));
    },
  };
}

/** In the order of the key, so that processes that write at the same time do not deadlock. */
function columnsOf(candles: readonly Candle[]): readonly (readonly unknown[])[] {
  const sorted = [...candles].sort(
    (left, right) =>
      compare(left.assetId, right.assetId) ||
      compare(left.currency, right.currency) ||
      left.openTime - right.openTime,
  );
  return [
    sorted.map(({ assetId }) => assetId),
    sorted.map(({ currency }) => currency),
    sorted.map(({ openTime }) => openTime),
    sorted.map(({ firstAt }) => firstAt),
    sorted.map(({ lastAt }) => lastAt),
    sorted.map(({ open }) => open),
    sorted.map(({ high }) => high),
    sorted.map(({ low }) => low),
    sorted.map(({ close }) => close),
    sorted.map(({ marketCap }) => marketCap),
    sorted.map(({ volume }) => volume),
    sorted.map(({ observations }) => observations),
    sorted.map(({ source }) => source),
  ];
}

function compare(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

const columns = `asset_id, currency, resolution, open_time, live, first_at, last_at, open, high, low, close, market_cap,
  volume, observations, source`;
const key = 'asset_id, currency, resolution, open_time, live';

const given = (live: boolean): string => `select asset_id, currency, ?::text as resolution,
    to_timestamp(open_time / 1000.0) as open_time, ${String(live)} as live, to_timestamp(first_at / 1000.0) as first_at,
    to_timestamp(last_at / 1000.0) as last_at, open, high, low, close, market_cap, volume, observations, source
  from unnest(?::text[], ?::text[], ?::float8[], ?::float8[], ?::float8[], ?::float8[], ?::float8[], ?::float8[],
    ?::float8[], ?::float8[], ?::float8[], ?::integer[], ?::text[])
    as row (asset_id, currency, open_time, first_at, last_at, open, high, low, close, market_cap, volume, observations,
      source)`;

/** As `mergeCandles` of src/domain/candle.ts. What changes nothing writes nothing, so that saying it twice is cheap too. */
const mergeSql = `insert into candles (${columns}) ${given(true)}
  on conflict (${key}) do update set
    first_at = least(candles.first_at, excluded.first_at),
    last_at = greatest(candles.last_at, excluded.last_at),
    open = case when excluded.first_at < candles.first_at then excluded.open else candles.open end,
    market_cap = case when excluded.first_at < candles.first_at then excluded.market_cap else candles.market_cap end,
    volume = case when excluded.first_at < candles.first_at then excluded.volume else candles.volume end,
    high = greatest(candles.high, excluded.high),
    low = least(candles.low, excluded.low),
    close = case when excluded.last_at > candles.last_at then excluded.close else candles.close end,
    observations = case
      when excluded.first_at > candles.last_at or excluded.last_at < candles.first_at
      then candles.observations + excluded.observations
      else greatest(candles.observations, excluded.observations) end,
    source = case when excluded.source = any(string_to_array(candles.source, ',')) then candles.source
      else candles.source || ',' || excluded.source end
  where excluded.first_at < candles.first_at or excluded.last_at > candles.last_at
    or excluded.high > candles.high or excluded.low < candles.low`;

/** The point nearest to the start of its interval stays; of two at the same time, the one with more data. */
const storeSql = `with given as (${given(false)}),
  known as (
    select count(*) as present,
      count(*) filter (where candles.first_at = given.first_at and candles.open <> given.open) as different
    from given join candles using (${key})),
  stored as (
    insert into candles (${columns}) select * from given
    on conflict (${key}) do update set
      first_at = excluded.first_at, last_at = excluded.last_at, open = excluded.open, high = excluded.high,
      low = excluded.low, close = excluded.close, market_cap = excluded.market_cap, volume = excluded.volume,
      observations = excluded.observations, source = excluded.source
    where excluded.first_at < candles.first_at
      or excluded.first_at = candles.first_at and excluded.open = candles.open
        and num_nulls(excluded.market_cap, excluded.volume) < num_nulls(candles.market_cap, candles.volume)
    returning 1),
  counted as (select (select count(*) from given) as given, (select count(*) from stored) as written)
  select given - present as inserted, greatest(0, written - (given - present)) as improved, different
  from counted, known`;

const ms = (column: string): string => `(extract(epoch from ${column}) * 1000)::float8`;
const within = 'open_time >= to_timestamp(? / 1000.0) and open_time <= to_timestamp(? / 1000.0)';

/**
 * Every candle of whatever length begins with a real observation, so each of them can give a point; the earliest of an interval
 * stands for it. A day tells more than nothing of an hour, and hours that are not rolled up yet are seen in a chart of days.
 */
const pointsOf = (width: string, resolutions: string): string => `select * from (
    select distinct on (bucket) ${ms('bucket')} as "openTime", ${ms('first_at')} as at, open as price,
      market_cap as "marketCap", volume
    from (
      select *, date_bin('${width}', first_at, 'epoch') as bucket from candles
      where asset_id = ? and currency = ? and resolution in (${resolutions})
        and open_time > to_timestamp(? / 1000.0) - interval '1 day' and open_time <= to_timestamp(? / 1000.0)
    ) as within
    where bucket >= to_timestamp(? / 1000.0) and first_at <= to_timestamp(? / 1000.0)
    order by bucket, first_at, live
    limit ?
  ) as found order by "openTime"`;

const pointsSql: Readonly<Record<Granularity, string>> = {
  '5m': pointsOf('5 minutes', "'5m', '1h', '1d'"),
  '1h': pointsOf('1 hour', "'5m', '1h', '1d'"),
  '1d': pointsOf('1 day', "'1h', '1d'"),
};

const liveSql = `select ${ms('open_time')} as "openTime", open, high, low, close, observations from candles
  where asset_id = ? and currency = ? and resolution = ? and live and ${within} order by open_time limit ?`;

const daySql = `select distinct on (currency) currency, ${ms('first_at')} as at, open as price, market_cap as "marketCap",
    volume
  from candles
  where asset_id = ? and resolution in ('1d', '1h') and open_time >= to_timestamp(? / 1000.0)
    and open_time < to_timestamp(? / 1000.0) + interval '1 day'
  order by currency, first_at, live`;

/** As JSON: the driver reads an array of Postgres letter by letter, and there may be tens of thousands of days. */
const closesSql = `select asset_id as asset, json_agg(${ms('open_time')} order by open_time) as days,
    json_agg(close order by open_time) as closes
  from (
    select distinct on (asset_id, open_time) asset_id, open_time, close from candles
    where asset_id = any(?::text[]) and currency = ? and resolution = '1d' and ${within}
    order by asset_id, open_time, last_at desc
  ) as days group by asset_id`;

/** Of a day that was both watched and asked for, the later observation counts, as in a history of closes. */
const beforeSql = `select asset, close
  from unnest(?::text[]) as asset
  cross join lateral (
    select close from candles
    where asset_id = asset and currency = ? and resolution = '1d' and open_time < to_timestamp(? / 1000.0)
    order by open_time desc, last_at desc limit 1) as last`;
