import { ValidationError } from '../../lib/errors.ts';
import { binanceReader } from './binance.ts';
import { coinbaseReader } from './coinbase.ts';
import type { ReportReader } from './imported.ts';
import { krakenReader } from './kraken.ts';

/** Reports that are known by their header. A generic CSV needs a mapping: see genericReader. */
export const reportFormats = ['coinbase', 'binance', 'kraken'] as const;
export type ReportFormat = (typeof reportFormats)[number];

/** A report whose header was found. */
export interface KnownReport {
  readonly format: ReportFormat;
  readonly reader: ReportReader;
}

const readers = { coinbase: coinbaseReader, binance: binanceReader, kraken: krakenReader } as const;

/**
 * The report that a record is the header of; undefined when it is none, as a line of text before the header.
 * @throws {ValidationError} when a known header names a column twice.
 */
export function reportUnder(record: readonly string[]): KnownReport | undefined {
  for (const format of reportFormats) {
    const reader = readers[format](record);
    if (reader === undefined) continue;
    const names = record.map((name) => name.trim()).filter((name) => name !== '');
    const twice = names.find((name, place) => names.indexOf(name) !== place);
    if (twice === undefined) return { format, reader };
    throw new ValidationError('The header names a column twice', [{ field: 'header', message: twice }]);
  }
  return undefined;
}
