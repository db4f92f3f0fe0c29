import { pipeline } from 'node:stream/promises';
import { v7 as uuidv7 } from 'uuid';
import type { Knex } from 'knex';
import { createCandlePartitions } from '../../src/features/history/queries/candle-partitions.ts';
import { createCandleQueries } from '../../src/features/history/queries/candles.ts';
import { createImportRuns } from '../../src/features/portfolios/queries/import-runs.ts';
import {
  createImportQueries,
  type ImportQueries,
  type ImportOptions,
} from '../../src/features/portfolios/queries/imports.ts';
import { createJobQueries } from '../../src/features/jobs/queries/jobs.ts';
import { createPortfolioQueries } from '../../src/features/portfolios/queries/portfolios.ts';
import { createRunQueries } from '../../src/features/jobs/queries/runs.ts';
import { createAssetQueries } from '../../src/features/assets/queries/assets.ts';
import {
  createTransactionQueries,
  type TransactionQueries,
} from '../../src/features/portfolios/queries/transactions.ts';
import type { Portfolio } from '../../src/features/portfolios/ledger/portfolio.ts';
import type { JobRecord } from '../../src/domain/job.ts';
import { candleOf } from '../../src/domain/candle.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { UploadSink } from '../../src/features/portfolios/importers/upload.ts';
import {
  createTransactionsImport,
  type ImportDeps,
} from '../../workers/processors/portfolios/import-transactions.ts';
import { createCancellations } from '../../workers/processors/jobs/client-run.ts';
import type { JobContext } from '../../workers/runtime/processor.ts';
import { openHistoryStore } from './history.ts';

/** What a result says, as far as tests look at it. */
export interface ImportReported {
  readonly import_id: string;
  readonly dry_run: boolean;
  readonly written: boolean;
  readonly format: string;
  readonly encoding: string;
  readonly rows: number;
  readonly transactions: number;
  readonly added: number;
  readonly duplicates: number;
  readonly refused: number;
  readonly skipped: readonly { readonly reason: string; readonly count: number }[];
  readonly problem_count: number;
  readonly problems: readonly {
    readonly line: number;
    readonly column: string | null;
    readonly reason: string;
  }[];
  readonly resolved: Readonly<Record<string, { id: string; name: string; others: number; by: string }>>;
  readonly rates: readonly { from: string; to: string; days: number; lowest: number }[];
  readonly samples?: readonly Record<string, unknown>[];
}

/** Imports over a database of one's own: everything is real but the queue, the cache and the clock. */
export interface ImportBench {
  readonly knex: Knex;
  readonly databaseUrl: string;
  readonly userId: string;
  readonly imports: ImportQueries;
  readonly transactions: TransactionQueries;
  readonly cancellations: ReturnType<typeof createCancellations>;
  readonly deps: ImportDeps;
  /** Portfolios whose books were to be updated. */
  readonly enqueued: string[];
  /** Per cent that were told. */
  readonly percents: number[];
  portfolio(baseCurrency?: string): Promise<Portfolio>;
  /** Stores closes of days (`2024-01-31`). */
  closes(asset: string, currency: string, byDay: Readonly<Record<string, number>>): Promise<void>;
  /** Uploads a file; returns the import's id. */
  upload(portfolio: Portfolio, file: string | Buffer, options?: Partial<ImportOptions>): Promise<string>;
  /** Runs the job of an upload; returns the row as it is then. */
  run(portfolio: Portfolio, importId: string, context?: Partial<JobContext>): Promise<JobRecord>;
  /** Uploads, runs, and returns what the result says. @throws with the job's error when it failed. */
  bring(
    portfolio: Portfolio,
    file: string | Buffer,
    options?: Partial<ImportOptions>,
  ): Promise<ImportReported>;
  close(): Promise<void>;
}

/** A few well-known assets; two share a symbol. */
const assets = [
  ['bitcoin', 'btc', 'Bitcoin', 1],
  ['ethereum', 'eth', 'Ethereum', 2],
  ['ripple', 'xrp', 'XRP', 5],
  ['polkadot', 'dot', 'Polkadot', 20],
  ['tether', 'usdt', 'Tether', 3],
  ['binancecoin', 'bnb', 'BNB', 4],
  ['dot-imposter', 'dot', 'Dot Imposter', 900],
] as const;

const live = new AbortController().signal;

/** Opens a fresh database. */
export async function openImports(): Promise<ImportBench> {
  const store = await openHistoryStore();
  const { knex, databaseUrl } = store;
  const userId = uuidv7();
  await knex('users').insert({ id: userId, username: 'joe', email: 'joe@example.com', password_hash: 'x' });
  await knex('assets').insert(
    assets.map(([asset_id, symbol, name, rank], position) => ({ asset_id, symbol, name, rank, position })),
  );
  return { ...importsOn(knex, { userId }), databaseUrl, close: () => store.close() };
}

interface ImportPlace {
  readonly userId: string;
  readonly onPercent?: (done: number) => void;
}

/** The same over a database that is there and stays. */
export function importsOn(
  knex: Knex,
  { userId, onPercent }: ImportPlace,
): Omit<ImportBench, 'databaseUrl' | 'close'> {
  const candles = createCandleQueries(knex);
  const partitions = createCandlePartitions(knex);
  const jobs = createJobQueries(knex);
  const imports = createImportQueries(knex);
  const cancellations = createCancellations();
  const [enqueued, percents]: [string[], number[]] = [[], []];
  const deps: ImportDeps = {
    jobs,
    runs: createRunQueries(knex),
    clock: { now: () => Date.now() },
    log: silentLogger(),
    events: {
      append: (_subject: string, list: readonly { type: string; data: { done?: number } }[]) => {
        for (const { type, data } of list) {
          if (type !== 'job.progress') continue;
          percents.push(data.done ?? 0);
          onPercent?.(data.done ?? 0);
        }
        return Promise.resolve();
      },
    },
    deadlineMs: 300_000,
    abandoned: (workKey) => cancellations.watch(workKey),
    imports,
    importRuns: createImportRuns(knex),
    symbols: createAssetQueries(knex),
    closes: (requested) => candles.dailyCloses(requested),
    findMarketValues: () => Promise.resolve(() => null),
    updateBooks: (id) => Promise.resolve(void enqueued.push(id)),
    transactionLimit: 1_000_000,
  };

  const bench: Omit<ImportBench, 'databaseUrl' | 'close'> = {
    knex,
    userId,
    imports,
    transactions: createTransactionQueries(knex),
    cancellations,
    deps,
    enqueued,
    percents,
    portfolio: (baseCurrency = 'usd') =>
      createPortfolioQueries(knex).insert(
        userId,
        { name: 'mine', baseCurrency, method: 'fifo', timeZone: 'UTC' },
        1_000,
      ),
    async closes(assetId, currency, byDay) {
      const points = Object.entries(byDay).map(([day, price]) => ({
        at: Date.parse(`${day}T00:00:00Z`),
        price,
        marketCap: null,
        volume: null,
      }));
      const times = points.map(({ at }) => at);
      await partitions.ensure({ granularity: '1d', from: Math.min(...times), to: Math.max(...times) });
      const about = { assetId, currency, source: 'test' };
      await candles.storePoints(
        '1d',
        points.map((point) => candleOf({ ...point, ...about }, 86_400_000)),
      );
    },
    async upload(portfolio, file, options = {}) {
      const id = uuidv7();
      await imports.open({ id, portfolioId: portfolio.id, userId });
      const sink = new UploadSink((number, bytes) => imports.addChunk(id, number, bytes));
      await pipeline([Buffer.from(file)], sink);
      await imports.complete(id, {
        format: 'auto',
        onError: 'skip',
        isDryRun: false,
        mappingJson: null,
        symbolsJson: '{}',
        fileName: 'report.csv',
        ...sink.arrived(),
        ...options,
      });
      return id;
    },
    async run(portfolio, importId, context = {}) {
      const record = (await imports.find(importId, portfolio.id))!;
      const { baseCurrency: currency, id: portfolioId } = portfolio;
      const submission = { portfolioId, currency, importId, isDryRun: record.isDryRun };
      const workKey = `work-${importId}`;
      const row = await jobs.insert({
        id: uuidv7(),
        userId,
        name: 'transactions.import',
        workKey,
        submission,
        total: 100,
      });
      await createTransactionsImport(deps)(
        { ...submission, workKey },
        {
          jobId: '1',
          addedAt: Date.now(),
          start: 1,
          isLastAttempt: true,
          signal: live,
          waitSignal: live,
          callSignal: live,
          releaseDeduplication: () => Promise.resolve(),
          ...context,
        },
      );
      return (await jobs.find(row!.id))!;
    },
    async bring(portfolio, file, options) {
      const { state, resultJson, error } = await bench.run(
        portfolio,
        await bench.upload(portfolio, file, options),
      );
      if (state !== 'completed') throw new Error(`${error?.code}: ${error?.message}`);
      return JSON.parse(resultJson!) as ImportReported;
    },
  };
  return bench;
}
