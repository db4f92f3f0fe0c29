/**
 * Imports price history: `npm run import:history -- btc-usd.csv eth-eur.csv…`, CSV files as CoinGecko exports them. The name of
 * a file gives its asset and quote currency; `--asset luna=terra-luna` maps a symbol to an asset, and `--asset bitcoin` sets
 * the asset of a single file with any name, together with `--currency usd`. A file is imported as a whole or not at all, and
 * can be imported again. Without a configured Postgres it uses that of the running `npm start`.
 */
import { basename } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { createAssetQueries } from '../features/assets/queries/assets.ts';
import { createCandlePartitions } from '../features/history/queries/candle-partitions.ts';
import { createCandleQueries } from '../features/history/queries/candles.ts';
import { checkConnection, openDatabase } from '../../db/connection.ts';
import { createAssetDirectory, type LiveAssetDirectory } from '../features/assets/asset-directory.ts';
import { usableDatabase } from '../platform/config/embedded-urls.ts';
import { loadEnvironmentFile } from '../platform/config/env-file.ts';
import { loadConfig } from '../platform/config/load-config.ts';
import { isQuoteCurrency } from '../domain/currencies.ts';
import {
  importExport,
  nameOfExport,
  describeWarnings,
  type ImportReport,
} from '../features/history/import-export.ts';
import { systemClock } from '../platform/concurrency/clock.ts';
import { messageOf } from '../domain/errors.ts';
import { silentLogger } from '../platform/observability/logger.ts';

/** A file, and what is in it. */
interface Order {
  readonly path: string;
  readonly assetId: string;
  readonly currency: string;
  /** How the asset was found; absent where it was said. */
  readonly note: string | undefined;
}

interface Named {
  readonly path: string;
  /** Undefined where the name of the file does not tell it. */
  readonly symbol: string | undefined;
  readonly currency: string;
}

/** Longest wait (ms) for the list of assets. */
const directoryWaitMs = 10_000;
/** Other assets of a symbol that are named. */
const maxOthers = 5;
const usage =
  'npm run import:history -- FILE… [--asset <symbol>=<asset id>]… [--asset <asset id>] [--currency <code>]';

async function main(): Promise<void> {
  loadEnvironmentFile();
  const { values, positionals: paths } = parseArgs({
    options: { asset: { type: 'string', multiple: true }, currency: { type: 'string' } },
    allowPositionals: true,
  });
  if (paths.length === 0) throw new Error(`no file given: ${usage}`);
  const { database, hint } = usableDatabase(loadConfig());
  const knex = openDatabase({ database, poolSize: 4 });
  const directory = createAssetDirectory({
    source: createAssetQueries(knex),
    channel: { listen: () => () => undefined },
    log: silentLogger(),
  });
  try {
    await checkConnection(knex, { database, hint });
    await directory.whenRead(directoryWaitMs);
    const files = paths.map((path) => nameOf(path, values.currency?.toLowerCase()));
    const orders = toOrders(files, values.asset ?? [], directory);
    const deps = {
      candles: createCandleQueries(knex),
      partitions: createCandlePartitions(knex),
      clock: systemClock,
    };
    for (const order of orders) {
      const report = await importExport(deps, { ...order, onProgress: progressOf(order.path) });
      process.stdout.write(reported(order, report));
    }
  } finally {
    directory.close();
    await knex.destroy();
  }
}

/** @throws {Error} when the currency is not told, or is none that is priced in. */
function nameOf(path: string, given: string | undefined): Named {
  const name = nameOfExport(path);
  const currency = given ?? name?.currency;
  if (currency === undefined) {
    throw new Error(`${path} is not named <symbol>-<currency>.csv; pass --asset and --currency`);
  }
  if (!isQuoteCurrency(currency))
    throw new Error(`${path}: ${currency} is not a supported quote currency; pass --currency, such as usd`);
  return { path, symbol: name?.symbol, currency };
}

/** @throws {Error} for a symbol that nothing is known of. */
function toOrders(
  files: readonly Named[],
  given: readonly string[],
  directory: LiveAssetDirectory,
): readonly Order[] {
  const bySymbol = new Map(
    given
      .filter((text) => text.includes('='))
      .map((text) => {
        const end = text.indexOf('=');
        return [text.slice(0, end).trim().toLowerCase(), directory.idOf(text.slice(end + 1))] as const;
      }),
  );
  const ids = given.filter((text) => !text.includes('='));
  if (ids.length > 0 && files.length > 1) {
    throw new Error('--asset <asset id> is for a single file; for several pass --asset <symbol>=<asset id>');
  }
  const single = ids[0] === undefined ? undefined : directory.idOf(ids[0]);
  return files.map(({ path, symbol, currency }) => {
    const assetId = single ?? (symbol === undefined ? undefined : bySymbol.get(symbol));
    if (assetId !== undefined) return { path, currency, assetId, note: undefined };
    return { path, currency, ...resolve(path, symbol, directory) };
  });
}

function resolve(
  path: string,
  symbol: string | undefined,
  directory: LiveAssetDirectory,
): { assetId: string; note: string | undefined } {
  const hint = `pass --asset ${symbol ?? 'symbol'}=<asset id>`;
  if (symbol === undefined) throw new Error(`${path} does not name its asset; pass --asset <asset id>`);
  if (!directory.isKnown()) {
    throw new Error(
      `${path}: the list of coins has not been fetched yet (workers do that), so ${symbol} is not known; ${hint}`,
    );
  }
  const [first, ...others] = directory.bySymbols([symbol], 'all')[0]?.assets ?? [];
  if (first === undefined) throw new Error(`${path}: no asset has the symbol ${symbol}; ${hint}`);
  if (others.length === 0) return { assetId: first.id, note: undefined };
  const named = others
    .slice(0, maxOthers)
    .map(({ id }) => id)
    .join(', ');
  const note = `${symbol} was read as ${first.id}, the largest of ${others.length + 1} assets; others: ${named}. If another one is meant, ${hint}`;
  return { assetId: first.id, note };
}

/** On a terminal only: elsewhere it would fill a log. */
function progressOf(path: string): (done: number, total: number) => void {
  return (done, total) => {
    if (!process.stderr.isTTY) return;
    process.stderr.write(
      done === total ? '\r\u001B[K' : `\r${basename(path)}: ${Math.floor((100 * done) / total)} %`,
    );
  };
}

function reported({ path, assetId, currency, note }: Order, report: ImportReport): string {
  const { granularity, lines, rows, inserted, improved, different, warnings, moreWarnings } = report;
  const every = { '5m': 'every five minutes', '1h': 'hourly', '1d': 'daily' }[granularity];
  const rate = Math.round((1000 * rows) / Math.max(1, report.durationMs));
  const outcome =
    rows === 0
      ? 'no rows'
      : inserted + improved === 0
        ? 'no change: all rows were already stored'
        : `${inserted} new, ${improved} better, ${rows - inserted - improved} unchanged`;
  const head = `${basename(path)}: ${assetId} in ${currency}, ${every}, ${lines} lines, ${rows} with a price: ${outcome} (${rate} rows/s)`;
  return `${[
    head,
    ...(note === undefined ? [] : [`  ${note}`]),
    ...(different === 0
      ? []
      : [`  ${different} rows differ from the stored price of the same time; the stored price is kept`]),
    ...describeWarnings(warnings).map((each) => `  ${each}`),
    ...(moreWarnings === 0 ? [] : [`  and ${moreWarnings} more warnings`]),
  ].join('\n')}\n`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await main().catch((error: unknown) => {
    process.stderr.write(`The import stopped: ${messageOf(error)}\n`);
    process.exitCode = 1;
  });
}
