/** What the derived tables say, for readers. */
import type { Knex } from 'knex';
import { amountOf, type Amount } from '../ledger/amount.ts';
import type { MatchRule } from '../ledger/asset-book.ts';
import type { Tally } from '../ledger/asset-ledger.ts';
import { keptAs } from '../ledger/replay.ts';
import type { Portfolio } from '../ledger/portfolio.ts';
import type { PortfolioRow } from '../../../../db/models/portfolio.ts';
import { orUnavailable } from '../../../../db/outage.ts';
import { toPortfolio } from './portfolio-rows.ts';

/** What is stored of one asset. */
export interface PositionRow {
  readonly assetId: string;
  readonly quantity: Amount;
  readonly tally: Tally;
  readonly openLots: number;
}

/** Derived tables as they are, and whether they are of the transactions that there are. All of one moment. */
export interface StoredStanding {
  readonly portfolio: Portfolio;
  readonly booksVersion: number;
  readonly bookedVersion: number;
  /** By asset. */
  readonly positions: readonly PositionRow[];
}

/** How a portfolio keeps its books now: marks that were kept in another way are none. */
export type MarksOf = Pick<Portfolio, 'id' | 'method' | 'timeZone'>;

/** Which of the open lots of an asset, the oldest first. */
export interface LotSpan {
  readonly assetId: string;
  readonly offset: number;
  readonly limit: number;
}

/** An open lot of an asset whose lots are consumed one after the other. */
export interface LotRow {
  readonly assetId: string;
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

/** Realised gains: a page of them, and the sums over all. */
export interface RealisedPage {
  readonly rows: readonly RealisedRow[];
  readonly totals: RealisedTotals;
}

/** Readers of derived tables. All of them throw {UnavailableError} when Postgres does not answer. */
export interface BookPages {
  /** Undefined when there is no such portfolio, or no longer. */
  standing(portfolioId: string): Promise<StoredStanding | undefined>;
  /** Open lots of some assets in their order, for the methods that keep lots. */
  lots(of: MarksOf, spans: readonly LotSpan[]): Promise<readonly LotRow[]>;
  /** Texts of the last marks of some assets (src/books/ledger/mark-text.ts), by asset; one without is missing. */
  lastMarks(of: MarksOf, assetIds: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /** Disposals in the order of time, and the sums over all of them, from one snapshot. */
  realised(query: RealisedQuery): Promise<RealisedPage>;
}

/** The same, each of the moment at which it is asked, or all of one. */
export interface BookReading extends BookPages {
  /**
   * Has all that `read` asks for answered of one moment. It holds a connection of the pool, so it should ask for nothing else.
   */
  inSnapshot<T>(read: (pages: BookPages) => Promise<T>): Promise<T>;
}

/** Binds the queries to a connection pool. */
export function createBookReading(knex: Knex): BookReading {
  return {
    ...pagesOver(knex),
    inSnapshot: (read) =>
      orUnavailable(
        knex.transaction((trx) => read(pagesOver(trx)), {
          isolationLevel: 'repeatable read',
          readOnly: true,
        }),
      ),
  };
}

function pagesOver(knex: Knex): BookPages {
  const ask = async <R>(sql: string, values: readonly unknown[]): Promise<R[]> => {
    const { rows } = await orUnavailable(knex.raw<{ rows: R[] }>(sql, values as never));
    return rows;
  };
  return {
    async standing(portfolioId) {
      const [row] = await ask<StandingRow>(standingSql, [portfolioId]);
      if (row === undefined) return undefined;
      const portfolio = toPortfolio(row);
      const { booksVersion, bookedVersion } = portfolio;
      return { portfolio, booksVersion, bookedVersion, positions: (row.held ?? []).map(positionOf) };
    },
    async lots(of, spans) {
      if (spans.length === 0) return [];
      const columns = [
        spans.map(({ assetId }) => assetId),
        spans.map(({ offset }) => offset),
        spans.map(({ limit }) => limit),
      ];
      const rows = await ask<{ asset: string; lot: StoredLot }>(lotsSql, [...columns, of.id, keptAs(of)]);
      return rows.map(({ asset, lot: [, transaction, acquiredAt, , quantity, basis] }) => ({
        assetId: asset,
        transaction,
        acquiredAt,
        quantity: BigInt(quantity),
        basis: BigInt(basis),
      }));
    },
    async lastMarks(of, assetIds) {
      if (assetIds.length === 0) return new Map();
      const rows = await ask<{ asset: string; state: string }>(lastMarksSql, [assetIds, of.id, keptAs(of)]);
      return new Map(rows.map(({ asset, state }) => [asset, state]));
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

/** Amounts as texts: JSON numbers would lose digits. */
type HeldRow = readonly [
  assetId: string,
  quantity: string,
  acquired: string,
  consumed: string,
  leftBasis: string,
  proceeds: string,
  openLots: number,
];

interface StandingRow extends PortfolioRow {
  /** Null without positions. */
  readonly held: readonly HeldRow[] | null;
}

const standingSql = `select portfolios.*, (
    select json_agg(json_build_array(asset_id, quantity::text, acquired::text, consumed::text, left_basis::text,
      proceeds::text, open_lots) order by asset_id)
    from positions where portfolio_id = portfolios.id) as held
  from portfolios where id = ? and deleted_at is null`;

function positionOf([assetId, quantity, acquired, consumed, left, proceeds, openLots]: HeldRow): PositionRow {
  return {
    assetId,
    quantity: amountOf(quantity),
    tally: {
      acquired: amountOf(acquired),
      consumed: amountOf(consumed),
      left: amountOf(left),
      proceeds: amountOf(proceeds),
    },
    openLots,
  };
}

/** Number, transaction, time, cost of a unit, quantity and basis in units of 10^-18. */
type StoredLot = readonly [number, string, number, string, string, string];

const lastMark = `select state from ledger_marks
    where portfolio_id = ? and asset_id = wanted.asset and kept_as = ? order by count desc limit 1`;

const lastMarksSql = `select wanted.asset, mark.state
  from unnest(?::text[]) as wanted (asset) cross join lateral (${lastMark}) as mark`;

/** The lots of a mark are taken apart where they lie: a page of them is all that leaves the database. */
const lotsSql = `select wanted.asset, page.lot
  from unnest(?::text[], ?::integer[], ?::integer[]) with ordinality as wanted (asset, passed, most, place)
  cross join lateral (
    select lot from (${lastMark}) as mark cross join json_array_elements(mark.state::json -> 'lots') as lot
    order by (lot ->> 0)::integer offset wanted.passed limit wanted.most) as page
  order by wanted.place, (page.lot ->> 0)::integer`;

interface RealisedAnswer {
  readonly count: number;
  readonly provisional: number;
  readonly proceeds: string;
  readonly basis: string;
  readonly rows: readonly StoredRealised[] | null;
}

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
