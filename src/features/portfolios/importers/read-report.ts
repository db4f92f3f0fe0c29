import { AppError, ValidationError } from '../../../domain/errors.ts';
import { reportFormats, reportUnder, type ReportFormat } from './formats.ts';
import { genericReader, type GenericMapping } from './generic.ts';
import type { ReportReader, RowOutcome } from './importer.ts';
import type { FileRecord } from './report-records.ts';

/** What a file may be said to be. */
export const importFormats = ['auto', ...reportFormats, 'generic'] as const;

/** What a file was found to be. */
export type FoundFormat = ReportFormat | 'generic';

/** How a file is to be read. */
export interface ReadingWish {
  readonly format: (typeof importFormats)[number];
  /** For `generic`; with `auto` it says that the file is that. */
  readonly mapping: GenericMapping | null;
}

/** Some rows of a file, and what came of them. */
export interface ReportPage {
  readonly format: FoundFormat;
  readonly columns: ReportReader['columns'];
  readonly outcomes: readonly RowOutcome[];
  /** Rows under the header so far. */
  readonly rows: number;
  /** Characters read so far, about. */
  readonly position: number;
}

/** Most rows of a file. */
const mostRows = 200_000;
/** Lines of text that may stand before the header. */
const longestPreamble = 50;
/** Rows of a page. */
const pageRows = 1_000;

/**
 * Reads a report page by page.
 * @throws {AppError} (`header_not_found`, `header_not_valid`, `too_many_rows`): nothing can be read, or not all.
 */
export async function* readReport(
  records: AsyncIterable<FileRecord>,
  wish: ReadingWish,
): AsyncGenerator<ReportPage> {
  let report: Report | undefined;
  let before = 0;
  let rows = 0;
  let position = 0;
  let outcomes: RowOutcome[] = [];
  const page = ({ format, reader: { columns } }: Report): ReportPage => ({
    format,
    columns,
    outcomes,
    rows,
    position,
  });
  for await (const record of records) {
    position = record.position;
    if (report === undefined) {
      report = reportOf(record.cells, wish);
      before += 1;
      if (report === undefined && before >= longestPreamble) throw noHeader(wish);
      continue;
    }
    rows += 1;
    if (rows > mostRows) throw tooManyRows();
    for (const outcome of report.reader.read(record.cells, record.line)) outcomes.push(outcome);
    if (rows % pageRows > 0) continue;
    yield page(report);
    outcomes = [];
  }
  if (report === undefined) throw noHeader(wish);
  for (const outcome of report.reader.end()) outcomes.push(outcome);
  yield page(report);
}

interface Report {
  readonly format: FoundFormat;
  readonly reader: ReportReader;
}

function reportOf(cells: readonly string[], { format, mapping }: ReadingWish): Report | undefined {
  try {
    if (mapping !== null && (format === 'generic' || format === 'auto'))
      return { format: 'generic', reader: genericReader(cells, mapping) };
    const known = reportUnder(cells);
    if (known === undefined || (format !== 'auto' && known.format !== format)) return undefined;
    return known;
  } catch (error) {
    throw error instanceof ValidationError ? badHeader(error) : error;
  }
}

/** The fields of a job's error are its message. */
function badHeader({ message, fields = [] }: ValidationError): AppError {
  const told = fields.map((each) => `${each.field}: ${each.message}`).join('; ');
  return new AppError(`${message}: ${told}`, { code: 'header_not_valid', status: 422 });
}

function noHeader({ format }: ReadingWish): AppError {
  const known = format === 'auto' ? reportFormats.join(', ') : format;
  const message = `The file has no header of a report that is known (${known}); another CSV needs a mapping`;
  return new AppError(message, { code: 'header_not_found', status: 422 });
}

function tooManyRows(): AppError {
  return new AppError(`The file has more than ${mostRows} rows`, { code: 'too_many_rows', status: 413 });
}
