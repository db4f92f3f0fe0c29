import type { Knex } from 'knex';

/**
 * Price history. Candles lie in partitions by resolution and time, so that old ones go by dropping a table; what has no
 * partition yet falls into the default one of its resolution and moves when its partition is made.
 *
 * Prices are doubles: a JSON number of a provider is one from the moment it is parsed, and Postgres gives the same one back.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table candles (
      asset_id text not null,
      currency text not null,
      resolution text not null,
      open_time timestamptz not null,
      -- whether we watched the price ourselves (ticks), or were told of one point of it afterwards (backfill, import)
      live boolean not null,
      -- the first and the last observation in the interval; open, market_cap and volume are of the first, close of the last
      first_at timestamptz not null,
      last_at timestamptz not null,
      open double precision not null,
      high double precision not null,
      low double precision not null,
      close double precision not null,
      market_cap double precision,
      volume double precision,
      observations integer not null,
      source text not null,
      primary key (asset_id, currency, resolution, open_time, live),
      check (low >= 0 and high < 'infinity'),
      check (low <= least(open, close) and high >= greatest(open, close)),
      check (first_at >= open_time and last_at >= first_at and observations > 0)
    ) partition by list (resolution)`);
  for (const resolution of ['5m', '1h', '1d']) {
    const table = `candles_${resolution}`;
    await knex.raw(
      `create table ?? partition of candles for values in ('${resolution}') partition by range (open_time)`,
      [table],
    );
    await knex.raw('create table ?? partition of ?? default', [`${table}_default`, table]);
  }
  // Requests made to providers: a range without data need not be requested again, and one that failed not at once.
  await knex.raw(`
    create table history_asks (
      asset_id text not null,
      currency text not null,
      resolution text not null,
      from_at timestamptz not null,
      to_at timestamptz not null,
      outcome text not null,
      points integer not null,
      asked_at timestamptz not null default clock_timestamp(),
      valid_until timestamptz not null,
      primary key (asset_id, currency, resolution, from_at, to_at)
    )`);
  await knex.raw('create index history_asks_by_end on history_asks (valid_until)');
  // How far ticks have been rolled up.
  await knex.raw('create table candle_rolls (resolution text primary key, rolled_to timestamptz not null)');
}

/** Drops them. */
export async function down(knex: Knex): Promise<void> {
  await knex.raw('drop table candle_rolls');
  await knex.raw('drop table history_asks');
  await knex.raw('drop table candles');
}
