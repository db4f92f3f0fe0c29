/** What the derived tables say, for readers. */
import type { Knex } from 'knex';
import { amountOf, type Amount } from '../../src/books/amount.ts';
import type { MatchRule } from '../../src/books/ledger/asset-book.ts';
import type { Tally } from '../../src/books/ledger/asset-ledger.ts';
import { orUnavailable } from './outage.ts';

/** What is stored of one asset. */
export interface PositionRow {
  readonly assetId: string;
  readonly quantity: Amount;
  readonly tally: Tally;
  readonly openLots: number;
}

/** Derived tables as they are, and whether they are of the transactions that there are. */
export interface StoredStanding {
  readonly booksVersion: number;
  readonly bookedVersion: number;
  /** By asset. */
  readonly positions: readonly PositionRow[];
}

/** An open lot of an asset whose lots are consumed one after the other. */
export interface LotRow {
  readonly transaction: string;
  /** Milliseconds. */
  readonly acquiredAt: number;
  readonly quantity: Amount;
  readonly basis: Amount;
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
  /** Milliseconds; null of a pool. */
  readonly acquiredAt: number | null;
  readonly rule: MatchRule;
  readonly quantity: Amount;
  readonly proceeds: Amount;
  readonly basis: Amount;
  readonly isProvisional: boolean;
}

/** Sums over all rows of a query, whatever page of it is read. */
export interface RealisedTotals {
  readonly count: number;
  readonly proceeds: Amount;
  readonly basis: Amount;
  /** Rows that a later acquisition may still change. */
  readonly provisional: number;
}

/** Readers of derived tables. All of them throw {UnavailableError} when Postgres does not answer. */
export interface BookReading {
  /** Undefined when there is no such portfolio, or no longer. */
  standing(portfolioId: string): Promise<StoredStanding | undefined>;
  /** A page of the open lots of an asset, the oldest first, for the methods that keep lots. */
  lots(query: {
    readonly portfolioId: string;
    readonly assetId: string;
    readonly offset: number;
    readonly limit: number;
  }): Promise<readonly LotRow[]>;
  /** Text of the last mark of an asset (src/books/ledger/mark-text.ts); undefined when there is none. */
  lastMark(portfolioId: string, assetId: string): Promise<string | undefined>;
  /** Disposals in the order of time, and the sums over all of them, from one snapshot. */
  realised(
    query: RealisedQuery,
  ): Promise<{ readonly rows: readonly RealisedRow[]; readonly totals: RealisedTotals }>;
}

/** Binds the queries to a connection pool. */
export function createBookReading(knex: Knex): BookReading {
  const ask = async <R>(sql: string, values: readonly unknown[]): Promise<R[]> => {
    const { rows } = await orUnavailable(knex.raw<{ rows: R[] }>(sql, values as never));
    return rows;
  };
  return {
    async standing(portfolioId) {
      const rows = await ask<StandingRow>(standingSql, [portfolioId]);
      const [first] = rows;
      if (first === undefined) return undefined;
      const { booksVersion, bookedVersion } = first;
      return { booksVersion, bookedVersion, positions: rows.flatMap(positionOf) };
    },
    async lots({ portfolioId, assetId, offset, limit }) {
      const rows = await ask<{ lot: StoredLot }>(lotsSql, [portfolioId, assetId, offset, limit]);
      return rows.map(({ lot: [, transaction, acquiredAt, , quantity, basis] }) => ({
        transaction,
        acquiredAt,
        quantity: BigInt(quantity),
        basis: BigInt(basis),
      }));
    },
    async lastMark(portfolioId, assetId) {
      const [row] = await ask<{ state: string }>(
        'select state from ledger_marks where portfolio_id = ? and asset_id = ? order by count desc limit 1',
        [portfolioId, assetId],
      );
      return row?.state;
    },
    async realised(query) {
      const [row] = await ask<RealisedAnswer>(realisedSql, realisedValues(query));
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

interface StandingRow {
  readonly booksVersion: number;
  readonly bookedVersion: number;
  /** Null in the one row of a portfolio without positions; then the others are too. */
  readonly assetId: string | null;
  readonly quantity: string;
  readonly acquired: string;
  readonly consumed: string;
  readonly leftBasis: string;
  readonly proceeds: string;
  readonly openLots: number;
}

const standingSql = `select books_version as "booksVersion", booked_version as "bookedVersion", asset_id as "assetId", quantity,
    acquired, consumed, left_basis as "leftBasis", proceeds, open_lots as "openLots"
  from portfolios left join positions on positions.portfolio_id = portfolios.id
  where portfolios.id = ? and deleted_at is null order by asset_id`;

function positionOf(row: StandingRow): PositionRow[] {
  if (row.assetId === null) return [];
  const { assetId, openLots } = row;
  return [
    {
      assetId,
      quantity: amountOf(row.quantity),
      tally: {
        acquired: amountOf(row.acquired),
        consumed: amountOf(row.consumed),
        left: amountOf(row.leftBasis),
        proceeds: amountOf(row.proceeds),
      },
      openLots,
    },
  ];
}

/** Number, transaction, time, cost of a unit, quantity and basis in units of 10^-18. */
type StoredLot = readonly [number, string, number, string, string, string];

/** The lots of a mark are taken apart where they lie: a page of them is all that leaves the database. */
const lotsSql = `select lot from (
    select state from ledger_marks where portfolio_id = ? and asset_id = ? order by count desc limit 1) as mark
  cross join json_array_elements(mark.state::json -> 'lots') as lot
  order by (lot ->> 0)::integer offset ? limit ?`;

interface RealisedAnswer {
  readonly count: number;
  readonly provisional: number;
  readonly proceeds: string;
  readonly basis: string;
  readonly rows: readonly StoredRealised[] | null;
}

/** Amounts as texts: JSON numbers would lose digits. */
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
