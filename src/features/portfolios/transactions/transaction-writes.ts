/**
 * How transactions are written. They are judged and valued before the portfolio is locked, because prices are read over other
 * connections; what that rests on (the base currency, versions, ids that are taken) is looked at again behind the lock.
 */
import { v7 as uuidv7 } from 'uuid';
import type { ChangeAuthor } from '../queries/transaction-changes.ts';
import type { PlanChange, TransactionQueries } from '../queries/transactions.ts';
import { OverdrawnError } from '../ledger/overdrawn-error.ts';
import type { Portfolio } from '../ledger/portfolio.ts';
import type { RecordedTransaction, StoredTransaction } from '../ledger/recorded-transaction.ts';
import type { Viewer } from '../../../domain/job.ts';
import type { Clock } from '../../../platform/concurrency/clock.ts';
import { ConflictError, NotFoundError } from '../../../domain/errors.ts';
import { confirmVersion, type ExpectedVersion } from '../../../domain/expected-version.ts';
import type { FindMarketValues } from '../valuation/market-values.ts';
import { lackingField, overdrawnIn, type WrittenPart } from './overdrawn-fields.ts';
import type { PortfolioDesk } from '../portfolio-service.ts';
import {
  checkDrafts,
  saysTheSame,
  valued,
  type CheckedTransaction,
  type WrittenTransaction,
} from './transaction-drafts.ts';
import type { TakeWriteTurn } from './write-queue.ts';

/** A new transaction. With an id of the client's own it can be sent again. */
export interface NewTransaction extends WrittenTransaction {
  readonly id?: string | undefined;
}

/** Who does what to which portfolio. */
export interface TransactionRequest {
  readonly portfolioId: string;
  readonly viewer: Viewer;
  readonly by: ChangeAuthor;
}

/** One transaction, at the version that the client has seen. */
export interface TransactionTarget extends TransactionRequest {
  readonly id: string;
  readonly expected: ExpectedVersion;
}

/** What became of new transactions. */
export interface Creation {
  /** In the order given. */
  readonly transactions: readonly StoredTransaction[];
  /** How many of them were not there before. */
  readonly created: number;
}

/** What writing and reading transactions stands on. */
export interface TransactionDeskDeps {
  readonly portfolios: Pick<PortfolioDesk, 'get'>;
  readonly transactions: TransactionQueries;
  readonly takeTurn: TakeWriteTurn;
  readonly findMarketValues: FindMarketValues;
  /** Whether there is such an asset; true too when that cannot be told. */
  readonly isAsset: (id: string) => boolean;
  /** Has the books of a portfolio brought up to date; never rejects. */
  readonly updateBooks: (portfolioId: string) => void;
  /** Transactions that a portfolio may have. */
  readonly limit: number;
  readonly clock: Clock;
}

type Prefixed = CheckedTransaction & { readonly prefix: string };
type RecordedPart = WrittenPart & { readonly transaction: RecordedTransaction };

/** Drafts as they came. */
interface Drafts {
  readonly drafts: readonly NewTransaction[];
  readonly isList: boolean;
}

/** Makes all of some transactions or none; throws what the desk says. */
export async function createAll(
  deps: TransactionDeskDeps,
  { portfolioId, viewer, by }: TransactionRequest,
  { drafts, isList }: Drafts,
): Promise<Creation> {
  const portfolio = await deps.portfolios.get(portfolioId, viewer);
  const checked = checkAll(deps, drafts, isList);
  const own = drafts.flatMap(({ id }) => id ?? []);
  const known = sameOf(checked, await deps.transactions.find(portfolioId, own));
  const parts = await partsOf(
    deps,
    portfolio,
    checked.filter(({ content }) => !known.has(content.id)),
  );
  const added = await refusing(
    parts,
    () => 'transactions',
    () =>
      changeInTurn(deps, { portfolioId, by }, async (change, find) => {
        confirmCurrency(change.portfolio, portfolio);
        // Somebody may have sent the same in the meantime.
        for (const [id, each] of sameOf(checked, await find(own))) known.set(id, each);
        return { add: parts.map(({ transaction }) => transaction).filter(({ id }) => !known.has(id)) };
      }),
  );
  if (added.length > 0) deps.updateBooks(portfolioId);
  const made = new Map([...known, ...added.map((each) => [each.id, each] as const)]);
  return {
    transactions: checked.flatMap(({ content }) => made.get(content.id) ?? []),
    created: added.length,
  };
}

function checkAll(
  { clock, isAsset }: TransactionDeskDeps,
  drafts: readonly NewTransaction[],
  isList: boolean,
): Prefixed[] {
  const prefixOf = (index: number): string => (isList ? `transactions[${index}].` : '');
  const named = drafts.map((written, index) => ({
    id: written.id ?? uuidv7(),
    written,
    prefix: prefixOf(index),
  }));
  const checked = checkDrafts(named, { now: clock.now(), isAsset });
  return checked.map((each, index) => ({ ...each, prefix: prefixOf(index) }));
}

/**
 * Those of the stored transactions that say what a client wrote, by id.
 * @throws {ConflictError} one says something else.
 */
function sameOf(
  checked: readonly Prefixed[],
  stored: readonly StoredTransaction[],
): Map<string, StoredTransaction> {
  const same = new Map<string, StoredTransaction>();
  const byId = new Map(stored.map((each) => [each.id, each]));
  for (const each of checked) {
    const { id } = each.content;
    const found = byId.get(id);
    if (found === undefined) continue;
    if (!saysTheSame(each, found))
      throw new ConflictError(`Transaction ${id} is there and says something else`, 'transaction_exists');
    same.set(id, found);
  }
  return same;
}

async function partsOf(
  { findMarketValues }: TransactionDeskDeps,
  { baseCurrency: currency }: Portfolio,
  checked: readonly Prefixed[],
): Promise<RecordedPart[]> {
  const transactions = await valued(checked, { currency, findMarketValues });
  return transactions.map((transaction, index) => ({
    transaction,
    prefix: checked[index]?.prefix ?? '',
  }));
}

/** Replaces a transaction; throws what the desk says. */
export async function replaceOne(
  deps: TransactionDeskDeps,
  { portfolioId, viewer, by, id, expected }: TransactionTarget,
  written: WrittenTransaction,
): Promise<StoredTransaction> {
  const portfolio = await deps.portfolios.get(portfolioId, viewer);
  const [before] = await deps.transactions.find(portfolioId, [id]);
  if (before === undefined) throw noTransaction();
  confirmVersion(before.version, expected);
  // What it named before, it may go on to name, though the asset be gone.
  const had = new Set([before.received?.asset, before.given?.asset, before.fee?.asset]);
  const isAsset = (asset: string): boolean => had.has(asset) || deps.isAsset(asset);
  const checked = checkDrafts([{ id, written, prefix: '' }], { now: deps.clock.now(), isAsset });
  if (checked.every((each) => saysTheSame(each, before))) return before;
  const parts = await partsOf(
    deps,
    portfolio,
    checked.map((each) => ({ ...each, prefix: '' })),
  );
  const [replaced = before] = await refusing(
    parts,
    (asset) => lackingField(asset, before, parts[0]?.transaction),
    () =>
      changeInTurn(deps, { portfolioId, by }, async (change, find) => {
        confirmCurrency(change.portfolio, portfolio);
        const current = await currentOf(find, id, expected);
        const { importId, fingerprint } = current;
        return {
          remove: [id],
          add: parts.map(({ transaction }) => ({ ...transaction, importId, fingerprint })),
        };
      }),
  );
  deps.updateBooks(portfolioId);
  return replaced;
}

/** Deletes a transaction; throws what the desk says. */
export async function removeOne(
  deps: TransactionDeskDeps,
  { portfolioId, viewer, by, id, expected }: TransactionTarget,
): Promise<void> {
  await deps.portfolios.get(portfolioId, viewer);
  await refusing(
    [],
    () => 'id',
    () =>
      changeInTurn(deps, { portfolioId, by }, async (_change, find) => {
        await currentOf(find, id, expected);
        return { remove: [id] };
      }),
  );
  deps.updateBooks(portfolioId);
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

/** Valued in a currency that is not the portfolio's any more. */
function confirmCurrency(current: Portfolio, seen: Portfolio): void {
  if (current.baseCurrency !== seen.baseCurrency)
    throw new ConflictError('The base currency has just changed: try again', 'base_currency_changed');
}

function changeInTurn(
  { transactions, takeTurn, limit }: TransactionDeskDeps,
  { portfolioId, by }: Pick<TransactionRequest, 'portfolioId' | 'by'>,
  plan: PlanChange,
): Promise<readonly StoredTransaction[]> {
  return takeTurn(portfolioId, () => transactions.change({ portfolioId, limit, by }, plan));
}

/** Tells an overdrawn holding in the fields of the request. */
async function refusing<T>(
  parts: readonly WrittenPart[],
  otherwise: (asset: string) => string,
  change: () => Promise<T>,
): Promise<T> {
  try {
    return await change();
  } catch (error) {
    if (!(error instanceof OverdrawnError)) throw error;
    throw overdrawnIn(error, parts, otherwise(error.asset));
  }
}

/** 404 of a transaction. */
export function noTransaction(): NotFoundError {
  return new NotFoundError('There is no such transaction', 'transaction_not_found');
}
