/**
 * The operations with which handlers find, create and change transactions. A change is checked and valued before the portfolio
 * is locked, because prices are read over other connections; what that depends on (the base currency, versions, existing ids)
 * is checked again after the lock. After the commit a job updates the books.
 */
import { v7 as uuidv7 } from 'uuid';
import {
  checkDrafts,
  type CheckedTransaction,
  saysTheSame,
  valued,
  type WrittenTransaction,
} from './transaction-drafts.ts';
import { ConflictError, NotFoundError, UnavailableError, ValidationError } from '../../../domain/errors.ts';
import { confirmVersion, type ExpectedVersion } from '../../../domain/expected-version.ts';
import type { Viewer } from '../../../domain/job.ts';
import type { Clock } from '../../../platform/concurrency/clock.ts';
import { KeyedQueue } from '../../../platform/concurrency/keyed-queue.ts';
import { OverdrawnError } from '../ledger/overdrawn-error.ts';
import type { Portfolio } from '../ledger/portfolio.ts';
import type { RecordedTransaction, StoredTransaction } from '../ledger/recorded-transaction.ts';
import { compareTransactions, type Transaction } from '../ledger/transaction.ts';
import type { ChangeAuthor } from '../queries/transaction-changes.ts';
import type { PlanChange, TransactionFilter, TransactionQueries } from '../queries/transactions.ts';
import type { FindMarketValues } from '../valuation/market-values.ts';

/** Who acts on which portfolio. */
interface TransactionRequest {
  readonly portfolioId: string;
  readonly viewer: Viewer;
  readonly by: ChangeAuthor;
}

/** One transaction, at the version that the client has seen. */
interface TransactionTarget extends TransactionRequest {
  readonly id: string;
  readonly expected: ExpectedVersion;
}

/** A page of a list in a portfolio. */
interface PortfolioPage extends Omit<TransactionRequest, 'by'> {
  readonly page: number;
  readonly limit: number;
}

interface WrittenPart {
  readonly transaction: RecordedTransaction;
  readonly prefix: string;
}

const placeOf = ({ page, limit: size }: PortfolioPage) => ({ offset: (page - 1) * size, limit: size });

/** What writing a change needs. */
interface Writing {
  readonly transactions: TransactionQueries;
  readonly withWriteLock: WithWriteLock;
  readonly findMarketValues: FindMarketValues;
  /** Transactions that a portfolio may have. */
  readonly limit: number;
}

interface TransactionOperationsDeps extends Writing {
  /** Finds a portfolio of the viewer. */
  readonly portfolios: { get(id: string, viewer: Viewer): Promise<Portfolio> };
  /** Whether the asset exists; also true when that is unknown. */
  readonly isAsset: (id: string) => boolean;
  /** Requests an update of the books of a portfolio; never rejects. */
  readonly updateBooks: (portfolioId: string) => void;
  readonly clock: Clock;
}

/** A replaced transaction may keep an asset that it already named, even if the asset no longer exists. */
function checkAgain(
  before: StoredTransaction,
  written: WrittenTransaction,
  { now, isAsset }: Parameters<typeof checkDrafts>[1],
) {
  const had = new Set([before.received?.asset, before.sent?.asset, before.fee?.asset]);
  const known = { now, isAsset: (asset: string) => had.has(asset) || isAsset(asset) };
  return checkDrafts([{ id: before.id, written, prefix: '' }], known);
}

async function partsOf(
  { findMarketValues }: Writing,
  portfolio: Portfolio,
  checked: readonly (CheckedTransaction & { readonly prefix: string })[],
): Promise<WrittenPart[]> {
  const worth = { currency: portfolio.baseCurrency, findMarketValues };
  const recorded = await valued(checked, worth);
  return recorded.map((transaction, index) => ({ transaction, prefix: checked[index]?.prefix ?? '' }));
}

/** Writes a change when its turn has come. An overdrawn holding is reported in the fields of the request. */
async function write(
  { transactions, withWriteLock, limit }: Writing,
  { portfolioId, by }: Pick<TransactionRequest, 'portfolioId' | 'by'>,
  { parts, otherwise }: { parts: readonly WrittenPart[]; otherwise: (asset: string) => string },
  plan: PlanChange,
): Promise<readonly StoredTransaction[]> {
  try {
    return await withWriteLock(portfolioId, () => transactions.change({ portfolioId, limit, by }, plan));
  } catch (error) {
    if (!(error instanceof OverdrawnError)) throw error;
    throw overdrawnIn(error, parts, otherwise(error.asset));
  }
}

/**
 * Builds the operations with which handlers find, create and change transactions of the viewer's portfolios. All throw {@link
 * NotFoundError} for a portfolio or transaction that does not exist or is not the viewer's, and {@link UnavailableError} when
 * Postgres does not answer, or (`portfolio_busy`) too many changes of a portfolio wait.
 */
export function createTransactionOperations({
  portfolios,
  transactions,
  withWriteLock,
  findMarketValues,
  isAsset,
  updateBooks,
  limit,
  clock,
}: TransactionOperationsDeps) {
  const writing = { transactions, withWriteLock, findMarketValues, limit };
  async function get(requested: Pick<TransactionTarget, 'portfolioId' | 'viewer' | 'id'>) {
    const { portfolioId, viewer, id } = requested;
    await portfolios.get(portfolioId, viewer);
    const [found] = await transactions.find(portfolioId, [id]);
    if (found === undefined) throw noTransaction();
    return found;
  }

  return {
    get,

    /**
     * Creates all of some transactions or none. One whose id exists with the same content counts as created. Returns them in
     * the sent order, and how many are new.
     * @param isList whether the fields of problems are those of a list: `transactions[3].sent.quantity`.
     * @throws {ValidationError} a field is not valid, an asset or a price is not known, or more goes out than is held.
     * @throws {ConflictError} `transaction_exists`, `transaction_limit`, `base_currency_changed`.
     */
    async create(
      { portfolioId, viewer, by }: TransactionRequest,
      drafts: readonly (WrittenTransaction & { readonly id?: string | undefined })[],
      isList: boolean,
    ) {
      const portfolio = await portfolios.get(portfolioId, viewer);
      const named = drafts.map((written, index) => ({
        id: written.id ?? uuidv7(),
        written,
        prefix: isList ? `transactions[${index}].` : '',
      }));
      const checked = checkDrafts(named, { now: clock.now(), isAsset }).map((each, index) => ({
        ...each,
        prefix: named[index]?.prefix ?? '',
      }));
      const own = drafts.flatMap(({ id }) => id ?? []);
      const known = sameOf(checked, await transactions.find(portfolioId, own));
      const parts = await partsOf(
        writing,
        portfolio,
        checked.filter(({ content }) => !known.has(content.id)),
      );
      const how = { parts, otherwise: () => 'transactions' };
      const added = await write(writing, { portfolioId, by }, how, async (change, find) => {
        confirmCurrency(change.portfolio, portfolio);
        // The same request may have been sent twice at the same time.
        for (const [id, each] of sameOf(checked, await find(own))) known.set(id, each);
        return { add: parts.map(({ transaction }) => transaction).filter(({ id }) => !known.has(id)) };
      });
      if (added.length > 0) updateBooks(portfolioId);
      const made = new Map([...known, ...added.map((each) => [each.id, each] as const)]);
      return {
        transactions: checked.flatMap(({ content }) => made.get(content.id) ?? []),
        created: added.length,
      };
    },

    /** A page, the latest in the order of the books first. */
    async page({ filter, ...requested }: PortfolioPage & { readonly filter: TransactionFilter }) {
      const { portfolioId, viewer } = requested;
      await portfolios.get(portfolioId, viewer);
      return await transactions.page({ portfolioId, filter, ...placeOf(requested) });
    },

    /** @throws what `create` throws, and {PreconditionFailedError} it has another version than the client expects. */
    async replace(
      { portfolioId, viewer, by, id, expected }: TransactionTarget,
      written: WrittenTransaction,
    ): Promise<StoredTransaction> {
      const portfolio = await portfolios.get(portfolioId, viewer);
      const [before] = await transactions.find(portfolioId, [id]);
      if (before === undefined) throw noTransaction();
      confirmVersion(before.version, expected);
      const checked = checkAgain(before, written, { now: clock.now(), isAsset });
      if (checked.every((each) => saysTheSame(each, before))) return before;
      const parts = await partsOf(
        writing,
        portfolio,
        checked.map((each) => ({ ...each, prefix: '' })),
      );
      const otherwise = (asset: string): string => lackingField(asset, before, parts[0]?.transaction);
      const [replaced = before] = await write(
        writing,
        { portfolioId, by },
        { parts, otherwise },
        async (change, find) => {
          confirmCurrency(change.portfolio, portfolio);
          const { importId, fingerprint } = await currentOf(find, id, expected);
          return {
            remove: [id],
            add: parts.map(({ transaction }) => ({ ...transaction, importId, fingerprint })),
          };
        },
      );
      updateBooks(portfolioId);
      return replaced;
    },

    /** @throws {ValidationError} a later transaction needs it; {PreconditionFailedError} as `replace` does. */
    async remove({ portfolioId, viewer, by, id, expected }: TransactionTarget): Promise<void> {
      await portfolios.get(portfolioId, viewer);
      await write(
        writing,
        { portfolioId, by },
        { parts: [], otherwise: () => 'id' },
        async (_change, find) => {
          await currentOf(find, id, expected);
          return { remove: [id] };
        },
      );
      updateBooks(portfolioId);
    },

    /** A page of the audit trail of a portfolio or of one transaction, which may be deleted; the newest first. */
    async changes({
      transactionId,
      ...requested
    }: PortfolioPage & { readonly transactionId?: string | undefined }) {
      const { portfolioId, viewer } = requested;
      await portfolios.get(portfolioId, viewer);
      const found = await transactions.changes({ portfolioId, transactionId, ...placeOf(requested) });
      if (found.total === 0 && transactionId !== undefined)
        await get({ portfolioId, viewer, id: transactionId });
      return found;
    },
  };
}

/**
 * The stored transactions that have the same content as the client's, by id.
 * @throws {ConflictError} one has other content.
 */
function sameOf(
  checked: readonly (CheckedTransaction & { readonly prefix: string })[],
  stored: readonly StoredTransaction[],
): Map<string, StoredTransaction> {
  const same = new Map<string, StoredTransaction>();
  const byId = new Map(stored.map((each) => [each.id, each]));
  for (const each of checked) {
    const { id } = each.content;
    const found = byId.get(id);
    if (found === undefined) continue;
    if (!saysTheSame(each, found))
      throw new ConflictError(`Transaction ${id} already exists with other content`, 'transaction_exists');
    same.set(id, found);
  }
  return same;
}

async function currentOf(
  find: Parameters<PlanChange>[1],
  id: string,
  expected: ExpectedVersion,
): Promise<StoredTransaction> {
  const [current] = await find([id]);
  if (current === undefined) throw noTransaction();
  confirmVersion(current.version, expected);
  return current;
}

/** Refuses a change that was valued in a former base currency of the portfolio. */
function confirmCurrency(current: Portfolio, seen: Portfolio): void {
  if (current.baseCurrency !== seen.baseCurrency)
    throw new ConflictError('The base currency has just changed; try again', 'base_currency_changed');
}

function noTransaction(): NotFoundError {
  return new NotFoundError('Transaction not found', 'transaction_not_found');
}

/**
 * Reports an overdrawn holding with the fields of the request that caused it: the overdrawn transaction may be an existing one,
 * which lacks what the request removes or takes first.
 * @param otherwise the field to name when no written transaction takes the asset.
 */
function overdrawnIn(
  error: OverdrawnError,
  parts: readonly WrittenPart[],
  otherwise: string,
): ValidationError {
  const own = parts.find(({ transaction }) => transaction.id === error.transaction);
  if (own !== undefined) {
    const fields = (error.fields ?? []).map((each) => ({ ...each, field: own.prefix + each.field }));
    return new ValidationError(error.message, fields);
  }
  const message = `${error.message}: an existing transaction needs it`;
  return new ValidationError(message, [
    {
      field: fieldToBlame(error, parts) ?? otherwise,
      message: 'a later transaction would need more than is held then',
    },
  ]);
}

/** The field of a replaced transaction that makes less of an asset come in, or makes it come in later. */
function lackingField(asset: string, before: Transaction, after: Transaction | undefined): string {
  if (after?.received == null) return 'type';
  if (after.received.asset !== asset) return 'received.asset';
  const had = before.received?.quantity ?? 0n;
  return after.received.quantity < had ? 'received.quantity' : 'executed_at';
}

/** The last field that takes some of the asset. */
function fieldToBlame(error: OverdrawnError, parts: readonly WrittenPart[]): string | undefined {
  const taking = parts
    .flatMap((part) => fieldsTaking(part, error.asset))
    .sort((a, b) => compareTransactions(a.transaction, b.transaction));
  return taking.at(-1)?.field;
}

function fieldsTaking({ transaction, prefix }: WrittenPart, asset: string) {
  const { sent, fee } = transaction;
  return [
    ...(sent?.asset === asset ? [{ transaction, field: `${prefix}sent.quantity` }] : []),
    ...(fee?.asset === asset ? [{ transaction, field: `${prefix}fee.quantity` }] : []),
  ];
}

/**
 * Makes a change of a portfolio when its turn has come. Changes of one portfolio wait for its lock, and would hold one
 * connection each while they wait, until the pool has none left; so they wait here first, before they take one. Every process
 * has its own queue: Postgres orders the few that come through.
 * @throws {UnavailableError} (`portfolio_busy`) too many changes of it wait, or this one waited too long.
 */
export type WithWriteLock = <T>(portfolioId: string, change: () => Promise<T>) => Promise<T>;

/** One change has the lock, and the next one waits for it, so that there is no pause between them. */
const width = 2;
const waiting = 100;
/** Most waiting changes of all portfolios together. */
const most = 2_000;

/**
 * Creates the write queue of a process: all changes of its portfolios must use the same one.
 * @param options.longestWaitMs how long a change waits for its turn.
 */
export function createWriteLocks({ longestWaitMs = 5_000 } = {}): WithWriteLock {
  const refusal = (): Error =>
    new UnavailableError('Too many changes of this portfolio are waiting', {
      code: 'portfolio_busy',
      retryAfterSeconds: 1,
    });
  const queue = new KeyedQueue({ width, waiting, longestWaitMs, most, refusal });
  return (portfolioId, change) => queue.run(portfolioId, change);
}
