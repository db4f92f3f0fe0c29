/**
 * The one way in which transactions change. A change is one database transaction, which its caller begins: it locks the
 * portfolio, writes transactions with their postings, refuses what would make a holding negative, makes the marks of the
 * touched assets void, and raises the version of the books. After the commit the caller has the books updated.
 *
 *     await knex.transaction(async (trx) => {
 *       const change = await openBookChange(trx, { portfolioId, limit });
 *       for await (const batch of batches) await change.add(batch);   // as many and as large as one likes
 *       await change.settle();                                        // OverdrawnError: nothing has happened
 *       await recordChanges(trx, { portfolioId, by }, [{ transactionId: null, action: 'imported', after }]);
 *     });
 *
 * The lock keeps out every other change and the update of the books, so what is read of the portfolio's transactions behind
 * `openBookChange` stays true until the commit. `recordChange` does all of it for changes of a few transactions.
 */
import type { Portfolio } from '../ledger/portfolio.ts';
import { comparePostings, postingsOf, type Posting, type PostingKind } from '../ledger/postings.ts';
import type { RecordedTransaction, StoredTransaction } from '../ledger/recorded-transaction.ts';
import { ConflictError, NotFoundError } from '../../../domain/errors.ts';
import type { PortfolioRow } from '../../../../db/models/portfolio.ts';
import type { TransactionRow } from '../../../../db/models/transaction.ts';
import { lockPortfolio, toPortfolio } from './portfolios.ts';
import { changesOf, recordChanges, type ChangeAuthor } from './transaction-changes.ts';
import {
  insertPostingsSql,
  insertTransactionsSql,
  keyArrays,
  keysSql,
  orderOf,
  postingArrays,
  toStored,
  transactionArrays,
  orderColumns,
} from './transaction-rows.ts';
import { transactionTypes, type TransactionType } from '../../../domain/bookkeeping.ts';
import type { Knex } from 'knex';
import { amountOf } from '../ledger/amount.ts';
import { OverdrawnError } from '../ledger/overdrawn-error.ts';
import { rankOf } from '../ledger/transaction.ts';

/** A change in progress. */
export interface BookChange {
  /** As it was when it was locked. */
  readonly portfolio: Portfolio;
  /** Number of transactions after the changes so far. */
  count(): number;
  /**
   * Writes transactions, and returns them as stored. Those whose fingerprint the portfolio already has are skipped. One that
   * was removed by the same change comes back as its next version.
   * @throws {ConflictError} `transaction_limit`; or `transaction_exists`, when an id is taken.
   */
  add(transactions: readonly RecordedTransaction[]): Promise<StoredTransaction[]>;
  /**
   * Removes transactions, and returns their former content.
   * @throws {NotFoundError} (`transaction_not_found`) one of them does not exist.
   */
  remove(ids: readonly string[]): Promise<StoredTransaction[]>;
  /**
   * Checks holdings and deletes outdated checkpoints: once, at the end. Returns the version of the books, which has risen if
   * anything changed.
   * @throws {OverdrawnError} a holding would be negative.
   */
  settle(): Promise<number>;
}

/** Rows per statement, so that none comes near its deadline. */
const batchSize = 2_000;

/**
 * Locks a portfolio and starts to change it.
 * @throws {NotFoundError} (`portfolio_not_found`) there is none, or it was deleted.
 */
export async function openBookChange(
  trx: Knex,
  request: { readonly portfolioId: string; readonly limit: number },
): Promise<BookChange> {
  const row = await lockPortfolio(trx, request.portfolioId);
  return new OpenChange(trx, { row, limit: request.limit });
}

/** A change of a few transactions: those to remove, those to add, and to replace one, the same id in both. */
export interface RecordRequest {
  readonly portfolioId: string;
  readonly limit: number;
  readonly remove?: readonly string[];
  readonly add?: readonly RecordedTransaction[];
  readonly by: ChangeAuthor;
}

/**
 * Makes a change as a whole, with a row of the audit trail for each transaction. Returns what was added, as stored.
 * @throws what the steps of {@link BookChange} throw.
 */
export async function recordChange(
  trx: Knex,
  { remove = [], add = [], by, ...request }: RecordRequest,
): Promise<StoredTransaction[]> {
  const change = await openBookChange(trx, request);
  return await recordInto(trx, change, { remove, add, by });
}

/** The same within an open change that has done nothing else. */
export async function recordInto(
  trx: Knex,
  change: BookChange,
  { remove = [], add = [], by }: Pick<RecordRequest, 'remove' | 'add' | 'by'>,
): Promise<StoredTransaction[]> {
  const removed = await change.remove(remove);
  const added = await change.add(add);
  await change.settle();
  await recordChanges(trx, { portfolioId: change.portfolio.id, by }, changesOf(removed, added));
  return added;
}

class OpenChange implements BookChange {
  readonly portfolio: Portfolio;
  readonly #trx: Knex;
  readonly #limit: number;
  #count: number;
  readonly #removed = new Map<string, StoredTransaction>();
  /** The earliest posting that was added or removed, by asset. */
  readonly #touched = new Map<string, Posting>();

  constructor(trx: Knex, { row, limit }: { readonly row: PortfolioRow; readonly limit: number }) {
    this.#trx = trx;
    this.#limit = limit;
    this.portfolio = toPortfolio(row);
    this.#count = row.transaction_count;
  }

  count(): number {
    return this.#count;
  }

  async add(transactions: readonly RecordedTransaction[]): Promise<StoredTransaction[]> {
    const stored: StoredTransaction[] = [];
    for (const batch of batchesOf(transactions)) stored.push(...(await this.#addBatch(batch)));
    return stored;
  }

  async #addBatch(batch: readonly RecordedTransaction[]): Promise<StoredTransaction[]> {
    const { id } = this.portfolio;
    const { rows } = await this.#trx
      .raw<{ rows: TransactionRow[] }>(insertTransactionsSql, [
        id,
        id,
        ...transactionArrays(batch, this.#removed),
      ] as never)
      .catch(orTaken);
    this.#count += rows.length;
    if (this.#count > this.#limit)
      throw new ConflictError(
        `A portfolio can have at most ${this.#limit} transactions`,
        'transaction_limit',
      );
    const written = new Map(rows.map((row) => [row.id, toStored(row)]));
    const added = batch.flatMap((each) => written.get(each.id) ?? []);
    for (const postings of batchesOf(this.#touch(added)))
      await this.#trx.raw(insertPostingsSql, [id, ...postingArrays(postings)] as never);
    return added;
  }

  async remove(ids: readonly string[]): Promise<StoredTransaction[]> {
    const removed: StoredTransaction[] = [];
    for (const batch of batchesOf(ids)) removed.push(...(await this.#removeBatch(batch)));
    return removed;
  }

  async #removeBatch(ids: readonly string[]): Promise<StoredTransaction[]> {
    const { id } = this.portfolio;
    const { rows } = await this.#trx.raw<{ rows: TransactionRow[] }>(
      'delete from transactions where portfolio_id = ? and id = any(?::uuid[]) returning *',
      [id, ids] as never,
    );
    if (rows.length < new Set(ids).size)
      throw new NotFoundError('Transaction not found', 'transaction_not_found');
    const removed = rows.map(toStored);
    this.#count -= removed.length;
    for (const each of removed) this.#removed.set(each.id, each);
    for (const postings of batchesOf(this.#touch(removed)))
      await this.#trx.raw(deletePostingsSql, [...keyArrays(postings), id] as never);
    return removed;
  }

  async settle(): Promise<number> {
    const { id, booksVersion } = this.portfolio;
    const touched = [...this.#touched.values()];
    if (touched.length === 0) return booksVersion;
    await checkHoldings(this.#trx, id, touched);
    await deleteCheckpoints(this.#trx, id, touched);
    await this.#trx('portfolios')
      .where({ id })
      .update({ books_version: booksVersion + 1, transaction_count: this.#count });
    return booksVersion + 1;
  }

  /** Records what was touched; returns all postings of the transactions. */
  #touch(transactions: readonly StoredTransaction[]): Posting[] {
    const postings = transactions.flatMap(postingsOf);
    for (const posting of postings) {
      const earliest = this.#touched.get(posting.asset);
      if (earliest === undefined || comparePostings(posting, earliest) < 0)
        this.#touched.set(posting.asset, posting);
    }
    return postings;
  }
}

/** Deletes by key: an index by transaction would cost every import more than it saves. */
const deletePostingsSql = `delete from postings posting using ${keysSql}
  where posting.portfolio_id = ? and posting.asset_id = key.asset_id and ${orderOf('posting')} = ${orderOf('key')}`;

function* batchesOf<T>(all: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < all.length; at += batchSize) yield all.slice(at, at + batchSize);
}

function orTaken(error: unknown): never {
  if (error instanceof Error && 'code' in error && error.code === '23505')
    throw new ConflictError('The portfolio already has a transaction with this id', 'transaction_exists');
  throw error;
}

const order = orderColumns.join(', ');

/** Before any posting. */
const beginning = `(coalesce(mark.at, '-infinity'), coalesce(mark.rank, 0), coalesce(mark.sequence, 0),
  coalesce(mark.transaction_id, '00000000-0000-0000-0000-000000000000'), coalesce(mark.is_fee, false))`;

/**
 * Whether a change leaves every holding at zero or more: a running sum over the postings of each touched asset. It starts at
 * the newest checkpoint before the earliest touched posting, because what comes before is unchanged; so the cost depends only
 * on what follows.
 */
const overdrawnSql = `select key.asset_id, below.* from ${keysSql}
  left join lateral (
    select ${order}, holding from ledger_marks mark
    where mark.portfolio_id = ? and mark.asset_id = key.asset_id and ${orderOf('mark')} < ${orderOf('key')}
    order by count desc limit 1
  ) as mark on true
  cross join lateral (
    select ${order}, kind, quantity, value, running from (
      select ${order}, kind, quantity, value, coalesce(mark.holding, 0)
        + sum(case when kind in ('acquire', 'transfer_in') then quantity else -quantity end) over (order by ${order}) as running
      from postings posting
      where posting.portfolio_id = ? and posting.asset_id = key.asset_id and ${orderOf('posting')} > ${beginning}
    ) as summed
    where running < 0 order by ${order} limit 1
  ) as below
  order by ${order}, key.asset_id limit 1`;

/**
 * Refuses a change that was already written, in its own transaction.
 * @param touched the earliest posting of each asset that was added or removed.
 * @throws {OverdrawnError} with the first posting that takes more than is held then.
 */
async function checkHoldings(trx: Knex, portfolioId: string, touched: readonly Posting[]): Promise<void> {
  const { rows } = await trx.raw<{
    rows: {
      readonly asset_id: string;
      readonly at: Date;
      readonly rank: number;
      readonly sequence: number;
      readonly transaction_id: string;
      readonly is_fee: boolean;
      readonly kind: PostingKind;
      readonly quantity: string;
      readonly value: string;
      readonly running: string;
    }[];
  }>(overdrawnSql, [...keyArrays(touched), portfolioId, portfolioId] as never);
  const [row] = rows;
  if (row === undefined) return;
  const quantity = amountOf(row.quantity);
  const posting: Posting = {
    transaction: {
      id: row.transaction_id,
      at: row.at.getTime(),
      type: typeOfRank(row.rank),
      sequence: row.sequence,
    },
    asset: row.asset_id,
    kind: row.kind,
    isFee: row.is_fee,
    quantity,
    value: amountOf(row.value),
  };
  throw new OverdrawnError(posting, amountOf(row.running) + quantity);
}

/** The type is not joined: for a portfolio that is new to the planner it expects one row, and would join before it sums. */
function typeOfRank(rank: number): TransactionType {
  const type = transactionTypes.find((each) => rankOf[each] === rank);
  if (type === undefined) throw new Error(`a posting has the unknown rank ${rank}`);
  return type;
}

const deleteCheckpointsSql = `delete from ledger_marks mark using ${keysSql}
  where mark.portfolio_id = ? and mark.asset_id = key.asset_id and ${orderOf('mark')} >= ${orderOf('key')}`;

/** Deletes the checkpoints that a change invalidates: those at or after the earliest touched posting of each asset. */
async function deleteCheckpoints(trx: Knex, portfolioId: string, touched: readonly Posting[]): Promise<void> {
  await trx.raw(deleteCheckpointsSql, [...keyArrays(touched), portfolioId] as never);
}
