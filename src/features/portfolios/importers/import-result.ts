import type { ImportRecord } from '../queries/imports.ts';
import type { ReportedRate } from './import-prices.ts';
import type { ProblemList } from './problem-list.ts';
import type { Staged } from './stage-report.ts';
import type { TakenSymbol } from './symbol-resolver.ts';

/** JSON text of the result of an import, or of a dry run. */
export function importResult({
  record,
  staged,
  problems,
  samples,
  ...facts
}: {
  readonly record: ImportRecord;
  readonly staged: Staged;
  /** Transactions that the portfolio already had. */
  readonly duplicates: number;
  /** Transactions that would have made a holding negative. */
  readonly refused: number;
  /** Transactions that were added, or would be in a dry run. */
  readonly added: number;
  readonly isWritten: boolean;
  readonly problems: ProblemList;
  readonly resolved: Readonly<Record<string, TakenSymbol>>;
  readonly rates: readonly ReportedRate[];
  /** For a dry run: the first transactions that would be added. */
  readonly samples: readonly object[] | undefined;
}): string {
  return JSON.stringify({
    import_id: record.id,
    dry_run: record.isDryRun,
    written: facts.isWritten,
    format: staged.format,
    encoding: record.encoding,
    rows: staged.rows,
    transactions: staged.transactions,
    added: facts.added,
    duplicates: facts.duplicates + staged.repeated,
    refused: facts.refused,
    skipped: [...staged.skipped].map(([reason, count]) => ({ reason, count })),
    problem_count: problems.count(),
    problems: problems.reported(),
    resolved: facts.resolved,
    rates: facts.rates,
    ...(samples === undefined ? {} : { samples }),
  });
}
