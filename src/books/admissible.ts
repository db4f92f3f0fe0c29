/**
 * Which of some new transactions can join the books without a holding ever becoming negative. A sale is refused where less is
 * held at any time from then on than it takes, so that what is already there stays covered. Of new ones that compete for the
 * same holding the earlier gets it. What a refused swap would have brought in does not count: then the rest is tried again.
 * (What competed with such a swap's fee stays refused, even if it would fit now; a later import takes it.)
 */
import { formatAmount, type Amount } from './amount.ts';
import { comparePostings, postingsOf, type Posting } from './postings.ts';
import type { Transaction } from './transaction.ts';

/** A transaction that does not fit. */
export interface Refusal {
  readonly transaction: Transaction;
  readonly asset: string;
  /** The most that could go out at that moment. */
  readonly available: Amount;
  readonly wanted: Amount;
  readonly reason: string;
}

/** New transactions sorted by whether they fit. */
export interface Admission {
  readonly admitted: readonly Transaction[];
  readonly refused: readonly Refusal[];
}

/**
 * Sorts new transactions by whether they fit into the books of `existing` ones, all of which stay.
 * The admitted ones together fit: a ledger takes them in one change.
 */
export function admissible(existing: readonly Transaction[], fresh: readonly Transaction[]): Admission {
  const settled = postingsByAsset(existing);
  const refused = new Map<string, Refusal>();
  for (;;) {
    const candidates = fresh.filter(({ id }) => !refused.has(id));
    const found = refusalsOf(settled, candidates);
    if (found.size === 0) return { admitted: candidates, refused: [...refused.values()] };
    for (const [id, refusal] of found) refused.set(id, refusal);
  }
}

/** What does not fit if all of the others come in. */
function refusalsOf(
  settled: ReadonlyMap<string, Posting[]>,
  candidates: readonly Transaction[],
): Map<string, Refusal> {
  const byId = new Map(candidates.map((transaction) => [transaction.id, transaction]));
  const refusals = new Map<string, Refusal>();
  for (const [asset, added] of postingsByAsset(candidates)) {
    const merged = [...(settled.get(asset) ?? []), ...added].sort(comparePostings);
    const isFresh = (posting: Posting): boolean => byId.has(posting.transaction.id);
    const cover = coverOf(merged, (posting) => !isFresh(posting) || !goesOut(posting));
    let taken = 0n;
    merged.forEach((posting, index) => {
      const transaction = byId.get(posting.transaction.id);
      if (transaction === undefined || !goesOut(posting)) return;
      const left = (cover[index] ?? 0n) - taken;
      if (posting.quantity <= left) {
        taken += posting.quantity;
        return;
      }
      const available = left < 0n ? 0n : left;
      const reason = `takes ${formatAmount(posting.quantity)} ${asset}, but only ${formatAmount(available)} can go out then`;
      refusals.set(transaction.id, { transaction, asset, available, wanted: posting.quantity, reason });
    });
  }
  return refusals;
}

/** The least that is held from each posting on, counting those postings that `counts` says. */
function coverOf(postings: readonly Posting[], counts: (posting: Posting) => boolean): Amount[] {
  let holding = 0n;
  const holdings = postings.map((posting) => {
    if (counts(posting)) holding += goesOut(posting) ? -posting.quantity : posting.quantity;
    return holding;
  });
  let least = holdings.at(-1) ?? 0n;
  for (let index = holdings.length - 1; index >= 0; index--) {
    const here = holdings[index] ?? 0n;
    if (here < least) least = here;
    holdings[index] = least;
  }
  return holdings;
}

function goesOut({ kind }: Posting): boolean {
  return kind === 'dispose' || kind === 'transfer_out';
}

function postingsByAsset(transactions: readonly Transaction[]): Map<string, Posting[]> {
  const byAsset = new Map<string, Posting[]>();
  for (const posting of transactions.flatMap(postingsOf)) {
    const found = byAsset.get(posting.asset);
    if (found === undefined) byAsset.set(posting.asset, [posting]);
    else found.push(posting);
  }
  return byAsset;
}
