/** The first half of an import: reads its file page by page and stages every valid transaction. */
import { setImmediate as yieldToEventLoop } from 'node:timers/promises';
import { RowError } from './cells.ts';
import type { ImportedTransaction, RowOutcome } from './importer.ts';
import type { RecordedTransaction } from '../ledger/recorded-transaction.ts';
import { AppError } from '../../../domain/errors.ts';
import type { MarketValueRequest } from '../valuation/market-values.ts';
import { buildTransaction, type BuildContext } from './build-transaction.ts';
import type { ImportPrices } from './import-prices.ts';
import type { ProblemList } from './problem-list.ts';
import type { FoundFormat, ReportPage } from './read-report.ts';
import type { SymbolResolver } from './symbol-resolver.ts';

/** The outcome of reading a file. */
export interface Staged {
  readonly format: FoundFormat;
  readonly rows: number;
  /** Number of valid transactions. */
  readonly transactions: number;
  /** Number of those that are in the file twice by their ids. */
  readonly repeated: number;
  /** Skipped rows, by reason. */
  readonly skipped: ReadonlyMap<string, number>;
}

/** What staging needs. */
export interface StagingDeps {
  readonly importId: string;
  readonly now: number;
  readonly symbols: SymbolResolver;
  readonly prices: ImportPrices;
  readonly problems: ProblemList;
  /** Whether there is a list of assets for looking up symbols. */
  readonly hasAssets: () => Promise<boolean>;
  /** Stores transactions with their lines; returns how many of them were new. */
  readonly stage: (
    rows: readonly { readonly line: number; readonly transaction: RecordedTransaction }[],
  ) => Promise<number>;
  /** Called after each page with the position reached in the file (characters). */
  readonly onPage: (position: number) => void;
}

type Found = Extract<RowOutcome, { kind: 'transaction' }>;

/**
 * Reads all pages of a report.
 * @throws {AppError} (`assets_unknown`) symbols cannot be looked up, because no list of assets has been fetched yet.
 */
export async function stageReport(pages: AsyncIterable<ReportPage>, deps: StagingDeps): Promise<Staged> {
  const skipped = new Map<string, number>();
  let [format, rows, transactions, repeated]: [FoundFormat, number, number, number] = ['generic', 0, 0, 0];
  for await (const page of pages) {
    ({ format, rows } = page);
    const found = sort(page.outcomes, skipped, deps.problems);
    const built = await build(found, page, deps);
    transactions += built.length;
    repeated += built.length - (await deps.stage(built));
    deps.onPage(page.position);
    // Lets other work run: pages that need nothing from the database would follow each other without a pause.
    await yieldToEventLoop();
  }
  return { format, rows, transactions, repeated, skipped };
}

/** Returns the transactions among the outcomes, and counts the others. */
function sort(
  outcomes: readonly RowOutcome[],
  skipped: Map<string, number>,
  problems: ProblemList,
): readonly Found[] {
  return outcomes.flatMap((outcome) => {
    if (outcome.kind === 'transaction') return [outcome];
    if (outcome.kind === 'problem') problems.add(outcome);
    else skipped.set(outcome.reason, (skipped.get(outcome.reason) ?? 0) + 1);
    return [];
  });
}

async function build(
  found: readonly Found[],
  { format, columns }: ReportPage,
  deps: StagingDeps,
): Promise<{ line: number; transaction: RecordedTransaction }[]> {
  const idOf = await symbolsOf(found, format, deps);
  await preparePrices(found, idOf, deps.prices);
  const context: BuildContext = { ...deps, columns, idOf };
  return found.flatMap(({ lines, fingerprint, transaction }) => {
    const line = lines[0] ?? 0;
    try {
      return [{ line, transaction: buildTransaction(transaction, fingerprint, context) }];
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      deps.problems.add({ line, column: error.column, reason: error.reason });
      return [];
    }
  });
}

/** In our own exports assets are given by id. */
async function symbolsOf(
  found: readonly Found[],
  format: FoundFormat,
  { symbols, hasAssets }: StagingDeps,
): Promise<(symbol: string) => string | undefined> {
  if (format === 'pricepool') return (id) => id;
  await symbols.prepare(found.flatMap(({ transaction }) => symbolsIn(transaction)));
  const isLost = found.some(({ transaction }) =>
    symbolsIn(transaction).some((each) => symbols.idOf(each) === undefined),
  );
  if (isLost && !(await hasAssets())) {
    const message = 'The list of assets has not been fetched yet: no symbol can be looked up';
    throw new AppError(message, { code: 'assets_unknown', status: 409 });
  }
  return (symbol) => symbols.idOf(symbol);
}

function symbolsIn({ received, sent, fee }: ImportedTransaction): string[] {
  const legs = [received, sent, fee !== null && 'symbol' in fee ? fee : null];
  return legs.flatMap((leg) => (leg === null ? [] : [leg.symbol]));
}

async function preparePrices(
  found: readonly Found[],
  idOf: (symbol: string) => string | undefined,
  prices: ImportPrices,
): Promise<void> {
  const worth: MarketValueRequest[] = [];
  const currencies = new Set<string>();
  const want = (symbol: string, at: number): void => {
    const asset = idOf(symbol);
    if (asset !== undefined) worth.push({ asset, at });
  };
  for (const { transaction } of found) {
    const { at, value, fee, feeValue } = transaction;
    const leg = transaction.received ?? transaction.sent;
    if (value !== null) currencies.add(value.currency);
    else if (leg !== null) want(leg.symbol, at);
    if (feeValue) currencies.add(feeValue.currency);
    if (fee === null) continue;
    if (!('symbol' in fee)) currencies.add(fee.currency);
    else if (!feeValue) want(fee.symbol, at);
  }
  await prices.prepare(worth, currencies);
}
