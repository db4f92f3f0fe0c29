import { ValidationError } from '../../../domain/errors.ts';
import { binanceReader } from './binance.ts';
import { coinbaseReader } from './coinbase.ts';
import { checkHeader } from './header.ts';
import type { ReportReader } from './imported.ts';
import { krakenReader } from './kraken.ts';
import { pricepoolReader } from './pricepool.ts';

/** Reports that are known by their header. A generic CSV needs a mapping: see genericReader. */
export const reportFormats = ['coinbase', 'binance', 'kraken', 'pricepool'] as const;
export type ReportFormat = (typeof reportFormats)[number];

/** A report whose header was found. */
export interface KnownReport {
  readonly format: ReportFormat;
  readonly reader: ReportReader;
}

const readers = {
  coinbase: coinbaseReader,
  binance: binanceReader,
  kraken: krakenReader,
  pricepool: pricepoolReader,
} as const;

/**
 * The report that a record is the header of; undefined when it is none, as a line of text before the header.
 * @throws {ValidationError} when a known header names a column twice, or has too many or such that are no text.
 */
export function reportUnder(record: readonly string[]): KnownReport | undefined {
  for (const format of reportFormats) {
    const reader = readers[format](record);
    if (reader === undefined) continue;
    checkHeader(record);
    const twice = twiceIn(record);
    if (twice === undefined) return { format, reader };
    throw new ValidationError('The header names a column twice', [{ field: 'header', message: twice }]);
  }
  return undefined;
}

function twiceIn(record: readonly string[]): string | undefined {
  const seen = new Set<string>();
  return record
    .map((cell) => cell.trim())
    .find((name) => {
      const isTwice = name !== '' && seen.has(name);
      seen.add(name);
      return isTwice;
    });
}
