import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { realAssets } from './simulated-assets.ts';
import type { Listing, MarketSource, Observation } from './source.ts';
import type { Clock } from '../../src/platform/concurrency/clock.ts';

/**
 * Replay of real history. A virtual clock runs through it; what is served is always the last observed row at or
 * before the virtual time, with that row's own time: never a value between two rows.
 */

/** Which history to replay, and how. */
export interface ReplayOptions {
  /** Folder of CoinGecko CSV exports. */
  readonly dir: string;
  /** Seconds of history for each second of the market's clock: 86,400 is a day a second. */
  readonly speed: number;
  /** Where to start. Default: the first moment at which every file has a row. */
  readonly from?: Date | undefined;
  /** Starts again after the last row; by default the market stays at that row. */
  readonly loop?: boolean | undefined;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/**
 * A row this far from the requested moment still counts as its value: rows are a day apart, give or take some minutes.
 */
const toleranceMs = 12 * hourMs;

/** Ids of the symbols whose first owner today is not the one whose history is exported, and of the usual ones. */
const idOfSymbol: Readonly<Record<string, string>> = {
  btc: 'bitcoin',
  eth: 'ethereum',
  ada: 'cardano',
  luna: 'terra-luna',
  sol: 'solana',
  dot: 'polkadot',
};
const nameOfId: Readonly<Record<string, string>> = { 'terra-luna': 'Terra' };

interface ReplayedAsset extends Listing {
  readonly series: ReadonlyMap<string, readonly HistoryRow[]>;
}

/**
 * Reads a folder and starts its virtual clock.
 * @throws when the folder holds no usable export, the speed is not positive, or `from` lies after the last row.
 */
export async function createReplaySource(options: ReplayOptions, clock: Clock): Promise<MarketSource> {
  const series = await readSeries(options.dir);
  return replaySource(collectAssets(series), createVirtualClock(options, series, clock));
}

function createVirtualClock(options: ReplayOptions, series: readonly History[], clock: Clock): () => number {
  const start = options.from?.getTime() ?? Math.max(...series.map(({ rows }) => rows[0]?.at ?? 0));
  const end = Math.max(...series.map(({ rows }) => rows.at(-1)?.at ?? 0));
  if (!(options.speed > 0 && Number.isFinite(options.speed)))
    throw new Error('replay: the speed must be positive');
  if (!(start <= end)) throw new Error(`replay: nothing to replay after ${new Date(end).toISOString()}`);
  const startedAt = clock.now();
  // One day more, so that the last row is served as long as any other before a loop restarts.
  const span = end + dayMs - start;
  return () => {
    const elapsed = (clock.now() - startedAt) * options.speed;
    return options.loop === true ? start + (elapsed % span) : Math.min(start + elapsed, end);
  };
}

function collectAssets(series: readonly History[]): ReplayedAsset[] {
  const known = realAssets();
  const symbols = [...new Set(series.map(({ symbol }) => symbol))];
  return symbols.map((symbol) => {
    const files = series.filter((history) => history.symbol === symbol);
    const id = idOfSymbol[symbol] ?? known.find((asset) => asset.symbol === symbol)?.id ?? symbol;
    const name = nameOfId[id] ?? known.find((asset) => asset.id === id)?.name ?? symbol.toUpperCase();
    return { id, symbol, name, series: new Map(files.map(({ currency, rows }) => [currency, rows])) };
  });
}

function replaySource(assets: readonly ReplayedAsset[], now: () => number): MarketSource {
  const byId = new Map(assets.map((asset) => [asset.id, asset]));
  // Ranks need one currency for all: the one that most files are in.
  const rankCurrency = commonestCurrency(assets);
  const existsAt = (asset: ReplayedAsset, at: number): boolean =>
    [...asset.series.values()].some((rows) => lastAt(rows, at) !== undefined);
  const listingOf = ({ id, symbol, name }: ReplayedAsset): Listing => ({ id, symbol, name });
  const capAt = (asset: ReplayedAsset, at: number): number | null =>
    lastAt(asset.series.get(rankCurrency) ?? [], at)?.marketCap ?? null;
  const ranked = (at: number): ReplayedAsset[] =>
    assets
      .filter((asset) => existsAt(asset, at))
      .sort((left, right) => (capAt(right, at) ?? -1) - (capAt(left, at) ?? -1));

  return {
    kind: 'replay',
    exact: true,
    now,
    listings: () => assets.filter((asset) => existsAt(asset, now())).map(listingOf),
    listing(id) {
      const asset = byId.get(id);
      return asset !== undefined && existsAt(asset, now()) ? listingOf(asset) : undefined;
    },
    ranked: () => ranked(now()).map(({ id }) => id),
    rank(id) {
      const at = now();
      const withCap = ranked(at).filter((asset) => capAt(asset, at) !== null);
      const index = withCap.findIndex((asset) => asset.id === id);
      return index === -1 ? null : index + 1;
    },
    observe: (id, currency) => observeRows(byId.get(id)?.series.get(currency), now()),
    // One row a day does not show the day's range.
    dayRange: () => null,
    priceAgo(id, currency, agoMs) {
      const rows = byId.get(id)?.series.get(currency) ?? [];
      const row = lastAt(rows, now());
      return (agoMs === 0 || row === undefined ? row : rowAgo(rows, row, agoMs))?.price ?? null;
    },
    history(id, currency, { from, to }) {
      const rows = byId.get(id)?.series.get(currency) ?? [];
      const end = Math.min(to, now());
      return rows.filter(({ at }) => at >= from && at <= end);
    },
  };
}

function commonestCurrency(assets: readonly ReplayedAsset[]): string {
  const counts = new Map<string, number>();
  for (const currency of assets.flatMap(({ series }) => [...series.keys()])) {
    counts.set(currency, (counts.get(currency) ?? 0) + 1);
  }
  return [...counts].sort((left, right) => right[1] - left[1])[0]?.[0] ?? 'usd';
}

function observeRows(rows: readonly HistoryRow[] | undefined, at: number): Observation | undefined {
  const row = rows === undefined ? undefined : lastAt(rows, at);
  if (rows === undefined || row === undefined) return undefined;
  const dayAgo = rowAgo(rows, row, dayMs);
  return {
    price: row.price,
    marketCap: row.marketCap,
    volume: row.volume,
    priceDayAgo: dayAgo?.price ?? null,
    marketCapDayAgo: dayAgo?.marketCap ?? null,
    // An export holds no supply.
    circulatingSupply: null,
    maxSupply: null,
    asOf: row.at,
  };
}

/** Index of the last row at or before `at`; -1 when there is none. */
function indexAt(rows: readonly HistoryRow[], at: number): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((rows[middle]?.at ?? Infinity) <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function lastAt(rows: readonly HistoryRow[], at: number): HistoryRow | undefined {
  const index = indexAt(rows, at);
  return index === -1 ? undefined : rows[index];
}

/** The row nearest to `agoMs` before `row`; none across a gap, since a change over two days is not one over one. */
function rowAgo(rows: readonly HistoryRow[], row: HistoryRow, agoMs: number): HistoryRow | undefined {
  const wanted = row.at - agoMs;
  const distance = (candidate: HistoryRow | undefined): number =>
    candidate === undefined ? Infinity : Math.abs(candidate.at - wanted);
  const index = indexAt(rows, wanted);
  const [before, after] = [rows[index], rows[index + 1]];
  const nearest = distance(before) <= distance(after) ? before : after;
  return distance(nearest) <= Math.min(toleranceMs, agoMs / 2) ? nearest : undefined;
}

/** One observed row of an export. */
interface HistoryRow {
  /** Milliseconds since the epoch; usually, but not always, a midnight. */
  readonly at: number;
  readonly price: number;
  /** Null where the export has none, which it also writes as 0. */
  readonly marketCap: number | null;
  readonly volume: number | null;
}

/** One file: an asset's history in one quote currency, oldest row first, one row for each moment. */
interface History {
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
async function readSeries(dir: string): Promise<History[]> {
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
