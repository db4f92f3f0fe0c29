import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

/** One observed row of an export. */
export interface HistoryRow {
  /** Milliseconds since the epoch; usually, but not always, a midnight. */
  readonly at: number;
  readonly price: number;
  /** Null where the export has none, which it also writes as 0. */
  readonly marketCap: number | null;
  readonly volume: number | null;
}

/** One file: an asset's history in one quote currency, oldest row first, one row for each moment. */
export interface History {
  readonly symbol: string;
  readonly currency: string;
  readonly rows: readonly HistoryRow[];
}

const columns = ['snapped_at', 'price', 'market_cap', 'total_volume'] as const;
const fileName = /^(?<symbol>[a-z0-9]+)-(?<currency>[a-z]{3,4})(?:-max)?\.csv$/;
const moment = /^(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2}) UTC$/;

/**
 * Reads every `<symbol>-<currency>.csv` of a folder of CoinGecko exports; other files are left alone.
 * @throws when the folder cannot be read, holds no export, or an export is not one (with file and line).
 */
export async function readHistories(dir: string): Promise<History[]> {
  const names = (await readdir(dir)).filter((name) => fileName.test(name)).sort();
  if (names.length === 0) throw new Error(`no CoinGecko export (such as btc-usd.csv) in ${dir}`);
  return await Promise.all(
    names.map(async (name) => parseHistory(name, await readFile(join(dir, name), 'utf8'))),
  );
}

/**
 * Reads one export. Rows without a positive price are left out: there is nothing to replay in them.
 * @throws for a name, header, time or number that does not fit.
 */
export function parseHistory(name: string, text: string): History {
  const named = fileName.exec(basename(name))?.groups;
  const symbol = named?.['symbol'];
  const currency = named?.['currency'];
  if (symbol === undefined || currency === undefined) throw new Error(`${name}: not <symbol>-<currency>.csv`);
  const [header, ...lines] = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  if (header !== columns.join(',')) throw new Error(`${name}:1: the header is not ${columns.join(',')}`);
  const rows = new Map<number, HistoryRow>();
  lines.forEach((line, index) => {
    if (line === '') return;
    const row = parseRow(line, `${name}:${index + 2}`);
    if (row !== undefined) rows.set(row.at, row);
  });
  if (rows.size === 0) throw new Error(`${name}: no row with a price`);
  return { symbol, currency, rows: [...rows.values()].sort((left, right) => left.at - right.at) };
}

function parseRow(line: string, where: string): HistoryRow | undefined {
  const cells = line.split(',');
  const [snappedAt = '', price = '', marketCap = '', volume = ''] = cells;
  if (cells.length !== columns.length) throw new Error(`${where}: ${cells.length} columns`);
  const [, date, time] = moment.exec(snappedAt) ?? [];
  const at = date === undefined || time === undefined ? Number.NaN : Date.parse(`${date}T${time}Z`);
  if (Number.isNaN(at)) throw new Error(`${where}: not a time: ${snappedAt}`);
  const found = numberOf(price, where);
  const cap = numberOf(marketCap, where);
  if (found === null || found <= 0) return undefined;
  return { at, price: found, marketCap: cap === 0 ? null : cap, volume: numberOf(volume, where) };
}

function numberOf(cell: string, where: string): number | null {
  if (cell === '') return null;
  const value = Number(cell);
  if (!Number.isFinite(value)) throw new Error(`${where}: not a number: ${cell}`);
  return value;
}
