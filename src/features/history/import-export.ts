import { basename } from 'node:path';
import type { createCandlePartitions } from './queries/candle-partitions.ts';
import type { CandleQueries } from './queries/candles.ts';
import type { Granularity, HistoryPoint } from '../../domain/history.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { aheadMs, granularityOfRows, readExport, type RowWarning } from './export-rows.ts';
import { makeRoom, storePoints } from './store-history.ts';

/** The result of importing a file. */
export interface ImportReport {
  readonly granularity: Granularity;
  /** Lines below the header. */
  readonly lines: number;
  /** Lines with a price. */
  readonly rows: number;
  readonly inserted: number;
  /** Rows that existed and are better now. */
  readonly improved: number;
  /** Rows for which another price of the same moment is stored, which stays. */
  readonly different: number;
  /** The first 1,000. */
  readonly warnings: readonly RowWarning[];
  readonly moreWarnings: number;
  readonly durationMs: number;
}

/** `source` of what was imported. */
export const importSource = 'coingecko-csv';

const batchSize = 5_000;
const maxWarnings = 1_000;
/** Rows from which the granularity is judged. */
const judgedRows = 200;
const fileName = /^(?<symbol>[a-z0-9$._-]+)-(?<currency>[a-z]{2,8})$/i;
/** Text that CoinGecko adds to the name for the span of an export. */
const ending = /(?:-(?:max|\d+(?:h|d|y)))?\.csv$/i;

/** Symbol and quote currency of `<symbol>-<currency>.csv` in lower case; undefined for another name. */
export function nameOfExport(
  path: string,
): { readonly symbol: string; readonly currency: string } | undefined {
  const name = basename(path);
  if (!ending.test(name)) return undefined;
  const { symbol, currency } = fileName.exec(name.replace(ending, ''))?.groups ?? {};
  if (symbol === undefined || currency === undefined) return undefined;
  return { symbol: symbol.toLowerCase(), currency: currency.toLowerCase() };
}

/**
 * Imports one file: all of it or, if anything fails, nothing. Stored points stay unless the file has better ones, so
 * importing a file twice changes nothing.
 * @throws {Error} the file is not an export; {UnavailableError} when Postgres does not answer.
 */
export async function importExport(
  deps: {
    readonly candles: CandleQueries;
    readonly partitions: Pick<ReturnType<typeof createCandlePartitions>, 'ensure'>;
    readonly clock: Clock;
  },
  request: {
    readonly path: string;
    readonly assetId: string;
    readonly currency: string;
    /** Called now and then with the rows done and their total. */
    readonly onProgress?: (done: number, total: number) => void;
  },
): Promise<ImportReport> {
  const startedAt = performance.now();
  // One moment for both passes: they must find the same rows.
  const latest = deps.clock.now() + aheadMs;
  const survey = await surveyOf(request.path, latest);
  const { granularity, rows, first, last, ...found } = survey;
  if (rows > 0) await makeRoom(deps.partitions, { granularity, from: first, to: last });
  const stored = await deps.candles.inTransaction((candles) =>
    storeAll(candles, { ...request, latest }, survey),
  );
  return { ...found, granularity, rows, ...stored, durationMs: performance.now() - startedAt };
}

/** Reads the file once before anything is stored: for its span, and so that a broken file changes nothing. */
async function surveyOf(path: string, latest: number) {
  const warnings: RowWarning[] = [];
  const distances: number[] = [];
  let [lines, rows, odd, first, last] = [0, 0, 0, Infinity, -Infinity];
  let before: number | undefined;
  for await (const row of readExport(path, latest)) {
    lines++;
    odd += row.warnings.length;
    if (warnings.length < maxWarnings) warnings.push(...row.warnings);
    if (row.point === undefined) continue;
    const { at } = row.point;
    rows++;
    first = Math.min(first, at);
    last = Math.max(last, at);
    if (before !== undefined && distances.length < judgedRows) distances.push(Math.abs(at - before));
    before = at;
  }
  const granularity = granularityOfRows(distances);
  // Rows of minutes and hours are not irregular for being less than a day apart.
  const reported = granularity === '1d' ? warnings : warnings.filter(({ kind }) => !daily.has(kind));
  const moreWarnings = odd - warnings.length;
  return { granularity, lines, rows, first, last, warnings: reported, moreWarnings };
}

const daily: ReadonlySet<RowWarning['kind']> = new Set(['same day again', 'not at midnight']);

async function storeAll(
  candles: CandleQueries,
  {
    path,
    assetId,
    currency,
    onProgress,
    latest,
  }: Parameters<typeof importExport>[1] & { readonly latest: number },
  { granularity, rows: total }: Awaited<ReturnType<typeof surveyOf>>,
) {
  const sum = { inserted: 0, improved: 0, different: 0 };
  let batch: HistoryPoint[] = [];
  let done = 0;
  const store = async (): Promise<void> => {
    const series = { assetId, currency, granularity, points: batch, source: importSource };
    const { inserted, improved, different } = await storePoints(candles, series);
    sum.inserted += inserted;
    sum.improved += improved;
    sum.different += different;
    done += batch.length;
    batch = [];
    onProgress?.(done, total);
  };
  for await (const { point } of readExport(path, latest)) {
    if (point !== undefined) batch.push(point);
    if (batch.length === batchSize) await store();
  }
  if (batch.length > 0) await store();
  return sum;
}

/** Joins consecutive lines with the same irregularity, for people. */
export function describeWarnings(warnings: readonly RowWarning[]): readonly string[] {
  const reported: { kind: string; from: number; to: number; detail: string | undefined }[] = [];
  const open = new Map<string, (typeof reported)[number]>();
  for (const { line, kind, detail } of warnings) {
    const run = open.get(kind);
    if (run !== undefined && run.to === line - 1 && detail === undefined) {
      run.to = line;
      continue;
    }
    const begun = { kind, from: line, to: line, detail };
    open.set(kind, begun);
    reported.push(begun);
  }
  return reported.map(({ kind, from, to, detail }) => {
    const lines = from === to ? `line ${from}` : `lines ${from}-${to}`;
    return `${lines}: ${kind}${detail === undefined ? '' : ` (${detail})`}`;
  });
}
