/** What an update of derived tables reads and writes, asset by asset, inside its transaction. */
import type { Knex } from 'knex';
import { checkpointsToKeep } from '../ledger/checkpoint.ts';
import {
  lotMatchColumns,
  keptAs,
  type Bookkeeping,
  type Replayed,
  type StoredCheckpoint,
} from '../ledger/replay.ts';

/** A portfolio as its update sees it. */
export interface PortfolioBeingBooked extends Bookkeeping {
  readonly id: string;
  readonly booksVersion: number;
  readonly bookedVersion: number;
}

/** An asset whose derived rows are behind its postings. */
export interface StaleAsset {
  readonly asset: string;
  /** Number of postings after its last checkpoint, 2,001 at most. */
  readonly behind: number;
  /** Characters of its last checkpoint; 0 without one. */
  readonly checkpointSize: number;
  /** Whether it has any postings. */
  readonly hasPostings: boolean;
}

/** The reads and writes of an update. */
export type BooksWriter = ReturnType<typeof createBooksWriter>;

/** The place of a posting in the order of the books. */
interface PostingKey {
  readonly at: Date;
  readonly rank: number;
  readonly sequence: number;
  readonly transactionId: string;
  readonly isFee: boolean;
}

/** Stored checkpoints. */
export interface KnownCheckpoints {
  /** The last one; null without any. */
  readonly last: { readonly key: PostingKey; readonly state: string } | null;
  readonly sizes: readonly { readonly count: number; readonly size: number }[];
}

/** Postings after a checkpoint are counted up to this number. */
const countedPostings = 2_001;
const pageSize = 10_000;

const order = ['at', 'rank', 'sequence', 'transaction_id', 'is_fee'] as const;
const orderOf = (table: string): string => `(${order.map((column) => `${table}.${column}`).join(', ')})`;

/** Builds the writer of a portfolio's derived tables in a transaction. */
export function createBooksWriter(trx: Knex, portfolio: PortfolioBeingBooked) {
  const { id, booksVersion } = portfolio;
  const way = keptAs(portfolio);
  const query = async <R>(sql: string, values: readonly unknown[]): Promise<R[]> => {
    const { rows } = await trx.raw<{ rows: R[] }>(sql, values as never);
    return rows;
  };
  return {
    /** Assets whose rows are behind their postings, or should not exist; with `all`, every asset. */
    stale: (all = false): Promise<readonly StaleAsset[]> =>
      query<StaleAsset>(staleSql, [id, id, id, id, way, id, id, id, all]),
    /** Text of the checkpoint to continue from, and all stored checkpoints. */
    async checkpointsOf(asset: string): Promise<KnownCheckpoints> {
      const rows = await query<
        PostingKey & {
          readonly count: number;
          readonly size: number;
          /** Of the last one only. */
          readonly state: string | null;
        }
      >(checkpointsSql, [id, asset, way]);
      const [last] = rows;
      return {
        last: last === undefined || last.state === null ? null : { key: last, state: last.state },
        sizes: rows.map(({ count, size }) => ({ count, size })).reverse(),
      };
    },
    /** Postings after a checkpoint as text (ledger/posting-text.ts), some thousand at a time. */
    postings: (asset: string, after: PostingKey | null): AsyncIterable<string> =>
      pagesOf(query, [id, asset], after),
    /** Replaces stored lot matches and the stored position. */
    async write(asset: string, { position, firstLotMatch, blocks }: Replayed): Promise<void> {
      await query(deleteLotMatchesSql, [id, asset, firstLotMatch]);
      for (const { first, columns } of blocks)
        await query(insertLotMatchesSql, [id, asset, first, ...columns.split('\n')]);
      const { count, quantity, acquired, consumed, leftBasis, proceeds, openLots } = position;
      const values = [count, quantity, acquired, consumed, leftBasis, proceeds, openLots];
      await query(upsertPositionSql, [id, asset, ...values]);
    },
    /** Stores checkpoints, and drops those that are no longer worth keeping. Only after `lock()`. */
    writeCheckpoints: (
      asset: string,
      checkpoints: readonly StoredCheckpoint[],
      known: KnownCheckpoints,
    ): Promise<void> => storeCheckpoints(query, { id, asset, way }, { checkpoints, known }),
    /** Drops the stored rows of an asset that has no postings. Only after `lock()`. */
    async drop(asset: string): Promise<void> {
      for (const table of ['consumptions', 'positions', 'ledger_marks'])
        await query(`delete from ${table} where portfolio_id = ? and asset_id = ?`, [id, asset]);
    },
    /** Drops everything that is derived. Checkpoints are dropped by `writeCheckpoints` and `drop`, after the lock. */
    async clear(): Promise<void> {
      for (const table of ['consumptions', 'positions'])
        await query(`delete from ${table} where portfolio_id = ?`, [id]);
    },
    /** A digest that changes when stored positions, lot matches or open lots change, and the numbers of rows. */
    async digest() {
      const [row] = await query<{
        readonly digest: string;
        readonly positions: number;
        readonly postings: number;
        readonly consumptions: number;
      }>(digestSql, [id, id, id, id]);
      return row ?? { digest: '', positions: 0, postings: 0, consumptions: 0 };
    },
    /** Marks the derived tables as current for the version that this update read. Only after `lock()`. */
    async finish(): Promise<void> {
      await query('update portfolios set booked_version = ? where id = ?', [booksVersion, id]);
    },
  };
}

type RunQuery = <R>(sql: string, values: readonly unknown[]) => Promise<R[]>;

/**
 * Steps from one asset to the next, so that the number of postings does not matter; includes assets with a position but no more
 * postings. A position belongs to the last checkpoint at that time: when checkpoints were deleted since, it is outdated.
 */
const staleSql = `with recursive steps as (
    (select asset_id from postings where portfolio_id = ? order by asset_id limit 1)
    union all
    select (select postings.asset_id from postings where portfolio_id = ? and postings.asset_id > steps.asset_id
      order by postings.asset_id limit 1)
    from steps where steps.asset_id is not null),
  named as (
    select asset_id from steps where asset_id is not null
    union select asset_id from positions where portfolio_id = ?)
  select named.asset_id as asset, coalesce(octet_length(mark.state), 0) as "checkpointSize",
    last.at is not null as "hasPostings", behind.count as behind
  from named
  left join lateral (
    select * from ledger_marks where portfolio_id = ? and asset_id = named.asset_id and kept_as = ?
    order by count desc limit 1) as mark on true
  left join lateral (
    select * from postings where portfolio_id = ? and asset_id = named.asset_id
    order by at desc, rank desc, sequence desc, transaction_id desc, is_fee desc limit 1) as last on true
  left join positions on positions.portfolio_id = ? and positions.asset_id = named.asset_id
  cross join lateral (
    select count(*)::integer as count from (
      select from postings where portfolio_id = ? and asset_id = named.asset_id and ${orderOf('postings')} >
        (coalesce(mark.at, '-infinity'), coalesce(mark.rank, 0), coalesce(mark.sequence, 0),
        coalesce(mark.transaction_id, '00000000-0000-0000-0000-000000000000'), coalesce(mark.is_fee, false))
      limit COUNTED) as counted) as behind
  where ALL or last.at is null or mark.at is null or positions.count is distinct from mark.count
    or ${orderOf('mark')} is distinct from ${orderOf('last')}
  order by named.asset_id`
  .replace('ALL', '?::boolean')
  .replace('COUNTED', String(countedPostings));

const checkpointsSql = `select count, at, rank, sequence, transaction_id as "transactionId", is_fee as "isFee",
    octet_length(state) as size, case when row_number() over (order by count desc) = 1 then state end as state
  from ledger_marks where portfolio_id = ? and asset_id = ? and kept_as = ? order by count desc`;

const postingsSql = `select coalesce(string_agg(concat_ws(' ', (extract(epoch from at) * 1000)::bigint, rank, sequence,
    transaction_id, is_fee::integer, kind, quantity, value), e'\\n'), '') as text,
    count(*)::integer as count
  from (
    select * from postings
    where portfolio_id = ? and asset_id = ? and ${orderOf('postings')} > (?::timestamptz, ?, ?, ?::uuid, ?)
    order by ${order.join(', ')} limit ${pageSize}) as page`;

const beforeAll = ['-infinity', 0, 0, '00000000-0000-0000-0000-000000000000', false] as const;

async function* pagesOf(
  query: RunQuery,
  of: readonly [string, string],
  after: PostingKey | null,
): AsyncGenerator<string> {
  let key: readonly unknown[] =
    after === null ? beforeAll : [after.at, after.rank, after.sequence, after.transactionId, after.isFee];
  for (;;) {
    const [page] = await query<{ text: string; count: number }>(postingsSql, [...of, ...key]);
    if (page === undefined || page.count === 0) return;
    yield page.text;
    if (page.count < pageSize) return;
    const [at, rank, sequence, id, isFee] = page.text.slice(page.text.lastIndexOf('\n') + 1).split(' ');
    key = [new Date(Number(at)), Number(rank), Number(sequence), id, isFee === '1'];
  }
}

const deleteLotMatchesSql =
  'delete from consumptions where portfolio_id = ? and asset_id = ? and number >= ?';

const columns = lotMatchColumns.join(', ');

const insertLotMatchesSql = `insert into consumptions (portfolio_id, asset_id, number, ${columns})
  select ?::uuid, ?::text, ?::integer + (place - 1)::integer, ${columns}
  from unnest(?::text[], ?::uuid[], ?::boolean[], ?::timestamptz[], ?::uuid[], ?::timestamptz[], ?::text[], ?::numeric[],
      ?::numeric[], ?::numeric[], ?::boolean[])
    with ordinality as row (${columns}, place)`;

const upsertPositionSql = `insert into positions (portfolio_id, asset_id, count, quantity, acquired, consumed, left_basis,
    proceeds, open_lots)
  values (?, ?, ?, ?, ?, ?, ?, ?, ?)
  on conflict (portfolio_id, asset_id) do update set count = excluded.count, quantity = excluded.quantity,
    acquired = excluded.acquired, consumed = excluded.consumed, left_basis = excluded.left_basis,
    proceeds = excluded.proceeds, open_lots = excluded.open_lots`;

async function storeCheckpoints(
  query: RunQuery,
  { id, asset, way }: { readonly id: string; readonly asset: string; readonly way: string },
  {
    checkpoints,
    known,
  }: { readonly checkpoints: readonly StoredCheckpoint[]; readonly known: KnownCheckpoints },
): Promise<void> {
  const fresh = new Map(checkpoints.map((checkpoint) => [checkpoint.count, checkpoint]));
  const before = known.sizes.filter(({ count }) => !fresh.has(count));
  const sizes = [...before, ...checkpoints.map(({ count, state }) => ({ count, size: state.length }))];
  const kept = new Set(checkpointsToKeep(sizes));
  const stay = before.filter(({ count }) => kept.has(count)).map(({ count }) => count);
  await query(dropCheckpointsSql, [id, asset, stay, way]);
  for (const checkpoint of checkpoints.filter(({ count }) => kept.has(count))) {
    const { count, settled, at, rank, sequence, transactionId, isFee, holding, state } = checkpoint;
    const key = [new Date(at), rank, sequence, transactionId, isFee];
    await query(insertCheckpointSql, [id, asset, count, settled, ...key, holding, way, state]);
  }
}

const dropCheckpointsSql = `delete from ledger_marks
  where portfolio_id = ? and asset_id = ? and not (count = any(?::integer[]) and kept_as = ?)`;

const insertCheckpointSql = `insert into ledger_marks (portfolio_id, asset_id, count, settled, at, rank, sequence, transaction_id,
  is_fee, holding, kept_as, state) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;

/** By value: 1.0 is 1.00. Rows are compared by the sum of their hashes, so that nothing is sorted. */
const digestSql = `with parts as (
    select count(*) as positions, 0 as consumptions, sum(hash_record_extended(positions, 1)) as hashes
    from positions where portfolio_id = ?
    union all
    select 0, count(*), sum(hash_record_extended(consumptions, 2)) from consumptions where portfolio_id = ?
    union all
    select 0, 0, sum(hashtextextended(asset_id || ' ' || state, 3)) from (
      select distinct on (asset_id) asset_id, state from ledger_marks where portfolio_id = ?
      order by asset_id, count desc) as ends)
  select sum(positions)::integer as positions, sum(consumptions)::integer as consumptions,
    (select count(*)::integer from postings where portfolio_id = ?) as postings,
    array_to_string(array_agg(coalesce(hashes, 0)), ' ') as digest from parts`;
