import { pipeline, Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { AppError } from '../../../domain/errors.ts';

/** A record of a CSV file, and the line that it ends on; the first is 1. */
export interface FileRecord {
  readonly cells: readonly string[];
  readonly line: number;
  /** Characters read so far, approximately. */
  readonly position: number;
}

/** Longest record (characters): a longer one is an unclosed quoted cell. */
const longestRecord = 64 * 1024;

/**
 * The records of a CSV text with any line ends, including line ends in quoted cells. Empty lines are skipped. Cells are data:
 * what a spreadsheet would read as a formula is text here.
 * @throws {AppError} (`file_unreadable`) with the line from which on nothing can be read.
 */
export async function* recordsOf(text: AsyncIterable<string>): AsyncGenerator<FileRecord> {
  const source = Readable.from(text);
  // In the parser's order: an error overtakes the records that wait to be read.
  let last = 0;
  const parser = parse({
    on_record: (record: string[], { lines }) => {
      last = lines;
      return record;
    },
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    record_delimiter: ['\r\n', '\n', '\r'],
    max_record_size: longestRecord,
  });
  // An error or an early end of the source ends the parser, which is what is read here.
  pipeline(source, parser, () => undefined);
  try {
    for await (const each of parser) {
      const { record, info } = each as { record: string[]; info: { lines: number; bytes: number } };
      yield { cells: record, line: info.lines, position: info.bytes };
    }
  } catch (error) {
    throw error instanceof CsvError ? unreadable(error, last) : error;
  } finally {
    source.destroy();
    parser.destroy();
  }
}

function unreadable(error: CsvError, last: number): AppError {
  const line = typeof error['lines'] === 'number' ? error['lines'] : last + 1;
  const message =
    {
      CSV_QUOTE_NOT_CLOSED: `line ${last + 1}: a quoted cell starts here and is never closed`,
      CSV_MAX_RECORD_SIZE: `line ${last + 1}: the row is longer than ${longestRecord} characters; a quote may not be closed`,
      CSV_INVALID_CLOSING_QUOTE: `line ${line}: there is text after the end of a quoted cell`,
      INVALID_OPENING_QUOTE: `line ${line}: there is a quote inside a cell that is not quoted`,
    }[error.code as string] ?? `line ${line}: the row cannot be read`;
  return new AppError(`The file cannot be read from ${message}`, { code: 'file_unreadable', status: 422 });
}
