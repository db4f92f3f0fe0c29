import { formatAmount } from '../../books/amount.ts';
import { HoldingLine, type Movement } from '../../books/shortfalls.ts';
import type { RowProblem } from './problem-list.ts';

/** A movement of a holding, and of a staged transaction its id and line. */
interface StagedMovement extends Movement {
  readonly line: number | null;
  readonly transactionId: string;
}

/** The staged transactions, as this needs them. */
export interface Overdrawable {
  overdrawnAssets(portfolioId: string): Promise<readonly string[]>;
  movements(portfolioId: string, assetId: string): AsyncIterable<readonly StagedMovement[]>;
  assetsBroughtBy(ids: readonly string[]): Promise<readonly string[]>;
  drop(ids: readonly string[]): Promise<void>;
}

/**
 * After so many rounds, what depends on refused rows is refused in bulk: each round may free another refusal, and a file can
 * be made so that each frees one.
 */
const carefulRounds = 30;
/** Ids of one statement. */
const batchSize = 2_000;

/**
 * Takes out the staged transactions that would make a holding negative, as `admissible` of the books does: what is in the
 * portfolio stays covered, and of staged ones that compete the earlier gets it. What a refused swap would have brought in
 * does not count; then its asset is looked at again. Returns the number of transactions taken out.
 */
export async function refuseOverdrawn(
  staging: Overdrawable,
  portfolioId: string,
  onRefused: (problem: RowProblem) => void,
): Promise<number> {
  let assets = await staging.overdrawnAssets(portfolioId);
  let count = 0;
  for (let round = 0; assets.length > 0; round++) {
    const refused = new Map<string, RowProblem>();
    for (const asset of assets)
      await findRefused(staging, { portfolioId, asset, inBulk: round >= carefulRounds }, refused);
    for (const problem of refused.values()) onRefused(problem);
    count += refused.size;
    const again = new Set<string>();
    const ids = [...refused.keys()];
    for (let at = 0; at < ids.length; at += batchSize)
      for (const asset of await staging.assetsBroughtBy(ids.slice(at, at + batchSize))) again.add(asset);
    await staging.drop(ids);
    assets = [...again];
  }
  return count;
}

interface Look {
  readonly portfolioId: string;
  readonly asset: string;
  readonly inBulk: boolean;
}

async function findRefused(
  staging: Overdrawable,
  { portfolioId, asset, inBulk }: Look,
  refused: Map<string, RowProblem>,
): Promise<void> {
  const holding = new HoldingLine();
  const outs = new Map<number, { readonly id: string; readonly line: number }>();
  let index = 0;
  for await (const page of staging.movements(portfolioId, asset)) {
    for (const movement of page) {
      const { moved, line, transactionId } = movement;
      if (moved < 0n && line !== null) outs.set(index, { id: transactionId, line });
      holding.add(movement);
      index += 1;
    }
  }
  const shortfalls = holding.shortfalls();
  for (const { index: place, wanted, available } of shortfalls) {
    const out = outs.get(place);
    if (out === undefined) continue;
    const reason = `takes ${formatAmount(wanted)} ${asset}, but only ${formatAmount(available)} can go out then`;
    refused.set(out.id, { line: out.line, column: null, reason });
  }
  if (!inBulk || shortfalls.length === 0) return;
  for (const { id, line } of outs.values()) {
    const reason = `takes ${asset}, of which rows that were refused would have brought some in`;
    if (!refused.has(id)) refused.set(id, { line, column: null, reason });
  }
}
