import type { Knex } from 'knex';
import { orUnavailable } from '../../../../db/outage.ts';

/**
 * The last daily close of each asset before a moment (ms since the epoch), by asset; those without any are missing.
 * @throws {UnavailableError} Postgres does not answer.
 */
export type ReadClosesBefore = (
  assetIds: readonly string[],
  currency: string,
  before: number,
) => Promise<ReadonlyMap<string, number>>;

/** Builds {@link ReadClosesBefore}. */
export function createClosesBefore(knex: Knex): ReadClosesBefore {
  return async (assetIds, currency, before) => {
    const query = knex.raw<{ rows: { asset: string; close: number }[] }>(beforeSql, {
      assetIds,
      currency,
      before,
    });
    const { rows } = await orUnavailable(query);
    return new Map(rows.map(({ asset, close }) => [asset, close]));
  };
}

/** Of a day that was both watched and asked for, the later observation counts, as in a history of closes. */
const beforeSql = `select asset, close
  from unnest(:assetIds::text[]) as asset
  cross join lateral (
    select close from candles
    where asset_id = asset and currency = :currency and resolution = '1d'
      and open_time < to_timestamp(:before / 1000.0)
    order by open_time desc, last_at desc limit 1) as last`;
