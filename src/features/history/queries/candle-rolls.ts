import type { Knex } from 'knex';
import { orUnavailable } from '../../../../db/outage.ts';

const steps = [
  { resolution: '1h', finer: '5m', lengthMs: 3_600_000 },
  { resolution: '1d', finer: '1h', lengthMs: 86_400_000 },
] as const;

/** Intervals of one kind that one call makes. */
const mostIntervals = 48;
/** Observations come up to an hour after their moment, so the interval before is always looked at again (ms). */
const lateMs = 3_600_000;
/** Other upkeep waits for this one, so a round begins no interval after this time (ms). */
const roundMs = 3_000;

/** Makes candles of hours and days of finer ones. */
export function createCandleRolls(knex: Knex) {
  async function rollStep({ resolution, finer, lengthMs }: (typeof steps)[number], now: number) {
    const since = performance.now();
    const mark = await markOf(knex, resolution);
    const begin = Math.floor(((mark ?? (await oldestOf(knex, finer)) ?? now) - lateMs) / lengthMs) * lengthMs;
    let [written, from] = [0, begin];
    for (let interval = 0; from <= now && interval < mostIntervals; interval++, from += lengthMs) {
      if (performance.now() - since > roundMs) break;
      const values = [resolution, from, finer, from, from + lengthMs];
      const { rowCount } = await knex.raw<{ rowCount: number }>(rollSql, values);
      written += rowCount;
      await setMark(knex, resolution, Math.min(now, from + lengthMs));
    }
    return { written, behind: from <= now };
  }

  async function roll(now: number) {
    let [written, behind] = [0, false];
    for (const step of steps) {
      const done = await rollStep(step, now);
      written += done.written;
      behind ||= done.behind;
      // A day that is made of hours that are not yet there would have to be made again.
      if (behind) break;
    }
    return { written, behind };
  }

  return {
    /**
     * Rolls up what was observed since the last time, until `now` (ms since the epoch). Idempotent: every hour and day is
     * made of all its parts each time, and written only when it differs. Does some seconds' worth of intervals at most, so
     * that the next call goes on after an outage.
     * @throws {UnavailableError} Postgres does not answer.
     */
    roll: (now: number): Promise<{ readonly written: number; readonly behind: boolean }> =>
      orUnavailable(roll(now)),
  };
}

/** Where there is no mark yet: the first that was watched. */
async function oldestOf(knex: Knex, finer: string): Promise<number | undefined> {
  const { rows } = await knex.raw<{ rows: { at: number | null }[] }>(
    `select (extract(epoch from min(open_time)) * 1000)::float8 as at from candles where resolution = ? and live`,
    [finer],
  );
  return rows[0]?.at ?? undefined;
}

async function markOf(knex: Knex, resolution: string): Promise<number | undefined> {
  const { rows } = await knex.raw<{ rows: { at: number }[] }>(
    'select (extract(epoch from rolled_to) * 1000)::float8 as at from candle_rolls where resolution = ?',
    [resolution],
  );
  return rows[0]?.at;
}

async function setMark(knex: Knex, resolution: string, at: number): Promise<void> {
  await knex.raw(
    `insert into candle_rolls values (?, to_timestamp(? / 1000.0))
      on conflict (resolution) do update set rolled_to = greatest(candle_rolls.rolled_to, excluded.rolled_to)`,
    [resolution, at],
  );
}

/** `first` and `last` of a group, by the moments of its observations. */
const firstOf = (column: string): string => `(array_agg(${column} order by first_at))[1]`;

const rollSql = `insert into candles as old (asset_id, currency, resolution, open_time, live, first_at, last_at, open, high,
    low, close, market_cap, volume, observations, source)
  select asset_id, currency, ?, to_timestamp(? / 1000.0), true, min(first_at), max(last_at), ${firstOf('open')}, max(high),
    min(low), (array_agg(close order by last_at desc))[1], ${firstOf('market_cap')}, ${firstOf('volume')},
    sum(observations), (select string_agg(distinct name, ',') from unnest(string_to_array(string_agg(source, ','), ',')) name)
  from candles
  where resolution = ? and live and open_time >= to_timestamp(? / 1000.0) and open_time < to_timestamp(? / 1000.0)
  group by asset_id, currency order by asset_id, currency
  on conflict (asset_id, currency, resolution, open_time, live) do update set
    first_at = excluded.first_at, last_at = excluded.last_at, open = excluded.open, high = excluded.high,
    low = excluded.low, close = excluded.close, market_cap = excluded.market_cap, volume = excluded.volume,
    observations = excluded.observations, source = excluded.source
  where (old.first_at, old.last_at, old.observations, old.open, old.high, old.low, old.close)
    is distinct from (excluded.first_at, excluded.last_at, excluded.observations, excluded.open, excluded.high,
      excluded.low, excluded.close)
    and excluded.observations >= old.observations`;
