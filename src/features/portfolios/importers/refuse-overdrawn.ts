import { formatAmount } from '../ledger/amount.ts';
import { BookWalk, type BookMovement } from '../ledger/book-walk.ts';
import type { RowProblem } from './problem-list.ts';

/** A movement of a holding: of a staged transaction, or (line null) of one that the portfolio has. */
interface StagedMovement extends BookMovement {
  readonly transactionId: string;
  readonly line: number | null;
}

/** The staged transactions, as this needs them. */
export interface Overdrawable {
  overdrawnAssets(portfolioId: string): Promise<readonly string[]>;
  exchanges(): Promise<readonly Exchange[]>;
  movements(portfolioId: string, assetIds: readonly string[]): AsyncIterable<readonly StagedMovement[]>;
  drop(ids: readonly string[]): Promise<void>;
}

/** That some staged transaction gives one asset and brings another. */
interface Exchange {
  readonly given: string;
  readonly brought: string;
}

/** Who is told how it goes. */
export interface RefusalListener {
  readonly onRefused: (problem: RowProblem) => void;
  /** Told after each page of movements; what it throws ends the walk. */
  readonly onPage: () => void;
}

/**
 * Takes out the staged transactions that would make a holding negative, as {@link BookWalk} tells them: what is in the
 * portfolio stays covered, of staged ones that compete the earlier gets it, and what a refused swap would have brought in does
 * not count. Movements are read once; those of the portfolio are not kept. Returns the number of transactions taken out.
 */
export async function refuseOverdrawn(
  staging: Overdrawable,
  portfolioId: string,
  { onRefused, onPage }: RefusalListener,
): Promise<number> {
  const overdrawn = await staging.overdrawnAssets(portfolioId);
  if (overdrawn.length === 0) return 0;
  const assets = assetsFrom(overdrawn, await staging.exchanges());
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
    reason: `takes ${formatAmount(wanted)} ${asset}, but only ${formatAmount(available)} can go out then`,
  }));
  // Of many problems only the first are told.
  for (const problem of problems.sort((left, right) => left.line - right.line)) onRefused(problem);
  await staging.drop([...refused.keys()]);
  return refused.size;
}

/** The assets that can lack something: those that do, and what is brought by what may be refused for that. */
function assetsFrom(overdrawn: readonly string[], exchanges: readonly Exchange[]): readonly string[] {
  const broughtFor = new Map<string, string[]>();
  for (const { given, brought } of exchanges) {
    const known = broughtFor.get(given);
    if (known === undefined) broughtFor.set(given, [brought]);
    else known.push(brought);
  }
  const assets = new Set(overdrawn);
  // What is added on the way is come to, too.
  for (const asset of assets) for (const brought of broughtFor.get(asset) ?? []) assets.add(brought);
  return [...assets];
}
