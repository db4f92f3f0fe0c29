import { formatAmount } from '../ledger/amount.ts';
import { BookWalk } from '../ledger/book-walk.ts';
import type { ImportStaging, StagedSwap } from '../queries/import-staging.ts';
import type { RowProblem } from './problem-list.ts';

/**
 * Removes the staged transactions that would make a holding negative, as {@link BookWalk} finds them: existing transactions
 * stay covered, the earlier of competing staged ones gets the holding, and what a refused swap would have brought in does not
 * count. Movements are read once; those of the portfolio are not kept. Returns the number of transactions removed.
 */
export async function refuseOverdrawn(
  staging: Pick<ImportStaging, 'overdrawnAssets' | 'swaps' | 'movements' | 'drop'>,
  portfolioId: string,
  {
    onRefused,
    onPage,
  }: {
    readonly onRefused: (problem: RowProblem) => void;
    /** Called after each page of movements; an error thrown here ends the walk. */
    readonly onPage: () => void;
  },
): Promise<number> {
  const overdrawn = await staging.overdrawnAssets(portfolioId);
  if (overdrawn.length === 0) return 0;
  const assets = assetsFrom(overdrawn, await staging.swaps());
  const walk = new BookWalk();
  const lines = new Map<string, number>();
  for await (const page of staging.movements(portfolioId, assets)) {
    for (const { transactionId, line, asset, moved } of page) {
      walk.add({ transactionId: line === null ? null : transactionId, asset, moved });
      if (line !== null) lines.set(transactionId, line);
    }
    onPage();
  }
  const refused = walk.refused();
  const problems = [...refused].map(([id, { asset, wanted, available }]) => ({
    line: lines.get(id) ?? 0,
    column: null,
    reason: `takes ${formatAmount(wanted)} ${asset}, but only ${formatAmount(available)} is available at that time`,
  }));
  // When there are many problems, only the first are reported.
  for (const problem of problems.sort((left, right) => left.line - right.line)) onRefused(problem);
  await staging.drop([...refused.keys()]);
  return refused.size;
}

/** The assets that can be short: the overdrawn ones, and those brought in by transactions that may be refused for that. */
function assetsFrom(overdrawn: readonly string[], swaps: readonly StagedSwap[]): readonly string[] {
  const broughtFor = new Map<string, string[]>();
  for (const { sent, brought } of swaps) {
    const known = broughtFor.get(sent);
    if (known === undefined) broughtFor.set(sent, [brought]);
    else known.push(brought);
  }
  const assets = new Set(overdrawn);
  // The loop also visits the assets added on the way.
  for (const asset of assets) for (const brought of broughtFor.get(asset) ?? []) assets.add(brought);
  return [...assets];
}
