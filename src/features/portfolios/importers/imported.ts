import type { TransactionType } from '../../../domain/bookkeeping.ts';
/**
 * What the readers of reports have in common. A reader takes the records of a file one by one and tells what came of them:
 * it holds rows back only while others may belong to the same transaction. Symbols are the report's: which asset each stands
 * for is decided later.
 */

/** A quantity of what a report calls by a symbol. Plain decimal text, more than 0. */
export interface SymbolAmount {
  readonly symbol: string;
  readonly quantity: string;
}

/** Cash. Plain decimal text, 0 or more. */
export interface Money {
  /** Lower case, such as `eur`. */
  readonly currency: string;
  readonly amount: string;
}

/** A transaction as a report tells it. */
export interface ImportedTransaction {
  readonly type: TransactionType;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  /** First line it stands on: its place among others of the same moment. */
  readonly sequence: number;
  readonly received: SymbolAmount | null;
  readonly given: SymbolAmount | null;
  /** As Transaction.value, but in the report's currency; null where the report tells none. */
  readonly value: Money | null;
  /** An asset or cash. */
  readonly fee: SymbolAmount | Money | null;
  /** What a fee in an asset was worth, in the report's currency; absent where the report does not tell. */
  readonly feeValue?: Money | null | undefined;
  readonly note: string | null;
  /** The id that it had where it comes from; absent where it had none. */
  readonly id?: string | undefined;
}

/** What came of one or more rows. */
export type RowOutcome =
  | {
      readonly kind: 'transaction';
      readonly lines: readonly number[];
      /** The same for the same rows, whenever and in whatever file they come. */
      readonly fingerprint: string;
      readonly transaction: ImportedTransaction;
    }
  | { readonly kind: 'skipped'; readonly line: number; readonly reason: string }
  | {
      readonly kind: 'problem';
      readonly line: number;
      /** Name of the column; null when the row as a whole is wrong. */
      readonly column: string | null;
      readonly reason: string;
    };

/** Reads the rows under a header. */
export interface ReportReader {
  /** What can be told after this record. */
  read(record: readonly string[], line: number): RowOutcome[];
  /** What was held back. */
  end(): RowOutcome[];
}

/** A row breaks a rule. */
export class RowError extends Error {
  readonly column: string | null;
  readonly reason: string;

  constructor(column: string | null, reason: string) {
    super(reason);
    this.column = column;
    this.reason = reason;
  }
}

/** A record under its header. */
export interface Row {
  readonly line: number;
  /** The trimmed cell under a column of the header; empty when the header has no such column. */
  cell(column: string): string;
  /** All cells. */
  readonly record: readonly string[];
}

/** What Postgres cannot keep (NUL, halves of characters), and what no report has: control characters but tabs and line ends. */
const noText = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ud800-\udfff]/u;

/** Whether a text may be kept. */
export function isText(text: string): boolean {
  return !noText.test(text);
}

/**
 * What every reader asks of a record before it reads a cell of it.
 * @throws {RowError} when it has not as many cells as the header, or characters that are no text.
 */
export function checkRecord(record: readonly string[], header: readonly string[]): void {
  if (record.length !== header.length) {
    throw new RowError(null, `has ${record.length} cells, the header has ${header.length}`);
  }
  const place = record.findIndex((cell) => !isText(cell));
  if (place !== -1) throw new RowError((header[place] ?? '').trim(), 'has characters that are no text');
}

/** Makes rows of records. */
export function rowsUnder(header: readonly string[]): (record: readonly string[], line: number) => Row {
  const places = new Map(header.map((name, place) => [name.trim(), place]));
  return (record, line) => {
    checkRecord(record, header);
    return { line, record, cell: (column) => (record[places.get(column) ?? -1] ?? '').trim() };
  };
}

/** What `read` tells, with a {@link RowError} told as a problem of each line. Other errors pass. */
export function outcomesOf(lines: readonly number[], read: () => RowOutcome[]): RowOutcome[] {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof RowError)) throw error;
    const { column, reason } = error;
    return lines.map((line) => ({ kind: 'problem', line, column, reason }));
  }
}
