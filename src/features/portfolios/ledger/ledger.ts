/**
 * The books of a portfolio in memory: its transactions and, for each asset, what came of them. Assets do not depend on each
 * other, because every transaction is valued in the base currency before it gets here; so a change costs what it costs in the
 * assets that it concerns. It is made as a whole or refused as a whole.
 */
import type { CostBasisMethod } from '../../../domain/bookkeeping.ts';
import { ConflictError, NotFoundError } from '../../../domain/errors.ts';
import type { Amount } from './amount.ts';
import { daysOf } from './days.ts';
import { postingsOf, type Posting } from './postings.ts';
import type { Transaction } from './transaction.ts';
import { createAssetLedger, type AssetLedger, type AssetStanding, type Mark } from './asset-ledger.ts';

/** How the books of a portfolio are kept. */
export interface LedgerOptions {
  readonly method: CostBasisMethod;
  /** IANA time zone of the days; UTC when absent. */
  readonly zone?: string | undefined;
}

/** Transactions that come, go, or (with one id in both) are replaced. */
export interface LedgerChange {
  readonly add?: readonly Transaction[];
  readonly remove?: readonly string[];
}

/** The books of a portfolio. */
export interface Ledger {
  /**
   * Makes a change. Returns the assets that it concerned.
   * @throws {OverdrawnError} when a holding would be negative at any time; then nothing has changed.
   * @throws {ConflictError} when an added transaction is there already.
   * @throws {NotFoundError} when a removed one is not.
   */
  apply(change: LedgerChange): ReadonlySet<string>;
  /** All assets that ever had a posting. */
  assets(): string[];
  holding(asset: string): Amount;
  /** Undefined of an asset that never had a posting. */
  standing(asset: string): AssetStanding | undefined;
  /** Places from which the ledger of an asset can go on. */
  marks(asset: string): readonly Mark[];
}

interface AssetChanges {
  readonly added: Posting[];
  readonly removed: Set<string>;
}

/**
 * The books of some transactions, in any order.
 * @throws what {@link Ledger.apply} throws, and {RangeError} for an unknown time zone.
 */
export function createLedger(
  { method, zone = 'UTC' }: LedgerOptions,
  transactions: readonly Transaction[] = [],
): Ledger {
  const options = { method, dayOf: daysOf(zone) };
  const known = new Map<string, Transaction>();
  const ledgers = new Map<string, AssetLedger>();

  const apply = (change: LedgerChange): ReadonlySet<string> => {
    const changes = changesByAsset(change, known);
    const staged = [...changes].map(([asset, each]) => {
      const ledger = ledgers.get(asset) ?? createAssetLedger(options);
      return { asset, ledger, commit: ledger.stage(each) };
    });
    for (const { asset, ledger, commit } of staged) {
      ledgers.set(asset, ledger);
      commit();
    }
    change.remove?.forEach((id) => known.delete(id));
    change.add?.forEach((transaction) => known.set(transaction.id, transaction));
    return new Set(changes.keys());
  };

  if (transactions.length > 0) apply({ add: transactions });
  return {
    apply,
    assets: () => [...ledgers.keys()],
    holding: (asset) => ledgers.get(asset)?.holding ?? 0n,
    standing: (asset) => ledgers.get(asset)?.standing(),
    marks: (asset) => ledgers.get(asset)?.marks() ?? [],
  };
}

function changesByAsset(
  { add = [], remove = [] }: LedgerChange,
  known: ReadonlyMap<string, Transaction>,
): Map<string, AssetChanges> {
  const changes = new Map<string, AssetChanges>();
  const of = (asset: string): AssetChanges => {
    const found = changes.get(asset) ?? { added: [], removed: new Set() };
    changes.set(asset, found);
    return found;
  };
  const gone = new Set(remove);
  for (const id of gone) {
    const transaction = known.get(id);
    if (transaction === undefined) throw new NotFoundError(`There is no transaction ${id}`);
    for (const { asset } of postingsOf(transaction)) of(asset).removed.add(id);
  }
  const fresh = new Set<string>();
  for (const transaction of add) {
    if (fresh.has(transaction.id) || (known.has(transaction.id) && !gone.has(transaction.id))) {
      throw new ConflictError(`Transaction ${transaction.id} is in the books already`);
    }
    fresh.add(transaction.id);
    for (const posting of postingsOf(transaction)) of(posting.asset).added.push(posting);
  }
  return changes;
}
