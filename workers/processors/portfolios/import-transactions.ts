/**
 * Reads an uploaded report into the transactions of a portfolio. Everything is one database transaction: transactions, audit
 * trail, the outcome and the deletion of the file are committed together or not at all, so an import that is killed at any
 * point has changed nothing, and one that has ended is not repeated. The portfolio is locked only after the file was read.
 */
import { createHash } from 'node:crypto';
import type { PastCloses } from '../../../src/features/portfolios/books-service.ts';
import type { ImportQueries, ImportRecord } from '../../../src/features/portfolios/queries/imports.ts';
import type {
  ImportOutcome,
  ImportRun,
  createImportRuns,
} from '../../../src/features/portfolios/queries/import-runs.ts';
import type { AssetService } from '../../../src/features/assets/asset-service.ts';
import type { BookChange } from '../../../src/features/portfolios/queries/write-transactions.ts';
import type { JobData } from '../../../jobs/registry.ts';
import { readMapping, type GenericMapping } from '../../../src/features/portfolios/importers/generic.ts';
import { contentOf } from '../../../src/features/portfolios/ledger/recorded-transaction.ts';
import { parseRequester } from '../../../src/domain/requester.ts';
import { AppError, ConflictError, messageOf, NotFoundError } from '../../../src/domain/errors.ts';
import { ImportPrices } from '../../../src/features/portfolios/importers/import-prices.ts';
import { importResult } from '../../../src/features/portfolios/importers/import-result.ts';
import { ProblemList } from '../../../src/features/portfolios/importers/problem-list.ts';
import { readReport, type importFormats } from '../../../src/features/portfolios/importers/read-report.ts';
import { refuseOverdrawn } from '../../../src/features/portfolios/importers/refuse-overdrawn.ts';
import { recordsOf } from '../../../src/features/portfolios/importers/report-records.ts';
import { stageReport, type Staged } from '../../../src/features/portfolios/importers/stage-report.ts';
import { SymbolResolver } from '../../../src/features/portfolios/importers/symbol-resolver.ts';
import { decodeText, type TextEncoding } from '../../../src/features/portfolios/importers/text-encoding.ts';
import type { FindMarketValues } from '../../../src/features/portfolios/valuation/market-values.ts';
import type { Processor } from '../../runtime/processor.ts';
import { Requeue } from '../../runtime/requeue.ts';
import { runForClients, type ClientRunDeps, type RunControl } from '../jobs/client-run.ts';

/** What imports need. */
export interface ImportDeps extends ClientRunDeps {
  readonly imports: Pick<ImportQueries, 'find' | 'chunk' | 'choices'>;
  readonly importRuns: ReturnType<typeof createImportRuns>;
  readonly symbols: Pick<AssetService['list'], 'find' | 'identities' | 'isKnown'>;
  readonly closes: PastCloses['dailyCloses'];
  readonly findMarketValues: FindMarketValues;
  /** Requests an update of the books of a portfolio. */
  readonly updateBooks: (portfolioId: string) => Promise<void>;
  /** Transactions that a portfolio may have. */
  readonly transactionLimit: number;
}

/** Progress is in per cent: reading takes this share. */
const readingPercent = 70;
/** Transactions of a dry run that its result contains. */
const maxSamples = 20;

/** Builds the processor. */
export function createTransactionsImport(deps: ImportDeps): Processor<'transactions.import'> {
  return (data, context) =>
    runForClients(deps, { run: { workKey: data.workKey, total: 100 }, context }, async (control) => {
      const record = await deps.imports.find(data.importId, data.portfolioId);
      if (record === undefined) throw new NotFoundError('Import not found', 'import_not_found');
      if (record.settledAt !== null) return record.resultJson ?? '{}';
      const { resultJson, added } = await new Importing(deps, { data, record, control }).run();
      if (added > 0 && !data.isDryRun) await updateBooks(deps, data.portfolioId);
      return resultJson;
    });
}

/** The periodic sweep finds updates that are lost here, by the versions of the books. */
async function updateBooks({ updateBooks: update, log }: ImportDeps, portfolioId: string): Promise<void> {
  try {
    await update(portfolioId);
  } catch (error) {
    log.debug({ portfolioId, reason: messageOf(error) }, 'an update of the books could not be queued');
  }
}

interface ImportTask {
  readonly data: JobData<'transactions.import'>;
  readonly record: ImportRecord;
  readonly control: RunControl;
}

/** One running import. */
class Importing {
  readonly #deps: ImportDeps;
  readonly #task: ImportTask;
  readonly #problems = new ProblemList();
  readonly #requested: ReadonlyMap<string, string>;
  readonly #mapping: GenericMapping | null;

  constructor(deps: ImportDeps, task: ImportTask) {
    this.#deps = deps;
    this.#task = task;
    const { symbolsJson, mappingJson } = task.record;
    const symbols = Object.entries(JSON.parse(symbolsJson) as Record<string, string>);
    this.#requested = new Map(symbols.map(([symbol, id]) => [symbol.toUpperCase(), id]));
    this.#mapping = mappingJson === null ? null : readMapping(mappingJson);
  }

  async run(): Promise<ImportOutcome> {
    if (!(await this.#isWhole())) {
      // A worker that was presumed dead may have continued: a settled import has no file left.
      const { id, portfolioId } = this.#task.record;
      const now = await this.#deps.imports.find(id, portfolioId);
      if (now?.settledAt == null) throw incomplete();
      return { resultJson: now.resultJson ?? '{}', added: now.added ?? 0 };
    }
    return await this.#deps.importRuns.run(this.#task.record.id, (run) => this.#work(run));
  }

  /** Whether the stored file is the uploaded one. Checked before a row is read: half a file looks like another file. */
  async #isWhole(): Promise<boolean> {
    const { record } = this.#task;
    const hash = createHash('sha256');
    let count = 0;
    for await (const bytes of this.#chunks()) {
      count += bytes.length;
      hash.update(bytes);
      this.#goOn();
    }
    return count === record.bytes && hash.digest('hex') === record.sha256;
  }

  async #work(run: ImportRun): Promise<{ readonly keep: boolean; readonly outcome: ImportOutcome }> {
    const { data, record } = this.#task;
    const symbols = new SymbolResolver({
      source: this.#deps.symbols,
      requested: this.#requested,
      remembered: await this.#deps.imports.choices(record.userId),
    });
    const prices = this.#prices();
    const staged = await this.#stage(run, { symbols, prices });
    const request = { portfolioId: record.portfolioId, limit: this.#deps.transactionLimit };
    const change = await run.open(request);
    const stored = await run.stored();
    if (stored !== undefined) return { keep: false, outcome: stored };
    if (change.portfolio.baseCurrency !== data.currency) throw otherCurrency();
    const counts = await this.#judge(run, change);
    const keep = !record.isDryRun && (record.onError === 'skip' || this.#problems.count() === 0);
    const samples = record.isDryRun ? await samplesOf(run) : undefined;
    const added = keep ? await this.#write(run, change, counts.left) : 0;
    const resultJson = importResult({
      record,
      staged,
      ...counts,
      added: record.isDryRun ? counts.left : added,
      isWritten: keep,
      problems: this.#problems,
      resolved: symbols.reported(),
      rates: prices.rates(),
      samples,
    });
    const outcome = { resultJson, added };
    if (keep) await run.settle(outcome);
    return { keep, outcome };
  }

  #prices(): ImportPrices {
    const { closes, findMarketValues, clock } = this.#deps;
    return new ImportPrices({
      closes,
      findMarketValues,
      base: this.#task.data.currency,
      now: clock.now(),
    });
  }

  async #stage(
    { staging }: ImportRun,
    { symbols, prices }: { readonly symbols: SymbolResolver; readonly prices: ImportPrices },
  ): Promise<Staged> {
    const { record, control } = this.#task;
    const text = decodeText(this.#chunks(), record.encoding as TextEncoding);
    const options = { format: record.format as (typeof importFormats)[number], mapping: this.#mapping };
    return await stageReport(readReport(recordsOf(text), options), {
      importId: record.id,
      now: this.#deps.clock.now(),
      symbols,
      prices,
      problems: this.#problems,
      hasAssets: () => this.#deps.symbols.isKnown(),
      stage: (rows) => staging.add(rows),
      onPage: (position) => {
        this.#goOn();
        control.progress.reached(Math.floor(Math.min(position / record.bytes, 1) * readingPercent));
      },
    });
  }

  async *#chunks(): AsyncGenerator<Buffer> {
    const { imports } = this.#deps;
    const { id } = this.#task.record;
    for (let number = 0; ; number++) {
      const bytes = await imports.chunk(id, number);
      if (bytes === undefined) return;
      yield bytes;
    }
  }

  /** Removes transactions that already exist and those that would make a holding negative. */
  async #judge(
    { staging }: ImportRun,
    { portfolio }: BookChange,
  ): Promise<{ readonly duplicates: number; readonly refused: number; readonly left: number }> {
    await staging.analyse();
    const duplicates = await staging.dropDuplicates(portfolio.id);
    const refused = await refuseOverdrawn(staging, portfolio.id, {
      onRefused: (problem) => this.#problems.add(problem),
      onPage: () => this.#goOn(),
    });
    this.#goOn();
    const left = await staging.count();
    return { duplicates, refused, left };
  }

  async #write(run: ImportRun, change: BookChange, left: number): Promise<number> {
    const { record, data, control } = this.#task;
    let added = 0;
    for await (const page of run.staging.pages()) {
      added += (await change.add(page)).length;
      this.#goOn();
      const share = added / Math.max(left, 1);
      control.progress.reached(readingPercent + Math.floor(share * (99 - readingPercent)));
    }
    await change.settle();
    const requester = parseRequester(data.requester ?? '');
    const by = { actorId: record.userId, keyId: requester?.keyId };
    if (added > 0) await run.record(record.portfolioId, by, { import_id: record.id, transactions: added });
    await run.remember(record.userId, this.#requested);
    return added;
  }

  /** Cancelled, or about to end: nothing has been changed, and another worker starts from scratch. */
  #goOn(): void {
    if (this.#task.control.signal.aborted) throw new Requeue('the import was stopped');
  }
}

async function samplesOf({ staging }: ImportRun): Promise<readonly object[]> {
  for await (const page of staging.pages()) return page.slice(0, maxSamples).map(contentOf);
  return [];
}

function incomplete(): AppError {
  return new AppError('The stored file is not the uploaded one; upload it again', {
    code: 'file_incomplete',
    status: 422,
  });
}

function otherCurrency(): ConflictError {
  return new ConflictError(
    'The base currency of the portfolio has changed since the import was requested',
    'base_currency_changed',
  );
}
