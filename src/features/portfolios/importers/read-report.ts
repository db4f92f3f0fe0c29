import { AppError, ValidationError } from '../../../domain/errors.ts';
import { genericReader, type GenericMapping } from './generic.ts';
import { type ReportReader, type RowOutcome, checkHeader, createReader } from './importer.ts';
import type { FileRecord } from './report-records.ts';
import { binance } from './binance.ts';
import { coinbase } from './coinbase.ts';
import { kraken } from './kraken.ts';
import { pricepool } from './pricepool.ts';

/** The importers of reports that are recognised by their header, in the order in which they are tried. */
const importers = [coinbase, binance, kraken, pricepool] as const;

type ReportFormat = (typeof importers)[number]['name'];
/** Names of the reports that are recognised by their header. A generic CSV needs a mapping: see genericReader. */
const reportFormats: readonly ReportFormat[] = importers.map(({ name }) => name);

/**
 * The report whose header the record is; undefined when it is not a header, such as a line of text before it.
 * @throws {ValidationError} when a known header names a column twice, or has too many names or names that are not text.
 */
export function reportUnder(
  record: readonly string[],
): { readonly format: ReportFormat; readonly reader: ReportReader } | undefined {
  const names = record.map((cell) => cell.trim());
  for (const importer of importers) {
    const rules = importer.rulesFor(names);
    if (rules === undefined) continue;
    checkHeader(record);
    const twice = names.find((each, place) => each !== '' && names.indexOf(each) < place);
    if (twice === undefined)
      return { format: importer.name, reader: createReader(importer.name, record, rules) };
    throw new ValidationError('The header names a column twice', [{ field: 'header', message: twice }]);
  }
  return undefined;
}

/** The formats that a client can choose. */
export const importFormats = ['auto', ...reportFormats, 'generic'] as const;

/** The format that was detected. */
export type FoundFormat = ReportFormat | 'generic';

/** How to read a file. */
export interface ReadOptions {
  readonly format: (typeof importFormats)[number];
  /** For `generic`; with `auto`, a mapping makes the file generic. */
  readonly mapping: GenericMapping | null;
}

/** Some rows of a file, and their outcomes. */
export interface ReportPage {
  readonly format: FoundFormat;
  readonly columns: ReportReader['columns'];
  readonly outcomes: readonly RowOutcome[];
  /** Rows under the header so far. */
  readonly rows: number;
  /** Characters read so far, approximately. */
  readonly position: number;
}

/** Most rows of a file. */
const maxRows = 200_000;
/** Most lines of text before the header. */
const longestPreamble = 50;
/** Rows per page. */
const pageRows = 1_000;

/**
 * Reads a report page by page.
 * @throws {AppError} (`header_not_found`, `header_not_valid`, `too_many_rows`): the file cannot be read, or not completely.
 */
export async function* readReport(
  records: AsyncIterable<FileRecord>,
  options: ReadOptions,
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
      report = reportOf(record.cells, options);
      before += 1;
      if (report === undefined && before >= longestPreamble) throw noHeader(options);
      continue;
    }
    rows += 1;
    if (rows > maxRows) throw tooManyRows();
    for (const outcome of report.reader.read(record.cells, record.line)) outcomes.push(outcome);
    if (rows % pageRows > 0) continue;
    yield page(report);
    outcomes = [];
  }
  if (report === undefined) throw noHeader(options);
  for (const outcome of report.reader.end()) outcomes.push(outcome);
  yield page(report);
}

interface Report {
  readonly format: FoundFormat;
  readonly reader: ReportReader;
}

function reportOf(cells: readonly string[], { format, mapping }: ReadOptions): Report | undefined {
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

/** Puts the fields into the message, because a job's error has no fields. */
function badHeader({ message, fields = [] }: ValidationError): AppError {
  const reported = fields.map((each) => `${each.field}: ${each.message}`).join('; ');
  return new AppError(`${message}: ${reported}`, { code: 'header_not_valid', status: 422 });
}

function noHeader({ format }: ReadOptions): AppError {
  const known = format === 'auto' ? reportFormats.join(', ') : format;
  const message = `The file does not have the header of a known report (${known}); any other CSV needs a mapping`;
  return new AppError(message, { code: 'header_not_found', status: 422 });
}

function tooManyRows(): AppError {
  return new AppError(`The file has more than ${maxRows} rows`, { code: 'too_many_rows', status: 413 });
}
