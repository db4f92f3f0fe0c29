/**
 * Reads CoinGecko's CSV exports (`snapped_at,price,market_cap,total_volume`) as a stream, and reports irregular rows
 * line by line. Nothing is repaired: a row that cannot be read is left out, an empty cell is no value, and a 0 is a 0.
 */
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { parse } from 'csv-parse';
import { dayMs } from './chart.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Granularity, HistoryPoint } from '../../domain/history.ts';

/** An irregularity of a row. */
export interface RowWarning {
  /** 1 is the header. */
  readonly line: number;
  readonly kind:
    | 'malformed'
    | 'no price'
    | 'missing days'
    | 'same day again'
    | 'out of order'
    | 'not at midnight'
    | 'no market cap'
    | 'market cap 0'
    | 'no volume'
    | 'volume 0';
  /** Details; absent if the kind says everything. */
  readonly detail?: string;
}

/** A line: its point, if it has one, and its irregularities. */
interface ExportRow {
  readonly line: number;
  readonly point: HistoryPoint | undefined;
  readonly warnings: readonly RowWarning[];
}

const columns = ['snapped_at', 'price', 'market_cap', 'total_volume'] as const;
const moment = /^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})(?:\.\d+)?(?: ?UTC|Z)$/;
const number = /^\d+(\.\d*)?([eE][+-]?\d+)?$/;
/** Longest line (bytes); those of an export are far shorter. */
const longestLine = 10_000;

/** A row dated further in the future than this (ms) is malformed; clocks and time zones differ by less. */
export const aheadMs = dayMs;

/**
 * The rows of an export. One dated after `latest` (ms since the epoch) is malformed.
 * @throws {Error} when the file cannot be read or its header is not that of an export.
 */
export async function* readExport(path: string, latest: number): AsyncGenerator<ExportRow> {
  const stream = createReadStream(path);
  const parser = parse({
    bom: true,
    info: true,
    relax_column_count: true,
    relax_quotes: true,
    max_record_size: longestLine,
    skip_empty_lines: true,
  });
  // An error of the source, or its early end, also ends the parser, which is read here.
  pipeline(stream, parser, () => undefined);
  const previous: Previous = { at: undefined, days: new Set(), latest };
  let isHeader = true;
  try {
    for await (const each of parser) {
      const { record, info } = each as { record: string[]; info: { lines: number } };
      if (isHeader) checkHeader(record);
      else yield toRow(record, info.lines, previous);
      isHeader = false;
    }
    if (isHeader) throw new Error('the file is empty');
  } catch (error) {
    throw new Error(`${path}: ${messageOf(error)}`, { cause: error });
  } finally {
    stream.destroy();
  }
}

interface Previous {
  at: number | undefined;
  readonly days: Set<number>;
  readonly latest: number;
}

function checkHeader(record: readonly string[]): void {
  if (record.length !== columns.length || record.some((cell, index) => cell.trim() !== columns[index])) {
    throw new Error(`not a CoinGecko export: its first line must be ${columns.join(',')}`);
  }
}

function toRow(cells: readonly string[], line: number, previous: Previous): ExportRow {
  const malformed = (detail: string): ExportRow => ({
    line,
    point: undefined,
    warnings: [{ line, kind: 'malformed', detail }],
  });
  if (cells.length !== columns.length) return malformed(`${cells.length} columns`);
  const [snappedAt = '', ...values] = cells.map((cell) => cell.trim());
  const at = timeOf(snappedAt);
  if (at === undefined) return malformed(`not a time: ${snappedAt.slice(0, 40)}`);
  if (at > previous.latest) return malformed(`in the future: ${snappedAt.slice(0, 40)}`);
  const wrong = values.find((cell) => cell !== '' && !isNumber(cell));
  if (wrong !== undefined) return malformed(`not a number: ${wrong.slice(0, 40)}`);
  const [price, marketCap, volume] = values.map((cell) => (cell === '' ? null : Number(cell)));
  const warnings = [...timeWarnings(at, line, previous), ...valueWarnings({ marketCap, volume }, line)];
  // A price of 0 is how exports write that there is none.
  if (price === null || price === undefined || price === 0) {
    return { line, point: undefined, warnings: [...warnings, { line, kind: 'no price' }] };
  }
  return {
    line,
    point: { at, price, marketCap: marketCap ?? null, volume: volume ?? null },
    warnings,
  };
}

function timeOf(text: string): number | undefined {
  const [, date, time] = moment.exec(text) ?? [];
  const at = date === undefined || time === undefined ? Number.NaN : Date.parse(`${date}T${time}Z`);
  return Number.isNaN(at) || at < 0 ? undefined : at;
}

function isNumber(cell: string): boolean {
  return number.test(cell) && Number.isFinite(Number(cell));
}

const dayOf = (at: number): number => Math.floor(at / dayMs);
const textOf = (day: number): string => new Date(day * dayMs).toISOString().slice(0, 10);

function timeWarnings(at: number, line: number, previous: Previous): RowWarning[] {
  const found: RowWarning[] = [];
  const day = dayOf(at);
  const before = previous.at;
  if (before !== undefined && at < before) found.push({ line, kind: 'out of order' });
  if (previous.days.has(day)) found.push({ line, kind: 'same day again', detail: textOf(day) });
  else if (before !== undefined && day > dayOf(before) + 1) {
    const [first, last] = [textOf(dayOf(before) + 1), textOf(day - 1)];
    found.push({ line, kind: 'missing days', detail: first === last ? first : `${first} to ${last}` });
  }
  if (at % dayMs !== 0)
    found.push({ line, kind: 'not at midnight', detail: new Date(at).toISOString().slice(0, 19) });
  previous.days.add(day);
  previous.at = Math.max(at, before ?? at);
  return found;
}

function valueWarnings(
  {
    marketCap,
    volume,
  }: { readonly marketCap: number | null | undefined; readonly volume: number | null | undefined },
  line: number,
): RowWarning[] {
  const found: RowWarning[] = [];
  if (marketCap === null) found.push({ line, kind: 'no market cap' });
  if (marketCap === 0) found.push({ line, kind: 'market cap 0' });
  if (volume === null) found.push({ line, kind: 'no volume' });
  if (volume === 0) found.push({ line, kind: 'volume 0' });
  return found;
}

/** The granularity of a file, by the distance of its rows: CoinGecko exports a day in minutes, some weeks in hours, else days. */
export function granularityOfRows(distancesMs: readonly number[]): Granularity {
  const sorted = [...distancesMs].sort((left, right) => left - right);
  const median = sorted[Math.floor(sorted.length / 2)] ?? dayMs;
  if (median <= 600_000) return '5m';
  return median <= 7_200_000 ? '1h' : '1d';
}
