/** Imports of reports into a portfolio: a file is streamed into Postgres, and a job reads it from there. */
import { setTimeout } from 'node:timers/promises';
import { v7 as uuidv7 } from 'uuid';
import type { z } from 'zod';
import { importBodies, importIdOf, importPath, importQuery } from './schemas.ts';
import { readUpload, type Upload, UploadSink } from './upload.ts';
import type { Logger } from '../../../platform/observability/logger.ts';
import type { AssetDirectory } from '../../assets/asset-directory.ts';
import type { PortfolioService } from '../portfolio-service.ts';
import { type FieldProblem, messageOf, NotFoundError, ValidationError } from '../../../domain/errors.ts';
import type { Principal } from '../../../domain/principal.ts';
import type { ApiContext } from '../../../platform/http/context.ts';
import { answer } from '../../../platform/http/envelope.ts';
import { makeLastResponse } from '../../../platform/http/last-response.ts';
import { pageOf } from '../../../platform/http/paging.ts';
import { route, type Route } from '../../../platform/http/route.ts';
import { validate } from '../../../platform/http/validate.ts';
import { submissionDescribed, type SubmitDeps, submitJob } from '../../jobs/submit-job.ts';
import { workKeyOf } from '../../jobs/job-service.ts';
import type { Portfolio } from '../ledger/portfolio.ts';
import { pagingQuery, portfolioIdOf, portfolioPath } from '../schemas.ts';
import type { ImportRecord } from '../queries/imports.ts';

type ImportDeps = SubmitDeps &
  Pick<PortfolioService, 'portfolios' | 'imports'> & {
    readonly assets: Pick<AssetDirectory, 'isKnown' | 'byId' | 'idOf'>;
    readonly log: Logger;
  };
type ImportQuerySchema = ReturnType<typeof importQuery>;
type ImportQuery = z.output<ImportQuerySchema>;

const tag = 'Portfolios';
const path = '/api/v1/portfolios/:id';
const missing = 'Portfolio not found';

/** Routes for importing, and for listing imports. */
export function importRoutes(deps: ImportDeps): Route[] {
  return [
    submit({ ...deps, options: importQuery(deps.assets), forget: createForget(deps) }),
    list(deps),
    read(deps),
  ];
}

type SubmitImportDeps = ImportDeps & {
  readonly options: ImportQuerySchema;
  /** With a function that deletes an upload that was not used. */
  readonly forget: (id: string) => Promise<void>;
};

function submit(deps: SubmitImportDeps): Route {
  return route({
    method: 'POST',
    path: `${path}/import`,
    access: 'user',
    scope: 'portfolio:write',
    tag,
    summary: 'Import the CSV export of an exchange, or any other CSV, as a job',
    description:
      'Send the file in the field `file` of multipart/form-data, with the options below as further form fields; or send the ' +
      'file itself as text/csv, with the options as query parameters. At most 20 MB and 200,000 rows. Transactions that were ' +
      'imported before are skipped.',
    params: portfolioPath,
    query: deps.options,
    takes: importBodies(deps.options),
    ...submissionDescribed,
    responses: {
      ...submissionDescribed.responses,
      400: 'The body is not valid multipart/form-data',
      404: missing,
      413: 'The file is larger than 20 MB',
      415: 'The Content-Type of the body is neither multipart/form-data nor text/csv',
    },
    handler: async (ctx, { params, query, viewer }) => {
      const portfolio = await deps.portfolios.get(portfolioIdOf(params), viewer);
      const id = uuidv7();
      try {
        await receive(ctx, deps, { id, portfolio, viewer, query });
      } catch (error) {
        if (!ctx.req.complete) makeLastResponse(ctx);
        await deps.forget(id);
        throw error;
      }
    },
  });
}

interface ReceivedImport {
  readonly id: string;
  readonly portfolio: Portfolio;
  readonly viewer: Principal;
  readonly query: ImportQuery;
}

async function receive(
  ctx: ApiContext,
  deps: SubmitImportDeps,
  { id, ...request }: ReceivedImport,
): Promise<void> {
  const { portfolio, viewer, query } = request;
  const { imports } = deps;
  await imports.open({ id, portfolioId: portfolio.id, userId: viewer.userId });
  const sink = new UploadSink((number, bytes) => imports.addChunk(id, number, bytes));
  const upload = await readUpload(ctx, sink);
  const options = checked({ ...query, ...fieldsOf(upload, deps) }, deps);
  const arrived = sink.arrived();
  await imports.complete(id, { ...rowOf(options), ...arrived, fileName: upload.fileName });
  await submitImport(ctx, deps, { id, portfolio, viewer, options, sha256: arrived.sha256 });
}

async function submitImport(
  ctx: ApiContext,
  deps: SubmitImportDeps,
  {
    id,
    portfolio,
    viewer,
    options,
    sha256,
  }: Omit<ReceivedImport, 'query'> & { readonly options: ImportQuery; readonly sha256: string },
): Promise<void> {
  const submission = {
    portfolioId: portfolio.id,
    currency: portfolio.baseCurrency,
    importId: id,
    isDryRun: options.dry_run ?? false,
  };
  const workKey = workKeyOf('transactions.import', submission);
  // The same file with the same options is the same request, whatever its name.
  const requested = { ...options, sha256 };
  await submitJob(ctx, deps, {
    viewer,
    route: `POST /portfolios/${portfolio.id}/import`,
    body: requested,
    request: { name: 'transactions.import', submission, total: 100 },
    onAccepted: (job) => {
      // An idempotency key has found the job of an earlier upload: this one is not needed.
      if (job.workKey !== workKey) void deps.forget(id);
    },
  });
}

/** Most uploads that wait to be deleted. */
const maxForgotten = 1_000;
/** Pause (ms) between two attempts to delete an upload. */
const discardPauseMs = 2_000;

/**
 * Deletes an upload that was not used. What made the upload fail often makes its deletion fail too, so it is retried until
 * Postgres accepts it; the retention of uploads removes what is left when the process ends.
 */
function createForget({ imports, log }: Pick<ImportDeps, 'imports' | 'log'>): (id: string) => Promise<void> {
  const waiting = new Set<string>();
  let isRetrying = false;

  const discard = async (id: string): Promise<boolean> => {
    try {
      await imports.discard(id);
      waiting.delete(id);
      return true;
    } catch (error) {
      log.debug({ import: id, reason: messageOf(error) }, 'an upload could not be deleted yet');
      return false;
    }
  };
  const retry = async (): Promise<void> => {
    if (isRetrying) return;
    isRetrying = true;
    while (waiting.size > 0) {
      await setTimeout(discardPauseMs, undefined, { ref: false });
      for (const id of [...waiting]) if (!(await discard(id))) break;
    }
    isRetrying = false;
  };
  return async (id) => {
    if ((await discard(id)) || waiting.size >= maxForgotten) return;
    waiting.add(id);
    void retry();
  };
}

function fieldsOf({ fields }: Upload, deps: Pick<SubmitImportDeps, 'options'>): Partial<ImportQuery> {
  const [options] = validate([{ schema: deps.options, given: fields, prefix: '' }]) as [ImportQuery];
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function checked(options: ImportQuery, { assets }: Pick<ImportDeps, 'assets'>): ImportQuery {
  const { format = 'auto', mapping, symbols = {} } = options;
  const problems: FieldProblem[] = [];
  if (format === 'generic' && mapping === undefined)
    problems.push({ field: 'mapping', message: 'is required with the format generic' });
  if (format !== 'generic' && format !== 'auto' && mapping !== undefined)
    problems.push({ field: 'mapping', message: `is not used with the format ${format}` });
  for (const [symbol, id] of Object.entries(symbols)) {
    if (assets.isKnown() && assets.byId(id) === undefined)
      problems.push({ field: `symbols.${symbol}`, message: `${id} is not a known asset` });
  }
  if (problems.length > 0) throw new ValidationError('The request is not valid', problems);
  return options;
}

function rowOf({ format, mapping, symbols, dry_run: isDryRun, on_error: onError }: ImportQuery) {
  return {
    format: format ?? 'auto',
    onError: onError ?? 'skip',
    isDryRun: isDryRun ?? false,
    mappingJson: mapping === undefined ? null : JSON.stringify(mapping),
    symbolsJson: JSON.stringify(symbols ?? {}),
  } as const;
}

function list({ portfolios, imports }: ImportDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/imports`,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'List the imports of a portfolio, newest first',
    params: portfolioPath,
    query: pagingQuery,
    responses: { 200: 'A page of imports', 404: missing, 503: 'Database unavailable; see Retry-After' },
    handler: async (ctx, { params, query, viewer }) => {
      const { id } = await portfolios.get(portfolioIdOf(params), viewer);
      const { page, limit } = query;
      const found = await imports.list(id, { offset: (page - 1) * limit, limit });
      const data = found.imports.map((each) => presentImport(each));
      answer(ctx, { message: 'Imports', data: pageOf(data, { total: found.total, ...query }) });
    },
  });
}

function read({ portfolios, imports }: ImportDeps): Route {
  return route({
    method: 'GET',
    path: `${path}/imports/:importId`,
    access: 'user',
    scope: 'portfolio:read',
    tag,
    summary: 'Get an import, with its result',
    params: importPath,
    responses: { 200: 'The import', 404: 'Import not found', 503: 'Database unavailable; see Retry-After' },
    handler: async (ctx, { params, viewer }) => {
      const portfolio = await portfolios.get(portfolioIdOf(params), viewer);
      const found: ImportRecord | undefined = await imports.find(importIdOf(params), portfolio.id);
      if (found === undefined) throw new NotFoundError('Import not found', 'import_not_found');
      answer(ctx, { message: 'Import', data: presentImport(found, found.resultJson) });
    },
  });
}

/** An import as shown to the owner of its portfolio; with its result while that is stored. */
function presentImport(
  { id, format, encoding, bytes, sha256, added, ...record }: ImportRecord,
  resultJson?: string | null,
): Record<string, unknown> {
  return {
    id,
    file_name: record.fileName,
    format,
    on_error: record.onError,
    dry_run: record.isDryRun,
    encoding,
    bytes,
    sha256,
    added,
    created_at: record.createdAt,
    settled_at: record.settledAt,
    ...(resultJson === undefined ? {} : { result: resultJson === null ? null : JSON.parse(resultJson) }),
  };
}
