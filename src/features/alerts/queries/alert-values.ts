import type { Knex } from 'knex';
import { orUnavailable } from '../../../../db/outage.ts';

/** An observed price of the past. */
export interface ReferencePrice {
  readonly price: number;
  /** When it was observed (ms since the epoch). */
  readonly at: number;
}

/** The holdings of a portfolio, according to its books. */
export interface HeldInPortfolio {
  readonly baseCurrency: string;
  /** Whether the derived tables match the newest transactions. */
  readonly isBooked: boolean;
  /** Assets with their quantities as decimal text, one more than the limit when there are more. */
  readonly holdings: readonly { readonly assetId: string; readonly quantity: string }[];
}

export type AlertValueQueries = ReturnType<typeof createAlertValues>;

/**
 * Reads the values that alerts on changes and on portfolios need. Methods throw {@link UnavailableError} when Postgres does not
 * answer.
 */
export function createAlertValues(knex: Knex) {
  return {
    /**
     * Past prices in the requested order; undefined where nothing was observed. Each is the newest observation at the time
     * `at`, unless it is older than `from` (ms since the epoch).
     */
    async references(
      requested: readonly {
        readonly assetId: string;
        readonly currency: string;
        readonly at: number;
        readonly from: number;
      }[],
    ): Promise<readonly (ReferencePrice | undefined)[]> {
      if (requested.length === 0) return [];
      const { rows } = await orUnavailable(
        knex.raw<{ rows: { place: number; price: number; at: number }[] }>(referencesSql, [
          requested.map(({ assetId }) => assetId),
          requested.map(({ currency }) => currency),
          requested.map(({ at }) => at),
          requested.map(({ from }) => from),
        ] as never),
      );
      const found = new Map(rows.map(({ place, price, at }) => [place, { price, at }]));
      return requested.map((_each, index) => found.get(index + 1));
    },

    /** Holdings by portfolio; deleted ones are missing. `limit` applies to the assets of each. */
    async holdings(
      portfolioIds: readonly string[],
      limit: number,
    ): Promise<ReadonlyMap<string, HeldInPortfolio>> {
      const { rows } = await orUnavailable(
        knex.raw<{ rows: (HeldInPortfolio & { readonly id: string })[] }>(holdingsSql, [
          limit + 1,
          portfolioIds,
        ] as never),
      );
      return new Map(rows.map(({ id, ...held }) => [id, held]));
    },
  };
}

/**
 * A candle contains two observations with a time: its first and its last. Hourly candles replace five-minute candles that are
 * no longer kept.
 */
const referencesSql = `with asked as (
    select place, asset_id, currency, to_timestamp(at / 1000) as at, to_timestamp(since / 1000) as since
    from unnest(?::text[], ?::text[], ?::float8[], ?::float8[]) with ordinality
      as row (asset_id, currency, at, since, place))
  select place, found.price, (extract(epoch from found.seen) * 1000)::float8 as at from asked
  cross join lateral (
    select case when last_at <= asked.at then close else open end as price,
      case when last_at <= asked.at then last_at else first_at end as seen
    from candles
    where candles.asset_id = asked.asset_id and candles.currency = asked.currency and resolution in ('5m', '1h')
      and open_time > asked.since - interval '1 hour' and open_time <= asked.at and first_at <= asked.at
      and case when last_at <= asked.at then last_at else first_at end >= asked.since
    order by 2 desc limit 1) as found`;

const holdingsSql = `select id, base_currency as "baseCurrency", booked_version = books_version as "isBooked", held.holdings
  from portfolios
  cross join lateral (
    select coalesce(json_agg(json_build_object('assetId', asset_id, 'quantity', quantity::text) order by asset_id), '[]')
      as holdings
    from (select asset_id, quantity from positions where positions.portfolio_id = portfolios.id and quantity <> 0
      order by asset_id limit ?) as kept) as held
  where id = any(?::uuid[]) and deleted_at is null`;
