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
import type { Knex } from 'knex';
import type { Portfolio } from '../ledger/portfolio.ts';
import { comparePostings, postingsOf, type Posting } from '../ledger/postings.ts';
import type { RecordedTransaction, StoredTransaction } from '../ledger/recorded-transaction.ts';
import { ConflictError, NotFoundError } from '../../../domain/errors.ts';
import type { PortfolioRow } from '../../../../db/models/portfolio.ts';
import type { TransactionRow } from '../../../../db/models/transaction.ts';
import { checkHoldings, deleteMarks } from './holdings-check.ts';
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
} from './transaction-rows.ts';

/** A change under way. */
export interface BookChange {
  /** As it was when it was locked. */
  readonly portfolio: Portfolio;
  /** Transactions that it has by now. */
  count(): number;
  /**
   * Writes transactions, and returns them as stored. Those whose fingerprint the portfolio has already are passed over. One
   * that was removed by the same change comes back as its next version.
   * @throws {ConflictError} `transaction_limit`; or `transaction_exists`, when an id is taken.
   */
  add(transactions: readonly RecordedTransaction[]): Promise<StoredTransaction[]>;
  /**
   * Removes transactions, and returns what they were.
   * @throws {NotFoundError} (`transaction_not_found`) one of them is not there.
   */
  remove(ids: readonly string[]): Promise<StoredTransaction[]>;
  /**
   * Checks holdings and voids marks: once, at the end. Returns the version of the books, which has risen if anything changed.
   * @throws {OverdrawnError} a holding would be negative.
   */
  settle(): Promise<number>;
}

/** Rows of one statement, so that none comes near its deadline. */
const batchSize = 2_000;

/**
 * Locks a portfolio and begins to change it.
 * @throws {NotFoundError} (`portfolio_not_found`) there is none, or it was deleted.
 */
export async function openBookChange(
  trx: Knex,
  request: { readonly portfolioId: string; readonly limit: number },
): Promise<BookChange> {
  const row = await lockPortfolio(trx, request.portfolioId);
  return new OpenChange(trx, { row, limit: request.limit });
}

/** A change of a few transactions: what goes, what comes, and with one id in both what is replaced. */
export interface RecordRequest {
  readonly portfolioId: string;
  readonly limit: number;
  readonly remove?: readonly string[];
  readonly add?: readonly RecordedTransaction[];
  readonly by: ChangeAuthor;
}

/**
 * Makes a change as a whole, with a row of the audit trail for each transaction. Returns what was added, as it is stored.
 * @throws what the steps of {@link BookChange} throw.
 */
export async function recordChange(
  trx: Knex,
  { remove = [], add = [], by, ...request }: RecordRequest,
): Promise<StoredTransaction[]> {
  const change = await openBookChange(trx, request);
  return await recordInto(trx, change, { remove, add, by });
}

/** The same in a change that was opened already, and that nothing else was done in. */
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
  /** The earliest posting that came or went, by asset. */
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
        `A portfolio may have ${this.#limit} transactions at most`,
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
      throw new NotFoundError('There is no such transaction', 'transaction_not_found');
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
    await deleteMarks(this.#trx, id, touched);
    await this.#trx('portfolios')
      .where({ id })
      .update({ books_version: booksVersion + 1, transaction_count: this.#count });
    return booksVersion + 1;
  }

  /** Remembers what was touched; returns all postings of the transactions. */
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

/** By their keys: an index by transaction would cost every import more than it saves. */
const deletePostingsSql = `delete from postings posting using ${keysSql}
  where posting.portfolio_id = ? and posting.asset_id = key.asset_id and ${orderOf('posting')} = ${orderOf('key')}`;

function* batchesOf<T>(all: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < all.length; at += batchSize) yield all.slice(at, at + batchSize);
}

function orTaken(error: unknown): never {
  if (error instanceof Error && 'code' in error && error.code === '23505')
    throw new ConflictError('The portfolio has a transaction with this id', 'transaction_exists');
  throw error;
}
