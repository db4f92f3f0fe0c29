import { ValidationError } from '../../../domain/errors.ts';
import { binance } from './binance.ts';
import { coinbase } from './coinbase.ts';
import { checkHeader, createReader, type ReportReader } from './importer.ts';
import { kraken } from './kraken.ts';
import { pricepool } from './pricepool.ts';

/** The importers of reports that are known by their header, in the order in which they are tried. */
const importers = [coinbase, binance, kraken, pricepool] as const;

export type ReportFormat = (typeof importers)[number]['name'];
/** Names of the reports that are known by their header. A generic CSV needs a mapping: see genericReader. */
export const reportFormats: readonly ReportFormat[] = importers.map(({ name }) => name);

/**
 * The report that a record is the header of; undefined when it is none, as a line of text before the header.
 * @throws {ValidationError} when a known header names a column twice, or has too many or such that are no text.
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
