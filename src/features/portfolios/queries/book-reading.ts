/** Reads the derived tables. */
import type { Knex } from 'knex';
import type { PortfolioRow } from '../../../../db/models/portfolio.ts';
import { orUnavailable } from '../../../../db/outage.ts';
import { amountOf, type Amount } from '../ledger/amount.ts';
import type { Lot, MatchRule } from '../ledger/asset-book.ts';
import type { Totals } from '../ledger/asset-ledger.ts';
import { dayText, daysOf } from '../ledger/days.ts';
import type { Portfolio } from '../ledger/portfolio.ts';
import { keptAs } from '../ledger/replay.ts';
import { toPortfolio } from './portfolios.ts';

/** The books of one asset. */
export interface Position {
  readonly assetId: string;
  /** Held now; 0 when nothing is held any more. */
  readonly quantity: Amount;
  /** Sums over all postings, in the base currency. Cost basis of the open lots = acquired − consumed − left. */
  readonly tally: Totals;
  readonly openLots: number;
}

/** A portfolio and its books, both at the same point in time. */
export interface BookedPortfolio {
  readonly portfolio: Portfolio;
  /** Every asset that was ever in it, by id. Matches the transactions only while both versions of the portfolio are equal. */
  readonly assets: readonly Position[];
}

/** An open lot and its asset. */
export interface AssetLot extends Lot {
  readonly assetId: string;
}

/** Which of the open lots of an asset, the oldest first. */
export interface LotSpan {
  readonly assetId: string;
  readonly offset: number;
  readonly limit: number;
}

/** Which disposals to read. */
export interface RealisedQuery {
  readonly portfolioId: string;
  /** Disposed of in [from, to), in milliseconds; open ends when absent. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  readonly assetId?: string | undefined;
  readonly offset: number;
  readonly limit: number;
}

/** What a disposal took out of one lot or pool. */
export interface RealisedRow {
  readonly assetId: string;
  readonly transaction: string;
  readonly isFee: boolean;
  /** Milliseconds. */
  readonly disposedAt: number;
  readonly lot: string | null;
  /** Milliseconds; null for a pool. */
  readonly acquiredAt: number | null;
  readonly rule: MatchRule;
  readonly quantity: Amount;
  readonly proceeds: Amount;
  readonly basis: Amount;
  readonly isProvisional: boolean;
}

/** Realised gains: a page of them, and the totals of all rows, independent of the page. */
export interface RealisedPage {
  readonly rows: readonly RealisedRow[];
  readonly totals: {
    readonly count: number;
    readonly proceeds: Amount;
    readonly basis: Amount;
    /** Rows that a later acquisition may still change. */
    readonly provisional: number;
  };
}

/**
 * Readers of derived tables; each reads at the time of its call. All throw {UnavailableError} when Postgres does not answer.
 */
export type BookPages = ReturnType<typeof pagesOver>;

/** The same, and a way to read all of them at one point in time. */
export type BookReading = ReturnType<typeof createBookReading>;

/** Binds the queries to a connection pool. */
export function createBookReading(knex: Knex) {
  return {
    ...pagesOver(knex),
    /** Lets `read` read everything at one point in time. It holds a connection of the pool, so it should do nothing else. */
    inSnapshot: <T>(read: (pages: BookPages) => Promise<T>): Promise<T> =>
      orUnavailable(
        knex.transaction((trx) => read(pagesOver(trx)), {
          isolationLevel: 'repeatable read',
          readOnly: true,
        }),
      ),
    /** Versions of the books of these portfolios; deleted ones are missing. */
    async versions(ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
      const rows = await rowsOf<{ id: string; version: number }>(knex, versionsSql, { ids });
      return new Map(rows.map(({ id, version }) => [id, version]));
    },
    /**
     * Portfolios with a holding whose books are current and whose day (such as `2026-01-31`) has ended less than
     * `withinSeconds` ago and has no daily snapshot yet. In the order of their ids, after `after`.
     */
    async ended({
      withinSeconds,
      after = '00000000-0000-0000-0000-000000000000',
      limit,
    }: {
      readonly withinSeconds: number;
      readonly after: string | undefined;
      readonly limit: number;
    }): Promise<readonly (BookedPortfolio & { readonly day: string })[]> {
      const zones = await rowsOf<{
        readonly zone: string;
        /** Milliseconds since the epoch. */
        readonly now: number;
      }>(knex, zonesSql, {});
      const begun = zones.flatMap(({ zone, now }) => {
        const day = dayEnded(zone, now, withinSeconds);
        return day === undefined ? [] : [{ zone, day }];
      });
      if (begun.length === 0) return [];
      const rows = await rowsOf<BookedRow & { readonly ended_day: string }>(knex, endedSql, {
        zones: begun.map(({ zone }) => zone),
        days: begun.map(({ day }) => day),
        after,
        limit,
      });
      return rows.map((row) => ({ ...bookedOf(row), day: row.ended_day }));
    },
  };
}

async function rowsOf<R>(
  knex: Knex,
  sql: string,
  values: readonly unknown[] | Readonly<Record<string, unknown>>,
): Promise<readonly R[]> {
  const { rows } = await orUnavailable(knex.raw<{ rows: R[] }>(sql, values as never));
  return rows;
}

function pagesOver(knex: Knex) {
  return {
    /** Undefined when there is no such portfolio, or no longer. */
    async find(id: string): Promise<BookedPortfolio | undefined> {
      const [row] = await rowsOf<BookedRow>(knex, findSql, { id });
      return row && bookedOf(row);
    },
    /** Open lots of some assets in their order, for methods that keep lots. */
    async lots(
      of: Pick<Portfolio, 'id' | 'method' | 'timeZone'>,
      spans: readonly LotSpan[],
    ): Promise<readonly AssetLot[]> {
      if (spans.length === 0) return [];
      const columns = [
        spans.map(({ assetId }) => assetId),
        spans.map(({ offset }) => offset),
        spans.map(({ limit }) => limit),
      ];
      const values = [...columns, of.id, keptAs(of)];
      const rows = await rowsOf<{
        asset: string;
        /** Number, transaction, time, unit cost, quantity and basis in units of 10^-18. */
        lot: readonly [number, string, number, string, string, string];
      }>(knex, lotsSql, values);
      return rows.map(({ asset, lot: [, transaction, acquiredAt, , quantity, basis] }) => ({
        assetId: asset,
        transaction,
        acquiredAt,
        quantity: BigInt(quantity),
        basis: BigInt(basis),
      }));
    },
    /** Texts of the last checkpoints of some assets (ledger/checkpoint-text.ts), by asset; assets without one are missing. */
    async lastCheckpoints(
      of: Pick<Portfolio, 'id' | 'method' | 'timeZone'>,
      assetIds: readonly string[],
    ): Promise<ReadonlyMap<string, string>> {
      if (assetIds.length === 0) return new Map();
      const values = [assetIds, of.id, keptAs(of)];
      const rows = await rowsOf<{ asset: string; state: string }>(knex, lastCheckpointsSql, values);
      return new Map(rows.map(({ asset, state }) => [asset, state]));
    },
    /** Disposals in order of time, and the totals of all of them, from one snapshot. */
    async realised(query: RealisedQuery): Promise<RealisedPage> {
      const [row] = await rowsOf<{
        readonly count: number;
        readonly provisional: number;
        readonly proceeds: string;
        readonly basis: string;
        readonly rows: readonly StoredRealised[] | null;
      }>(knex, realisedSql, realisedValues(query));
      return {
        rows: (row?.rows ?? []).map(realisedOf),
        totals: {
          count: row?.count ?? 0,
          proceeds: amountOf(row?.proceeds ?? '0'),
          basis: amountOf(row?.basis ?? '0'),
          provisional: row?.provisional ?? 0,
        },
      };
    },
  };
}

interface BookedRow extends PortfolioRow {
  /**
   * Each: asset, quantity, acquired, consumed, left, proceeds, open lots. Amounts as texts: JSON numbers would lose digits. Null
   * without any.
   */
  readonly held: readonly (readonly [string, string, string, string, string, string, number])[] | null;
}

function bookedOf(row: BookedRow): BookedPortfolio {
  return {
    portfolio: toPortfolio(row),
    assets: (row.held ?? []).map(([assetId, quantity, acquired, consumed, left, proceeds, openLots]) => ({
      assetId,
      quantity: amountOf(quantity),
      tally: {
        acquired: amountOf(acquired),
        consumed: amountOf(consumed),
        left: amountOf(left),
        proceeds: amountOf(proceeds),
      },
      openLots,
    })),
  };
}

const heldSql = `(select json_agg(json_build_array(asset_id, quantity::text, acquired::text, consumed::text,
    left_basis::text, proceeds::text, open_lots) order by asset_id)
  from positions where portfolio_id = portfolios.id) as held`;

const findSql = `select portfolios.*, ${heldSql} from portfolios where id = :id and deleted_at is null`;

const versionsSql = `select id, booked_version as version from portfolios
  where id = any(:ids::uuid[]) and deleted_at is null`;

const zonesSql = `select distinct time_zone as zone, (extract(epoch from now()) * 1000)::float8 as now
  from portfolios where deleted_at is null`;

/** The day that has just ended in a zone, if one has. An unknown zone affects only its own portfolios. */
function dayEnded(zone: string, now: number, withinSeconds: number): string | undefined {
  try {
    const dayOf = daysOf(zone);
    const today = dayOf(now);
    return dayOf(now - withinSeconds * 1000) < today ? dayText(today - 1) : undefined;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Only portfolios in zones where a day has just started are checked. */
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

const lastCheckpoint = `select state from ledger_marks
    where portfolio_id = ? and asset_id = wanted.asset and kept_as = ? order by count desc limit 1`;

const lastCheckpointsSql = `select wanted.asset, mark.state
  from unnest(?::text[]) as wanted (asset) cross join lateral (${lastCheckpoint}) as mark`;

/** The lots of a checkpoint are split up in the database: only one page of them leaves it. */
const lotsSql = `select wanted.asset, page.lot
  from unnest(?::text[], ?::integer[], ?::integer[]) with ordinality as wanted (asset, passed, most, place)
  cross join lateral (
    select lot from (${lastCheckpoint}) as mark cross join json_array_elements(mark.state::json -> 'lots') as lot
    order by (lot ->> 0)::integer offset wanted.passed limit wanted.most) as page
  order by wanted.place, (page.lot ->> 0)::integer`;

/** Amounts as texts, as in positions. */
type StoredRealised = readonly [
  assetId: string,
  transaction: string,
  isFee: boolean,
  disposedAt: number,
  lot: string | null,
  acquiredAt: number | null,
  rule: MatchRule,
  quantity: string,
  proceeds: string,
  basis: string,
  isProvisional: boolean,
];

const ms = (column: string): string => `(extract(epoch from ${column}) * 1000)::bigint`;

const chosen = `portfolio_id = ? and kind = 'disposal' and at >= ?::timestamptz and at < ?::timestamptz
    and (?::text is null or asset_id = ?)`;

const realisedSql = `select
    (select json_agg(json_build_array(asset_id, transaction_id, is_fee, ${ms('at')}, lot_id, ${ms('acquired_at')}, rule,
      quantity::text, proceeds::text, basis::text, is_provisional))
    from (select * from consumptions where ${chosen} order by at, asset_id, number offset ? limit ?) as page) as rows,
    totals.*
  from (
    select count(*)::integer as count, count(*) filter (where is_provisional)::integer as provisional,
      coalesce(sum(proceeds), 0) as proceeds, coalesce(sum(basis), 0) as basis
    from consumptions where ${chosen}) as totals`;

function realisedValues({ portfolioId, from, to, assetId, offset, limit }: RealisedQuery): unknown[] {
  const day = (at: number | undefined, open: string): string =>
    at === undefined ? open : new Date(at).toISOString();
  const asset = assetId ?? null;
  const which = [portfolioId, day(from, '-infinity'), day(to, 'infinity'), asset, asset];
  return [...which, offset, limit, ...which];
}

function realisedOf(row: StoredRealised): RealisedRow {
  const [assetId, transaction, isFee, disposedAt, lot, acquiredAt, rule, quantity, proceeds, basis, open] =
    row;
  return {
    assetId,
    transaction,
    isFee,
    disposedAt,
    lot,
    acquiredAt,
    rule,
    quantity: amountOf(quantity),
    proceeds: amountOf(proceeds),
    basis: amountOf(basis),
    isProvisional: open,
  };
}
