import type { Knex } from 'knex';
import { amountOf } from '../ledger/amount.ts';
import { dayText, daysOf } from '../ledger/days.ts';
import type { Portfolio } from '../ledger/portfolio.ts';
import type { HeldAsset } from '../valuation/valuation.ts';
import type { PortfolioRow } from '../../../../db/models/portfolio.ts';
import { orUnavailable } from '../../../../db/outage.ts';
import { toPortfolio } from './portfolio-rows.ts';

/** A portfolio with what its books say. */
export interface BookedPortfolio {
  readonly portfolio: Portfolio;
  /**
   * Every asset that ever was in it, by id. Of the version of its transactions only while both versions of the portfolio are
   * equal.
   */
  readonly assets: readonly HeldAsset[];
}

/** Portfolios together with their positions. Methods throw {UnavailableError} when Postgres does not answer. */
export interface BookedPortfolios {
  /** One statement, so that both are of the same moment; undefined when there is no such portfolio, or no longer. */
  find(id: string): Promise<BookedPortfolio | undefined>;
  /** Versions that the books of these portfolios are of; deleted ones are missing. */
  versions(ids: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /**
   * Portfolios that hold something, whose books are current, whose day has ended less than `withinSeconds` ago and has no
   * daily snapshot yet. In the order of their ids, behind `after`.
   */
  ended(asked: {
    readonly withinSeconds: number;
    readonly after: string | undefined;
    readonly limit: number;
  }): Promise<readonly EndedDay[]>;
}

/** A portfolio whose day has ended. */
export interface EndedDay extends BookedPortfolio {
  /** The day, such as `2026-01-31`. */
  readonly day: string;
}

interface BookedRow extends PortfolioRow {
  /** Each: asset, quantity, acquired, consumed, left, proceeds. Null without any. */
  readonly held: readonly (readonly [string, string, string, string, string, string])[] | null;
  readonly ended_day: string;
}

/** Queries over a pool. */
export function createBookedPortfolios(knex: Knex): BookedPortfolios {
  const rowsOf = async <R>(sql: string, values: Readonly<Record<string, unknown>>): Promise<readonly R[]> => {
    const { rows } = await orUnavailable(knex.raw<{ rows: R[] }>(sql, values as never));
    return rows;
  };
  return {
    async find(id) {
      const [row] = await rowsOf<BookedRow>(findSql, { id });
      return row && bookedOf(row);
    },
    async versions(ids) {
      const rows = await rowsOf<{ id: string; version: number }>(versionsSql, { ids });
      return new Map(rows.map(({ id, version }) => [id, version]));
    },
    async ended({ withinSeconds, after = '00000000-0000-0000-0000-000000000000', limit }) {
      const begun = (await rowsOf<ZoneRow>(zonesSql, {})).flatMap((zone) => begunOf(zone, withinSeconds));
      if (begun.length === 0) return [];
      const zones = begun.map(({ zone }) => zone);
      const days = begun.map(({ endedDay }) => endedDay);
      const rows = await rowsOf<BookedRow>(endedSql, { zones, days, after, limit });
      return rows.map((row) => ({ ...bookedOf(row), day: row.ended_day }));
    },
  };
}

function bookedOf(row: BookedRow): BookedPortfolio {
  return {
    portfolio: toPortfolio(row),
    assets: (row.held ?? []).map(([assetId, quantity, acquired, consumed, left, proceeds]) => ({
      assetId,
      quantity: amountOf(quantity),
      tally: {
        acquired: amountOf(acquired),
        consumed: amountOf(consumed),
        left: amountOf(left),
        proceeds: amountOf(proceeds),
      },
    })),
  };
}

const heldSql = `(select json_agg(json_build_array(asset_id, quantity::text, acquired::text, consumed::text,
    left_basis::text, proceeds::text) order by asset_id)
  from positions where portfolio_id = portfolios.id) as held`;

const findSql = `select portfolios.*, ${heldSql} from portfolios where id = :id and deleted_at is null`;

const versionsSql = `select id, booked_version as version from portfolios
  where id = any(:ids::uuid[]) and deleted_at is null`;

const zonesSql = `select distinct time_zone as zone, (extract(epoch from now()) * 1000)::float8 as now
  from portfolios where deleted_at is null`;

interface ZoneRow {
  readonly zone: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

interface BegunZone {
  readonly zone: string;
  readonly endedDay: string;
}

/** The zone, if a day has just begun in it. One that is not known holds up nobody but its own portfolios. */
function begunOf({ zone, now }: ZoneRow, withinSeconds: number): readonly BegunZone[] {
  try {
    const dayOf = daysOf(zone);
    const today = dayOf(now);
    return dayOf(now - withinSeconds * 1000) < today ? [{ zone, endedDay: dayText(today - 1) }] : [];
  } catch (error) {
    if (error instanceof RangeError) return [];
    throw error;
  }
}

/** Only portfolios of the zones where a day has just begun are looked at. */
const endedSql = `with
  begun as (select * from unnest(:zones::text[], :days::date[]) as begun (time_zone, day))
  select portfolios.*, begun.day::text as ended_day, ${heldSql}
  from begun join portfolios using (time_zone)
  where deleted_at is null and booked_version = books_version and id > :after::uuid
    and exists (select 1 from positions where portfolio_id = portfolios.id and quantity > 0)
    and not exists (
      select 1 from portfolio_snapshots
      where portfolio_id = portfolios.id and kind = 'daily' and portfolio_snapshots.day = begun.day)
  order by id limit :limit`;
