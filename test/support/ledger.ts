/**
 * The books of a portfolio in memory, as its stored ones are kept: a change goes on from the last mark before it, asset by
 * asset. It is made as a whole or refused as a whole.
 */
import type { CostBasisMethod } from '../../src/domain/bookkeeping.ts';
import type { LotMatch } from '../../src/features/portfolios/ledger/asset-book.ts';
import {
  createAssetLedger,
  thinned,
  type Checkpoint,
} from '../../src/features/portfolios/ledger/asset-ledger.ts';
import { daysOf } from '../../src/features/portfolios/ledger/days.ts';
import { comparePostings, postingsOf, type Posting } from '../../src/features/portfolios/ledger/postings.ts';
import type { Transaction } from '../../src/features/portfolios/ledger/transaction.ts';

/** Transactions that come, go, or (with one id in both) are replaced. */
interface LedgerChange {
  readonly add?: readonly Transaction[];
  readonly remove?: readonly string[];
}

interface AssetBooks {
  readonly postings: readonly Posting[];
  /** Settled before the mark that its ledger started at. */
  readonly settled: readonly LotMatch[];
  readonly ledger: ReturnType<typeof createAssetLedger>;
  readonly checkpoints: readonly Checkpoint[];
}

export type Ledger = ReturnType<typeof createLedger>;
export type AssetStanding = ReturnType<ReturnType<typeof createAssetLedger>['snapshot']>;

/** The books of some transactions, in any order. */
export function createLedger(
  { method, zone = 'UTC' }: { readonly method: CostBasisMethod; readonly zone?: string | undefined },
  transactions: readonly Transaction[] = [],
) {
  const options = { method, dayOf: daysOf(zone) };
  const none: AssetBooks = { postings: [], settled: [], ledger: createAssetLedger(options), checkpoints: [] };
  const known = new Map<string, Transaction>();
  const books = new Map<string, AssetBooks>();

  const changed = (asset: string, added: readonly Posting[], removed: ReadonlySet<string>): AssetBooks => {
    const before = books.get(asset) ?? none;
    const kept = before.postings.filter(({ transaction }) => !removed.has(transaction.id));
    const postings = [...kept, ...added].sort(comparePostings);
    const differs = postings.findIndex((posting, place) => posting !== before.postings[place]);
    const at = differs === -1 ? postings.length : differs;
    const checkpoint = before.checkpoints.findLast(({ count }) => count <= at);
    const ledger = createAssetLedger(options, checkpoint);
    ledger.append(postings.slice(checkpoint?.count ?? 0));
    const settled = settledOf(before).slice(0, checkpoint?.settled ?? 0);
    const checkpoints = [
      ...before.checkpoints.filter(({ count }) => count <= (checkpoint?.count ?? 0)),
      ...ledger.checkpoints(),
    ];
    const worth = new Set(thinned(checkpoints.map(({ count }) => count)));
    return { postings, settled, ledger, checkpoints: checkpoints.filter(({ count }) => worth.has(count)) };
  };

  /** @throws {OverdrawnError} when a holding would be negative at any time; then nothing has changed. */
  const apply = ({ add = [], remove = [] }: LedgerChange): void => {
    const removed = new Set(remove);
    const gone = remove.flatMap((id) => postingsOf(known.get(id)!));
    const added = add.flatMap(postingsOf);
    const staged = [...new Set([...gone, ...added].map(({ asset }) => asset))].map((asset) => {
      const own = added.filter((posting) => posting.asset === asset);
      return [asset, changed(asset, own, removed)] as const;
    });
    for (const [asset, each] of staged) books.set(asset, each);
    for (const id of remove) known.delete(id);
    for (const transaction of add) known.set(transaction.id, transaction);
  };

  const snapshot = (asset: string): AssetStanding | undefined => {
    const own = books.get(asset);
    if (own === undefined) return undefined;
    const since = own.ledger.snapshot();
    return { ...since, lotMatches: [...own.settled, ...since.lotMatches] };
  };

  if (transactions.length > 0) apply({ add: transactions });
  return {
    apply,
    /** All assets that ever had a posting. */
    assets: () => [...books.keys()],
    holding: (asset: string) => snapshot(asset)?.holding ?? 0n,
    /** Undefined of an asset that never had a posting. */
    snapshot,
    checkpoints: (asset: string): readonly Checkpoint[] => books.get(asset)?.checkpoints ?? [],
  };
}

function settledOf({ settled, ledger }: AssetBooks): readonly LotMatch[] {
  const { lotMatches, provisional } = ledger.snapshot();
  return [...settled, ...lotMatches.slice(0, lotMatches.length - provisional)];
}
