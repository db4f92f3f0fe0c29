import type { Knex } from 'knex';
import { isCancelled, orUnavailable } from '../../../../db/outage.ts';

interface Step {
  readonly resolution: '1h' | '1d';
  readonly finer: '5m' | '1h';
  readonly lengthMs: number;
}

const steps: readonly Step[] = [
  { resolution: '1h', finer: '5m', lengthMs: 3_600_000 },
  { resolution: '1d', finer: '1h', lengthMs: 86_400_000 },
];

/** Observations arrive up to an hour late, so the previous interval is always rolled up again (ms). */
const lateMs = 3_600_000;
/** Once a round has made progress, it starts no interval after this time (ms), nor after this number of one kind. */
const roundMs = 20_000;
const maxIntervals = 48;
/** Most assets of one statement; fewer if it would not end in time. */
const maxAssets = 2_000;

/** The result of a round. */
export interface RolledUp {
  /** Candles that are new or have changed. */
  readonly written: number;
  /** Call again at once: more is due. */
  readonly behind: boolean;
}

/** Makes candles of hours and days from finer ones. */
export function createCandleRolls(knex: Knex) {
  /** Rolls up a step until `until`, as far as it gets. Returns what it wrote, and how far everything is rolled up. */
  async function rollStep({ resolution, finer, lengthMs }: Step, until: number) {
    const since = performance.now();
    const watermark = (await watermarksOf(knex))[resolution];
    // A watermark in the future was set by a clock that ran ahead: what came meanwhile is not rolled up yet.
    const known = Math.min(watermark ?? (await oldestOf(knex, finer)) ?? until, until);
    let [written, reached, stored] = [0, watermark === known ? known : -Infinity, watermark];
    let from = Math.floor((known - lateMs) / lengthMs) * lengthMs;
    for (let count = 0; from <= until; count++) {
      // However slow the repeated intervals are, every round makes at least one new one.
      if (reached > known && (count >= maxIntervals || performance.now() - since > roundMs)) break;
      written += await rollInterval(knex, { resolution, finer, from, to: from + lengthMs });
      from += lengthMs;
      const next = Math.min(until, from);
      if (next <= reached) continue;
      // Another round has moved it, or late observations that must be rolled up first.
      if (!(await moveWatermark(knex, resolution, { from: stored, to: next })))
        return { written, reached: stored ?? next };
      [reached, stored] = [next, next];
    }
    return { written, reached: stored ?? until };
  }

  async function roll(now: number): Promise<RolledUp> {
    let [written, until] = [0, Math.floor(now)];
    for (const step of steps) {
      const done = await rollStep(step, until);
      written += done.written;
      // Days are rolled up as far as hours are.
      until = Math.min(until, done.reached);
    }
    return { written, behind: until < Math.floor(now) };
  }

  return {
    /**
     * Rolls up what was observed since the last call, until `now` (ms since the epoch). Idempotent: every hour and day
     * is computed from all its parts each time, and written only if it differs. Progresses by at least one interval,
     * however long that takes, and stops after that or after about 20 s; the next call continues.
     * @throws {UnavailableError} Postgres does not answer.
     */
    roll: (now: number): Promise<RolledUp> => orUnavailable(roll(now)),

    /**
     * Until when finer candles have been rolled up, by resolution (ms since the epoch); resolutions that never were are
     * missing.
     * @throws {UnavailableError} Postgres does not answer.
     */
    watermarks: (): Promise<Readonly<Partial<Record<Step['resolution'], number>>>> =>
      orUnavailable(watermarksOf(knex)),

    /**
     * Age (s) of the end of what has been rolled up, by resolution, by the clock of Postgres. More than some minutes
     * means that rolls are falling behind.
     * @throws {UnavailableError} Postgres does not answer.
     */
    async ages(): Promise<Readonly<Record<string, number>>> {
      const { rows } = await orUnavailable(
        knex.raw<{ rows: { resolution: string; age: number }[] }>(
          'select resolution, greatest(0, extract(epoch from clock_timestamp() - rolled_to))::float8 as age from candle_rolls',
        ),
      );
      return Object.fromEntries(rows.map(({ resolution, age }) => [resolution, age]));
    },
  };
}

/** Marks the intervals of late observations at `at` (ms since the epoch) to be rolled up again. */
export async function rollAgainFrom(knex: Knex, at: number): Promise<void> {
  await knex.raw(
    'update candle_rolls set rolled_to = to_timestamp(? / 1000.0) where rolled_to > to_timestamp(? / 1000.0)',
    [at, at + lateMs],
  );
}

/** Without a watermark: the first observation. */
async function oldestOf(knex: Knex, finer: string): Promise<number | undefined> {
  const { rows } = await knex.raw<{ rows: { at: number | null }[] }>(
    `select (extract(epoch from min(open_time)) * 1000)::float8 as at from candles where resolution = ? and live`,
    [finer],
  );
  return rows[0]?.at ?? undefined;
}

async function watermarksOf(knex: Knex): Promise<Partial<Record<Step['resolution'], number>>> {
  const { rows } = await knex.raw<{ rows: { resolution: Step['resolution']; at: number }[] }>(
    'select resolution, round(extract(epoch from rolled_to) * 1000)::float8 as at from candle_rolls',
  );
  return Object.fromEntries(rows.map(({ resolution, at }) => [resolution, at]));
}

/** Moves a watermark, unless it has been moved meanwhile. */
async function moveWatermark(
  knex: Knex,
  resolution: string,
  { from, to }: { readonly from: number | undefined; readonly to: number },
): Promise<boolean> {
  const { rowCount } =
    from === undefined
      ? await knex.raw<{ rowCount: number }>(
          'insert into candle_rolls values (?, to_timestamp(? / 1000.0)) on conflict (resolution) do nothing',
          [resolution, to],
        )
      : await knex.raw<{ rowCount: number }>(
          `update candle_rolls set rolled_to = to_timestamp(? / 1000.0)
            where resolution = ? and round(extract(epoch from rolled_to) * 1000) = ?::numeric`,
          [to, resolution, from],
        );
  return rowCount > 0;
}

/** Rolls up an interval, a limited number of assets at a time, so that no statement comes near its deadline. */
async function rollInterval(
  knex: Knex,
  {
    resolution,
    finer,
    from,
    to,
  }: { readonly resolution: string; readonly finer: string; readonly from: number; readonly to: number },
): Promise<number> {
  let [written, after, assets] = [0, '', maxAssets];
  for (;;) {
    try {
      const values = [finer, from, to, after, assets, resolution, from, finer, from, to, after];
      // In a transaction the limit is in force behind a pooler too.
      const { rows } = await knex.transaction((trx) =>
        trx.raw<{ rows: [{ last: string | null; written: number; assets: number }] }>(rollSql, values),
      );
      const [done] = rows;
      written += done.written;
      if (done.last === null || done.assets < assets) return written;
      after = done.last;
    } catch (error) {
      if (assets === 1 || !isCancelled(error)) throw error;
      assets = Math.ceil(assets / 8);
    }
  }
}

/** `first` and `last` of a group, by the moments of its observations. */
const firstOf = (column: string): string => `(array_agg(${column} order by first_at))[1]`;

const partsSql = `resolution = ? and live and open_time >= to_timestamp(? / 1000.0) and open_time < to_timestamp(? / 1000.0)
    and asset_id > ?`;

const rollSql = `with part as materialized (
    select max(asset_id) as last, count(*)::integer as assets from (
      select distinct asset_id from candles where ${partsSql} order by asset_id limit ?) as first),
  rolled as (
    insert into candles as old (asset_id, currency, resolution, open_time, live, first_at, last_at, open, high,
      low, close, market_cap, volume, observations, source)
    select asset_id, currency, ?, to_timestamp(? / 1000.0), true, min(first_at), max(last_at), ${firstOf('open')}, max(high),
      min(low), (array_agg(close order by last_at desc))[1], ${firstOf('market_cap')}, ${firstOf('volume')},
      sum(observations), (select string_agg(distinct name, ',') from unnest(string_to_array(string_agg(source, ','), ',')) name)
    from candles
    where ${partsSql} and asset_id <= (select last from part)
    group by asset_id, currency order by asset_id, currency
    on conflict (asset_id, currency, resolution, open_time, live) do update set
      first_at = excluded.first_at, last_at = excluded.last_at, open = excluded.open, high = excluded.high,
      low = excluded.low, close = excluded.close, market_cap = excluded.market_cap, volume = excluded.volume,
      observations = excluded.observations, source = excluded.source
    where (old.first_at, old.last_at, old.observations, old.open, old.high, old.low, old.close)
      is distinct from (excluded.first_at, excluded.last_at, excluded.observations, excluded.open, excluded.high,
        excluded.low, excluded.close)
      and excluded.observations >= old.observations
    returning 1)
  select last, assets, (select count(*) from rolled)::integer as written from part`;
