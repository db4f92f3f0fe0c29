import type { Knex } from 'knex';
import { amountOf, formatAmount, type Amount } from '../ledger/amount.ts';
import { orUnavailable } from '../../../../db/outage.ts';

/** The value of a portfolio at a point in time. Amounts are in its currency. */
export interface PortfolioSnapshot {
  readonly portfolioId: string;
  /** `daily`: at the end of a day; `change`: after its transactions had changed. */
  readonly kind: 'daily' | 'change';
  readonly at: Date;
  /** Day of the portfolio that it belongs to, such as `2026-01-31`. */
  readonly day: string;
  readonly currency: string;
  /** Value of the assets that had a quote; null when none of those held had one. */
  readonly value: Amount | null;
  readonly costBasis: Amount;
  readonly realised: Amount;
  /** Assets without a quote. */
  readonly missing: readonly string[];
  readonly booksVersion: number;
}

/** See {@link createPortfolioSnapshots}. */
export type PortfolioSnapshots = ReturnType<typeof createPortfolioSnapshots>;

/** Stored snapshots. Methods throw {UnavailableError} when Postgres does not answer. */
export function createPortfolioSnapshots(knex: Knex) {
  return {
    /** Stores snapshots of portfolios that still exist. A day has one daily snapshot: the first that was stored. */
    async store(snapshots: readonly PortfolioSnapshot[]): Promise<void> {
      if (snapshots.length === 0) return;
      await orUnavailable(knex.raw(storeSql, [JSON.stringify(snapshots.map(rowOf))]));
    },
    /** The newest `limit` snapshots from `firstDay` on, oldest first. */
    async list({
      portfolioId,
      firstDay,
      limit,
    }: {
      readonly portfolioId: string;
      readonly firstDay: string;
      readonly limit: number;
    }): Promise<readonly PortfolioSnapshot[]> {
      const query = knex.raw<{
        rows: {
          readonly portfolio_id: string;
          readonly kind: PortfolioSnapshot['kind'];
          readonly at: Date;
          readonly day: string;
          readonly currency: string;
          readonly value: string | null;
          readonly cost_basis: string;
          readonly realised: string;
          readonly missing: readonly string[];
          readonly books_version: number;
        }[];
      }>(listSql, [portfolioId, firstDay, limit]);
      const { rows } = await orUnavailable(query);
      return rows.map((row) => ({
        portfolioId: row.portfolio_id,
        kind: row.kind,
        at: row.at,
        day: row.day,
        currency: row.currency,
        value: row.value === null ? null : amountOf(row.value),
        costBasis: amountOf(row.cost_basis),
        realised: amountOf(row.realised),
        missing: row.missing,
        booksVersion: row.books_version,
      }));
    },
    /** Deletes daily snapshots older than ten years, 10,000 at most. Returns their number. */
    async purgeDays(): Promise<number> {
      const { rowCount } = await orUnavailable(knex.raw<{ rowCount: number }>(purgeDaysSql));
      return rowCount;
    },
    /** Deletes snapshots of changes older than `seconds`, `limit` at most. Returns their number. */
    async purge(seconds: number, limit: number): Promise<number> {
      const { rowCount } = await orUnavailable(knex.raw<{ rowCount: number }>(purgeSql, [seconds, limit]));
      return rowCount;
    },
  };
}

function rowOf(snapshot: PortfolioSnapshot): object {
  const { portfolioId, kind, at, day, currency, value, costBasis, realised, missing } = snapshot;
  return {
    portfolio_id: portfolioId,
    kind,
    at: at.toISOString(),
    day,
    currency,
    value: value === null ? null : formatAmount(value),
    cost_basis: formatAmount(costBasis),
    realised: formatAmount(realised),
    complete: missing.length === 0,
    missing,
    books_version: snapshot.booksVersion,
  };
}

const columns = `portfolio_id, kind, at, day, currency, value, cost_basis, realised, complete, missing, books_version`;

/** Amounts are cast from text, so that no digit passes through a double. */
const storeSql = `insert into portfolio_snapshots (${columns})
  select ${columns} from json_to_recordset(?::json) as row (portfolio_id uuid, kind text, at timestamptz, day date,
    currency text, value numeric, cost_basis numeric, realised numeric, complete boolean, missing text[],
    books_version bigint)
  where exists (select 1 from portfolios where id = row.portfolio_id and deleted_at is null)
  on conflict do nothing`;

const listSql = `select * from (
    select portfolio_id, kind, at, day::text as day, currency, value, cost_basis, realised, missing, books_version
    from portfolio_snapshots where portfolio_id = ? and day >= ?::date order by at desc, kind limit ?
  ) as newest order by at, kind`;

const purgeDaysSql = `delete from portfolio_snapshots where ctid = any(array(
    select ctid from portfolio_snapshots where kind = 'daily' and at < now() - interval '10 years' limit 10000))`;

const purgeSql = `delete from portfolio_snapshots where ctid = any(array(
    select ctid from portfolio_snapshots where kind = 'change' and at < now() - make_interval(secs => ?) limit ?))`;
