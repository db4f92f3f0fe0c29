/**
 * Where handlers find, make and change transactions. A change is judged, valued and then written under the lock of its
 * portfolio; after the commit the books are brought up to date by a job.
 */
import type { TransactionChange } from '../queries/transaction-changes.ts';
import type { TransactionFilter } from '../queries/transactions.ts';
import type { StoredTransaction } from '../ledger/recorded-transaction.ts';
import type { Viewer } from '../../../domain/job.ts';
import type { WrittenTransaction } from './transaction-drafts.ts';
import {
  createAll,
  noTransaction,
  removeOne,
  replaceOne,
  type Creation,
  type NewTransaction,
  type TransactionDeskDeps,
  type TransactionRequest,
  type TransactionTarget,
} from './transaction-writes.ts';

/** A page of something in a portfolio. */
export interface PortfolioPage {
  readonly portfolioId: string;
  readonly viewer: Viewer;
  readonly page: number;
  readonly limit: number;
}

/**
 * Transactions of the viewer's portfolios. All methods throw {@link NotFoundError} for a portfolio or transaction that is not
 * there or not the viewer's, and {@link UnavailableError} when Postgres does not answer, or (`portfolio_busy`) too many changes
 * of a portfolio wait.
 */
export interface TransactionDesk {
  /**
   * Makes all of some transactions or none. One whose id is there and says the same counts as made.
   * @param isList whether the fields of problems are those of a list: `transactions[3].given.quantity`.
   * @throws {ValidationError} a rule is broken, an asset or a price is not known, or more goes out than is held.
   * @throws {ConflictError} `transaction_exists`, `transaction_limit`, `base_currency_changed`.
   */
  create(request: TransactionRequest, drafts: readonly NewTransaction[], isList: boolean): Promise<Creation>;
  get(target: Pick<TransactionTarget, 'portfolioId' | 'viewer' | 'id'>): Promise<StoredTransaction>;
  /** The latest in the order of the books first. */
  page(
    asked: PortfolioPage & { readonly filter: TransactionFilter },
  ): Promise<{ readonly transactions: readonly StoredTransaction[]; readonly total: number }>;
  /** @throws what `create` throws, and {PreconditionFailedError} it has another version than the client expects. */
  replace(target: TransactionTarget, draft: WrittenTransaction): Promise<StoredTransaction>;
  /** @throws {ValidationError} a later transaction needs it; {PreconditionFailedError} as `replace` does. */
  remove(target: TransactionTarget): Promise<void>;
  /** The audit trail of a portfolio or of one transaction, which may be gone; the newest first. */
  changes(
    asked: PortfolioPage & { readonly transactionId?: string | undefined },
  ): Promise<{ readonly changes: readonly TransactionChange[]; readonly total: number }>;
}

/** Builds the {@link TransactionDesk}. */
export function createTransactionDesk(deps: TransactionDeskDeps): TransactionDesk {
  const { portfolios, transactions } = deps;
  const place = ({ page, limit }: PortfolioPage) => ({ offset: (page - 1) * limit, limit });

  async function get({ portfolioId, viewer, id }: Parameters<TransactionDesk['get']>[0]) {
    await portfolios.get(portfolioId, viewer);
    const [found] = await transactions.find(portfolioId, [id]);
    if (found === undefined) throw noTransaction();
    return found;
  }

  return {
    create: (request, drafts, isList) => createAll(deps, request, { drafts, isList }),
    get,
    async page({ filter, ...asked }) {
      const { portfolioId, viewer } = asked;
      await portfolios.get(portfolioId, viewer);
      return await transactions.page({ portfolioId, filter, ...place(asked) });
    },
    replace: (target, draft) => replaceOne(deps, target, draft),
    remove: (target) => removeOne(deps, target),
    async changes({ transactionId, ...asked }) {
      const { portfolioId, viewer } = asked;
      await portfolios.get(portfolioId, viewer);
      const found = await transactions.changes({ portfolioId, transactionId, ...place(asked) });
      if (found.total === 0 && transactionId !== undefined)
        await get({ portfolioId, viewer, id: transactionId });
      return found;
    },
  };
}
