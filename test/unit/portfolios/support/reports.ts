import { parse } from 'csv-parse/sync';
import { reportUnder } from '../../../../src/features/portfolios/importers/read-report.ts';
import type {
  ImportedTransaction,
  ReportReader,
  RowOutcome,
} from '../../../../src/features/portfolios/importers/importer.ts';

interface Parsed {
  record: string[];
  info: { lines: number };
}

/** The records of a CSV text with the lines that they end on. */
export function recordsOf(csv: string): { record: string[]; line: number }[] {
  const parsed = parse(csv, {
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
  }) as unknown as Parsed[];
  return parsed.map(({ record, info }) => ({ record, line: info.lines }));
}

/** What came of the rows of a known report. */
export function readReport(csv: string): { format: string; outcomes: RowOutcome[] } {
  const records = recordsOf(csv);
  for (const [index, { record }] of records.entries()) {
    const report = reportUnder(record);
    if (report !== undefined)
      return { format: report.format, outcomes: readAll(report.reader, records.slice(index + 1)) };
  }
  throw new Error('no header was found');
}

/** All that a reader tells of some records. */
export function readAll(reader: ReportReader, records: { record: string[]; line: number }[]): RowOutcome[] {
  return [...records.flatMap(({ record, line }) => reader.read(record, line)), ...reader.end()];
}

/** One line for each outcome, short enough to compare. */
export function reported(outcomes: readonly RowOutcome[]): string[] {
  return outcomes.map((outcome) => {
    if (outcome.kind === 'problem') return `${outcome.line}: ${outcome.column ?? 'row'}: ${outcome.reason}`;
    if (outcome.kind === 'skipped') return `${outcome.line}: skipped: ${outcome.reason}`;
    return `${outcome.lines.join('+')}: ${describeTransaction(outcome.transaction)}`;
  });
}

function describeTransaction({ type, at, received, sent, value, fee }: ImportedTransaction): string {
  const parts: string[] = [new Date(at).toISOString(), type];
  if (received !== null) parts.push(`+${received.quantity} ${received.symbol}`);
  if (sent !== null) parts.push(`-${sent.quantity} ${sent.symbol}`);
  if (value !== null) parts.push(`worth ${value.amount} ${value.currency}`);
  if (fee !== null)
    parts.push('symbol' in fee ? `fee ${fee.quantity} ${fee.symbol}` : `fee ${fee.amount} ${fee.currency}`);
  return parts.join(' ');
}

/** Fingerprints of the transactions among outcomes. */
export function fingerprints(outcomes: readonly RowOutcome[]): string[] {
  return outcomes.flatMap((outcome) => (outcome.kind === 'transaction' ? [outcome.fingerprint] : []));
}
