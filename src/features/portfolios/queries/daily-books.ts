/**
 * Daily totals of transactions, summed in Postgres: however many transactions there are, the result has one entry for each
 * asset and day on which something happened. Days are those of a time zone, counted from 1970-01-01.
 */
import { setImmediate as yieldToEventLoop } from 'node:timers/promises';
import type { Knex } from 'knex';
import { orUnavailable } from '../../../../db/outage.ts';

/**
 * A sum as text, an integer number of 10^-18: `BigInt` turns it into an `Amount`. Not parsed here, because there may be many
 * and not every caller needs all of them.
 */
export type AmountText = string;

/** Changes of one quantity; entries with the same index belong together, days ascend and are distinct. */
export interface DailyChanges {
  readonly days: readonly number[];
  /** Incoming less outgoing quantity of that day. */
  readonly changes: readonly AmountText[];
}

/**
 * Transfers of an asset in one direction. They are external flows at the market value of their day, so they are returned as
 * quantities.
 */
export interface TransferDays {
  readonly assetId: string;
  readonly direction: 'in' | 'out';
  readonly days: readonly number[];
  readonly quantities: readonly AmountText[];
  /** Fees in cash: they add to incoming and reduce outgoing amounts. */
  readonly fees: readonly AmountText[];
  /** Number of transfers. */
  readonly counts: readonly number[];
}

/** A portfolio by day. */
export interface DailyBooks {
  /** Version of the books that all of it belongs to. */
  readonly booksVersion: number;
  /** By asset id. The sum of all changes of an asset up to a day is the holding at its end. */
  readonly assets: readonly (DailyChanges & { readonly assetId: string })[];
  readonly transfers: readonly TransferDays[];
  /** External flows, fees in cash included (performance/daily-tables.ts says which those are). */
  readonly cash: {
    readonly days: readonly number[];
    readonly inflows: readonly AmountText[];
    readonly outflows: readonly AmountText[];
  };
  /** Changes of the cost basis of all open lots; null when the derived tables do not belong to this version of the books. */
  readonly costBasis: DailyChanges | null;
}

/**
 * Reads a portfolio by day, from one snapshot of the database. `from` (number of a day): changes before it are summed into one
 * entry of the day before it, and flows before it are left out. An unknown portfolio has version 0 and no entries.
 * @throws {UnavailableError} Postgres does not answer.
 */
export type ReadDailyBooks = (portfolioId: string, zone: string, from?: number) => Promise<DailyBooks>;

/** Lists are text with commas: arrays would be parsed by the driver, all at once and slowly. */
interface Row {
  readonly part: 'version' | 'assets' | 'in' | 'out' | 'cash' | 'cost';
  readonly assetId: string | null;
  readonly days: string | null;
  readonly first: string | null;
  readonly second: string | null;
  readonly counts: string | null;
}

/** A row whose lists have been read. */
interface Lists {
  readonly part: Row['part'];
  readonly assetId: string;
  readonly days: readonly number[];
  readonly first: readonly AmountText[];
  readonly second: readonly AmountText[];
  readonly counts: readonly number[];
}

/** A day before any transaction. */
const startOfTime = -1_000_000;
/** Longest time (ms) for which lists are read without letting other work run. */
const longestSliceMs = 4;

/** Builds {@link ReadDailyBooks}. */
export function createDailyBooks(knex: Knex): ReadDailyBooks {
  return async (portfolioId, zone, from = startOfTime) => {
    const query = knex.raw<{ rows: Row[] }>(dailySql, { portfolioId, zone, from });
    const { rows } = await orUnavailable(query);
    const lists = await readLists(rows);
    const of = (part: Row['part']): Lists => lists.find((each) => each.part === part) ?? noLists;
    const [booksVersion = 0, bookedVersion = 0] = of('version').counts;
    const [cash, cost] = [of('cash'), of('cost')];
    return {
      booksVersion,
      assets: lists.flatMap(({ part, assetId, days, first }) =>
        part === 'assets' ? [{ assetId, days, changes: first }] : [],
      ),
      transfers: lists.flatMap(transferOf),
      cash: { days: cash.days, inflows: cash.first, outflows: cash.second },
      costBasis: booksVersion === bookedVersion ? { days: cost.days, changes: cost.first } : null,
    };
  };
}

const noLists: Lists = { part: 'version', assetId: '', days: [], first: [], second: [], counts: [] };

async function readLists(rows: readonly Row[]): Promise<readonly Lists[]> {
  const lists: Lists[] = [];
  let since = performance.now();
  for (const { part, assetId, days, first, second, counts } of rows) {
    lists.push({
      part,
      assetId: assetId ?? '',
      days: textsOf(days).map(Number),
      first: textsOf(first),
      second: textsOf(second),
      counts: textsOf(counts).map(Number),
    });
    if (performance.now() - since < longestSliceMs) continue;
    await yieldToEventLoop();
    since = performance.now();
  }
  return lists;
}

function textsOf(list: string | null): string[] {
  return list === null ? [] : list.split(',');
}

function transferOf({ part, assetId, days, first, second, counts }: Lists): readonly TransferDays[] {
  if (part !== 'in' && part !== 'out') return [];
  return [{ assetId, direction: part, days, quantities: first, fees: second, counts }];
}

const dayOf = `(at at time zone :zone)::date - date '1970-01-01'`;
const dayOfTransaction = `(executed_at at time zone :zone)::date - date '1970-01-01'`;
const textList = (values: string): string => `string_agg((${values})::text, ',' order by day)`;
const listOf = (amounts: string): string => textList(`trunc(${amounts} * 1000000000000000000)`);

/** Flows follow performance/daily-tables.ts; a test compares both. */
const dailySql = `with
  held as (
    select asset_id, greatest(${dayOf}, :from - 1) as day,
      sum(case when kind in ('acquire', 'transfer_in') then quantity else -quantity end) as change,
      coalesce(sum(value) filter (where kind in ('acquire', 'transfer_in')), 0) as basis
    from postings where portfolio_id = :portfolioId group by asset_id, day),
  costs as (
    select day, sum(change) as change from (
      select day, basis as change from held
      union all
      select greatest(${dayOf}, :from - 1), -basis from consumptions where portfolio_id = :portfolioId
    ) as changes group by day),
  flows as (
    select ${dayOfTransaction} as day, type, coalesce(received_asset, given_asset) as asset_id,
      coalesce(received_quantity, given_quantity) as quantity,
      case when fee_asset is null then coalesce(fee_value, 0) else 0 end as fee, value
    from transactions where portfolio_id = :portfolioId),
  transfers as (
    select day, type, asset_id, sum(quantity) as quantity, sum(fee) as fee, count(*) as count
    from flows where type in ('transfer_in', 'transfer_out') and day >= :from group by day, type, asset_id),
  paid as (
    select day, case type when 'buy' then value + fee when 'sell' then fee - value else fee end as amount
    from flows where type not in ('transfer_in', 'transfer_out') and day >= :from),
  cash as (
    select day, sum(greatest(amount, 0)) as inflow, sum(greatest(-amount, 0)) as outflow
    from paid where amount <> 0 group by day)
  select 'version' as part, null as "assetId", null as days, null as first, null as second,
    books_version || ',' || booked_version as counts from portfolios where id = :portfolioId
  union all select 'assets', asset_id, ${textList('day')}, ${listOf('change')}, null, null
    from held where change <> 0 group by asset_id
  union all select case type when 'transfer_in' then 'in' else 'out' end, asset_id, ${textList('day')},
    ${listOf('quantity')}, ${listOf('fee')}, ${textList('count')} from transfers group by type, asset_id
  union all select 'cash', null, ${textList('day')}, ${listOf('inflow')}, ${listOf('outflow')}, null from cash
    having count(*) > 0
  union all select 'cost', null, ${textList('day')}, ${listOf('change')}, null, null from costs
    having count(*) > 0
  order by part, "assetId"`;
