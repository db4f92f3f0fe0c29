/**
 * Stages the transactions of an import in temporary tables until all of it was read: Postgres holds them, not the worker, and
 * they are gone when the worker dies. The tables live as long as the one transaction in which the import is written.
 */
import type { TransactionType } from '../../../domain/bookkeeping.ts';
import type { Knex } from 'knex';
import { amountOf, formatAmount, type Amount } from '../ledger/amount.ts';
import type { BookMovement } from '../ledger/book-walk.ts';
import { postingsOf } from '../ledger/postings.ts';
import type { RecordedTransaction } from '../ledger/recorded-transaction.ts';
import { rankOf } from '../ledger/transaction.ts';
import { orderColumns } from './transaction-rows.ts';

/** A pair of assets of which some staged transaction gives one and receives the other. */
export interface StagedSwap {
  readonly sent: string;
  readonly brought: string;
}

/** Rows of one statement. */
const batchSize = 2_000;
const fetchSize = 5_000;

/** The staged transactions of one import. */
export type ImportStaging = ReturnType<typeof importStaging>;

/** Creates the tables in an open transaction. */
export async function openImportStaging(trx: Knex): Promise<ImportStaging> {
  for (const sql of createSqls) await trx.raw(sql);
  return importStaging(trx);
}

const createSqls = [
  `create temporary table staged_transactions (
    n integer generated always as identity primary key, line integer not null, id uuid not null unique,
    fingerprint text not null unique, body text not null) on commit drop`,
  `create temporary table staged_postings (
    asset_id text not null, at timestamptz(3) not null, rank smallint not null, sequence integer not null,
    transaction_id uuid not null, is_fee boolean not null, moved numeric not null) on commit drop`,
];

function importStaging(trx: Knex) {
  return { ...fillingOf(trx), ...checksOf(trx), pages: () => pagesOf(trx) };
}

function fillingOf(trx: Knex) {
  return {
    /** Adds transactions, except those that are already staged by their id or fingerprint. Returns the number added. */
    async add(
      staged: readonly { readonly line: number; readonly transaction: RecordedTransaction }[],
    ): Promise<number> {
      if (staged.length === 0) return 0;
      const { rows } = await trx.raw<{ rows: { id: string }[] }>(stageSql, [
        staged.map(({ line }) => line),
        staged.map(({ transaction }) => transaction.id),
        staged.map(({ transaction }) => transaction.fingerprint),
        staged.map(({ transaction }) => bodyOf(transaction)),
      ] as never);
      const added = new Set(rows.map(({ id }) => id));
      const postings = staged
        .filter(({ transaction }) => added.has(transaction.id))
        .flatMap(({ transaction }) => postingsOf(transaction));
      await trx.raw(stagePostingsSql, [
        postings.map(({ asset }) => asset),
        postings.map(({ transaction }) => new Date(transaction.at).toISOString()),
        postings.map(({ transaction }) => rankOf[transaction.type]),
        postings.map(({ transaction }) => transaction.sequence),
        postings.map(({ transaction }) => transaction.id),
        postings.map(({ isFee }) => isFee),
        postings.map(({ kind, quantity }) =>
          formatAmount(kind === 'dispose' || kind === 'transfer_out' ? -quantity : quantity),
        ),
      ] as never);
      return added.size;
    },

    /** Creates statistics, without which joins of thousands of rows get bad plans, and an index for reading by transaction. */
    async analyse(): Promise<void> {
      await trx.raw('create index on staged_postings (transaction_id)');
      await trx.raw('analyze staged_transactions');
      await trx.raw('analyze staged_postings');
    },

    /** Removes those that the portfolio already has, by fingerprint or by id. Returns their number. */
    async dropDuplicates(portfolioId: string): Promise<number> {
      const { rows } = await trx.raw<{ rows: [{ n: number }] }>(duplicatesSql, [portfolioId, portfolioId]);
      return rows[0].n;
    },

    /** Removes transactions. */
    async drop(ids: readonly string[]): Promise<void> {
      for (let at = 0; at < ids.length; at += batchSize)
        await trx.raw(dropSql, [ids.slice(at, at + batchSize)] as never);
    },

    /** Number of transactions. */
    async count(): Promise<number> {
      const { rows } = await trx.raw<{ rows: [{ n: number }] }>(
        'select count(*) as n from staged_transactions',
      );
      return rows[0].n;
    },
  };
}

const stageSql = `insert into staged_transactions (line, id, fingerprint, body)
  select * from unnest(?::integer[], ?::uuid[], ?::text[], ?::text[])
  on conflict do nothing returning id`;

const stagePostingsSql = `insert into staged_postings
  select * from unnest(?::text[], ?::timestamptz[], ?::smallint[], ?::integer[], ?::uuid[], ?::boolean[], ?::numeric[])`;

const duplicatesSql = `with known as (
    select staged.id from staged_transactions staged join transactions
      on transactions.portfolio_id = ? and transactions.fingerprint = staged.fingerprint
    union
    select staged.id from staged_transactions staged join transactions
      on transactions.portfolio_id = ? and transactions.id = staged.id),
  postings as (delete from staged_postings using known where transaction_id = known.id),
  gone as (delete from staged_transactions using known where staged_transactions.id = known.id returning 1)
  select count(*) as n from gone`;

const dropSql = `with given as (select * from unnest(?::uuid[]) as given (id)),
  postings as (delete from staged_postings using given where transaction_id = given.id)
  delete from staged_transactions using given where staged_transactions.id = given.id`;

function checksOf(trx: Knex) {
  return {
    /** The assets of which a holding would be negative at some time if everything were added. */
    async overdrawnAssets(portfolioId: string): Promise<readonly string[]> {
      const { rows } = await trx.raw<{ rows: { asset_id: string }[] }>(overdrawnSql, [portfolioId]);
      return rows.map(({ asset_id: assetId }) => assetId);
    },

    /** Which assets are exchanged for which: each pair once. */
    async swaps(): Promise<readonly StagedSwap[]> {
      const { rows } = await trx.raw<{ rows: StagedSwap[] }>(swapsSql);
      return rows;
    },

    /** All movements of assets, existing and staged, in the order of the books. */
    movements: (portfolioId: string, assetIds: readonly string[]) => movementsOf(trx, portfolioId, assetIds),
  };
}

const order = orderColumns.join(', ');
const isIn = `kind in ('acquire', 'transfer_in')`;
const bothSql = (portfolio: string, assets: string): string => `
  select asset_id, ${order}, moved, true as is_staged from staged_postings where asset_id ${assets}
  union all
  select asset_id, ${order}, case when ${isIn} then quantity else -quantity end, false
  from postings where portfolio_id = ${portfolio} and asset_id ${assets}`;

const overdrawnSql = `select asset_id from (
    select asset_id, sum(moved) over (partition by asset_id order by ${order} rows unbounded preceding) as holding
    from (${bothSql('?', '= any(array(select distinct asset_id from staged_postings))')}) as both_sides
  ) as holdings group by asset_id having min(holding) < 0 order by asset_id`;

const swapsSql = `select distinct outs.asset_id as sent, ins.asset_id as brought
  from staged_postings outs join staged_postings ins using (transaction_id) where outs.moved < 0 and ins.moved > 0`;

/** Within a transaction the order is: incoming, outgoing, fee. */
const cursorSql = `declare movements no scroll cursor for
  select asset_id, transaction_id, moved, staged.line
  from (${bothSql('?', '= any(?::text[])')}) as both_sides
  left join staged_transactions staged on is_staged and staged.id = transaction_id
  order by ${order}, moved < 0, asset_id`;

/** Movements of holdings: of staged transactions, or (line null) of existing ones. */
async function* movementsOf(
  trx: Knex,
  portfolioId: string,
  assetIds: readonly string[],
): AsyncGenerator<
  readonly (BookMovement & {
    readonly transactionId: string;
    /** Line of the staged transaction. */
    readonly line: number | null;
  })[]
> {
  await trx.raw(cursorSql, [assetIds, portfolioId, assetIds] as never);
  try {
    for (;;) {
      const { rows } = await trx.raw<{
        rows: {
          readonly asset_id: string;
          readonly transaction_id: string;
          readonly moved: string;
          readonly line: number | null;
        }[];
      }>(`fetch ${fetchSize} from movements`);
      if (rows.length === 0) return;
      yield rows.map(({ asset_id: asset, transaction_id: transactionId, moved, line }) => ({
        transactionId,
        line,
        asset,
        moved: amountOf(moved),
      }));
    }
  } finally {
    await trx.raw('close movements');
  }
}

/** Everything that is staged, in the order of the file. */
async function* pagesOf(trx: Knex): AsyncGenerator<readonly RecordedTransaction[]> {
  let last = 0;
  for (;;) {
    const { rows } = await trx.raw<{ rows: { n: number; body: string }[] }>(
      'select n, body from staged_transactions where n > ? order by n limit ?',
      [last, batchSize],
    );
    if (rows.length === 0) return;
    last = rows.at(-1)?.n ?? last;
    yield rows.map(({ body }) => toTransaction(body));
  }
}

/** A transaction as JSON text: amounts are decimals. */
function bodyOf(transaction: RecordedTransaction): string {
  return JSON.stringify(transaction, (_key, value: unknown) =>
    typeof value === 'bigint' ? formatAmount(value) : value,
  );
}

type Written<T> = { readonly [K in keyof T]: T[K] extends Amount ? string : T[K] };

function toTransaction(body: string): RecordedTransaction {
  const read = JSON.parse(body) as Omit<RecordedTransaction, 'received' | 'sent' | 'fee' | 'value'> & {
    readonly type: TransactionType;
    readonly value: string;
    readonly received: Written<NonNullable<RecordedTransaction['received']>> | null;
    readonly sent: Written<NonNullable<RecordedTransaction['sent']>> | null;
    readonly fee: Written<NonNullable<RecordedTransaction['fee']>> | null;
  };
  const { received, sent, fee } = read;
  return {
    ...read,
    value: amountOf(read.value),
    received: received && { ...received, quantity: amountOf(received.quantity) },
    sent: sent && { ...sent, quantity: amountOf(sent.quantity) },
    fee: fee && { ...fee, quantity: amountOf(fee.quantity), value: amountOf(fee.value) },
  };
}
