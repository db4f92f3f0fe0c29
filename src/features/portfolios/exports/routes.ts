/** Export of a portfolio: streamed page by page as fast as the client reads, for any amount of data. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import type { Logger } from '../../../platform/observability/logger.ts';
import type { PortfolioService } from '../portfolio-service.ts';
import { ConflictError, messageOf } from '../../../domain/errors.ts';
import type { ApiContext } from '../../../platform/http/context.ts';
import { responseHeadersOf } from '../../../platform/http/envelope.ts';
import { wholeNumber } from '../../../platform/http/fields.ts';
import { route, type Route } from '../../../platform/http/route.ts';
import type { BookedPortfolio, Position } from '../queries/book-reading.ts';
import { exportColumns, guardedText } from '../importers/pricepool.ts';
import { type Amount, formatAmount } from '../ledger/amount.ts';
import type { Portfolio } from '../ledger/portfolio.ts';
import type { StoredTransaction } from '../ledger/recorded-transaction.ts';
import { portfolioIdOf, portfolioPath } from '../schemas.ts';
import type { RealisedGain } from '../queries/exports.ts';

/** The kinds of export. */
const exportKinds = ['transactions', 'realised', 'positions'] as const;

/** Query of `GET /portfolios/:id/export`. */
const exportQuery = z
  .strictObject({
    format: z
      .enum(['csv', 'json'], 'must be csv or json')
      .default('csv')
      .meta({ description: 'Format of the response' }),
    kind: z
      .enum(exportKinds, `must be one of ${exportKinds.join(', ')}`)
      .default('transactions')
      .meta({
        description:
          'What to export: transactions (a CSV of them can be imported again), realised gains by lot, or positions',
      }),
    year: wholeNumber({ min: 2009, max: 2200 }).optional().meta({
      description:
        'Only for kind realised: the gains of this year, in the time zone of the portfolio; absent: all',
    }),
  })
  .refine(({ kind, year }) => year === undefined || kind === 'realised', {
    path: ['year'],
    message: 'is only for the kind realised',
  });

type ExportDeps = Pick<PortfolioService, 'portfolios' | 'exports' | 'books'> & { readonly log: Logger };

/** Longest wait (ms) for books that are not current. */
const booksWaitMs = 5_000;
/** Longest time (ms) that a client may take to read an export. */
const readingMs = 300_000;

interface Wanted {
  readonly format: 'csv' | 'json';
  readonly kind: (typeof exportKinds)[number];
  readonly year: number | null;
}

/** `GET /portfolios/:id/export`. */
export function exportRoutes(deps: ExportDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/api/v1/portfolios/:id/export',
      access: 'user',
      scope: 'portfolio:read',
      tag: 'Portfolios',
      summary: 'Export transactions, realised gains or positions',
      description:
        'CSV text cells that start with =, +, -, @ (full-width too), a tab or a carriage return get a leading apostrophe, so that no ' +
        'spreadsheet reads them as formulas. A CSV of transactions can be imported into any portfolio. If transactions change ' +
        'during the export, it stops rather than mix old and new rows.',
      params: portfolioPath,
      query: exportQuery,
      produces: 'text/csv',
      responses: {
        200: 'The rows: CSV, or JSON with `data`',
        404: 'Portfolio not found',
        503: 'Database unavailable, or the portfolio is still being updated after a change; retry after Retry-After seconds',
      },
      handler: async (ctx, { params, query, viewer }) => {
        const found = await deps.portfolios.get(portfolioIdOf(params), viewer);
        const wanted = { ...query, year: query.year ?? null };
        // For derived rows, use the portfolio as it was when they were derived: it may have changed during the wait.
        const current =
          wanted.kind === 'transactions' ? undefined : await deps.books.current(found, booksWaitMs);
        const { portfolio = found, assets = [] } = current ?? {};
        const confirm = async (): Promise<void> => {
          const { booksVersion } = await deps.portfolios.get(portfolio.id, viewer);
          if (booksVersion !== portfolio.booksVersion)
            throw new ConflictError(
              'Transactions changed during the export; start it again',
              'export_changed',
            );
        };
        await send(ctx, deps, {
          portfolio,
          wanted,
          text: textOf(deps, { portfolio, assets }, wanted),
          confirm,
        });
      },
    }),
  ];
}

/** The first page is read before the headers are sent, so that an early failure is still an ordinary error response. */
async function send(
  ctx: ApiContext,
  { log }: ExportDeps,
  sending: {
    readonly portfolio: Portfolio;
    readonly wanted: Wanted;
    readonly text: AsyncGenerator<string>;
    /** Throws when the rows sent do not belong to one state. */
    readonly confirm: () => Promise<void>;
  },
): Promise<void> {
  const { portfolio, wanted, text, confirm } = sending;
  const begin = await text.next();
  ctx.respond = false;
  const type = wanted.format === 'csv' ? 'text/csv; charset=utf-8' : 'application/json; charset=utf-8';
  ctx.res.writeHead(200, [
    ...responseHeadersOf(ctx),
    'Content-Type',
    type,
    'Content-Disposition',
    `attachment; filename="${fileNameOf(portfolio, wanted)}"`,
    'Cache-Control',
    'private, no-store',
  ]);
  if (ctx.method === 'HEAD') {
    ctx.res.end();
    return;
  }
  const whole = async function* (): AsyncGenerator<string> {
    if (begin.done !== true) yield begin.value;
    yield* text;
    await confirm();
  };
  try {
    await pipeline(Readable.from(whole()), ctx.res, { signal: AbortSignal.timeout(readingMs) });
  } catch (error) {
    // The connection is cut, so that the client sees that the export is incomplete.
    log.debug({ portfolioId: portfolio.id, reason: messageOf(error) }, 'an export stopped early');
  }
}

function fileNameOf({ id }: Portfolio, { kind, format, year }: Wanted): string {
  return `${kind}${year === null ? '' : `-${year}`}-${id}.${format}`;
}

function textOf(
  { exports }: ExportDeps,
  { portfolio, assets }: BookedPortfolio,
  wanted: Wanted,
): AsyncGenerator<string> {
  const { id, baseCurrency, timeZone } = portfolio;
  const { kind, year } = wanted;
  if (kind === 'transactions')
    return linesOf(transactionSheet(baseCurrency), exports.transactions(id), wanted);
  if (kind === 'realised')
    return linesOf(gainSheet(baseCurrency), exports.gains({ portfolioId: id, timeZone, year }), wanted);
  return linesOf(positionSheet(baseCurrency), [assets], wanted);
}

/** One chunk of text per page. */
async function* linesOf<Row>(
  sheet: Sheet<Row>,
  pages: AsyncIterable<readonly Row[]> | Iterable<readonly Row[]>,
  { format, kind }: Wanted,
): AsyncGenerator<string> {
  const { columns } = sheet;
  const isCsv = format === 'csv';
  let before = isCsv ? `${columns.join(',')}\r\n` : `{"kind":"${kind}","data":[`;
  let isFirst = true;
  for await (const page of pages) {
    const lines = page.map((row) => {
      const cells = sheet.cells(row);
      if (isCsv) return csvLine(cells);
      const line = `${isFirst ? '\n' : ',\n'}${jsonRow(columns, cells)}`;
      isFirst = false;
      return line;
    });
    yield before + lines.join('');
    before = '';
  }
  const end = isCsv ? '' : '\n]}\n';
  if (before + end !== '') yield before + end;
}

/** A number stays a number in a spreadsheet; a text never becomes a formula. */
type Cell = { readonly number: string } | { readonly text: string } | { readonly flag: boolean } | null;

/** Rows of one kind of export. */
interface Sheet<Row> {
  readonly columns: readonly string[];
  cells(row: Row): readonly Cell[];
}

const text = (value: string | null): Cell => (value === null ? null : { text: value });
const amount = (value: Amount | null | undefined): Cell =>
  value === null || value === undefined ? null : { number: formatAmount(value) };
const moment = (value: Date | number | null): Cell =>
  value === null ? null : { text: new Date(value).toISOString() };

/** Transactions, in the form that `pricepoolReader` reads. */
function transactionSheet(currency: string): Sheet<StoredTransaction> {
  return {
    columns: exportColumns,
    cells: ({ received, sent, fee, ...transaction }) => [
      text(transaction.id),
      moment(transaction.at),
      text(transaction.type),
      text(received?.asset ?? null),
      amount(received?.quantity),
      text(sent?.asset ?? null),
      amount(sent?.quantity),
      amount(transaction.value),
      text(fee?.asset ?? null),
      // The quantity of a fee in cash is its value.
      amount(fee === null || fee.asset === null ? null : fee.quantity),
      amount(fee?.value),
      text(currency),
      text(transaction.note),
      text(transaction.fingerprint),
    ],
  };
}

/** Realised gains, one row for each lot that a disposal consumed. */
function gainSheet(currency: string): Sheet<RealisedGain> {
  return {
    columns: [
      'disposed_at',
      'acquired_at',
      'asset',
      'quantity',
      'proceeds',
      'cost_basis',
      'gain',
      'currency',
      'rule',
      'provisional',
      'is_fee',
      'transaction_id',
    ],
    cells: (gain) => [
      moment(gain.disposedAt),
      moment(gain.acquiredAt),
      text(gain.assetId),
      amount(gain.quantity),
      amount(gain.proceeds),
      amount(gain.basis),
      amount(gain.proceeds - gain.basis),
      text(currency),
      text(gain.rule),
      { flag: gain.isProvisional },
      { flag: gain.isFee },
      text(gain.transactionId),
    ],
  };
}

/** Positions, including closed ones, because their gains are realised. */
function positionSheet(currency: string): Sheet<Position> {
  return {
    columns: ['asset', 'quantity', 'cost_basis', 'proceeds', 'realised', 'open_lots', 'currency'],
    cells: ({ assetId, quantity, tally, openLots }) => [
      text(assetId),
      amount(quantity),
      amount(tally.acquired - tally.consumed - tally.left),
      amount(tally.proceeds),
      amount(tally.proceeds - tally.consumed),
      { number: String(openLots) },
      text(currency),
    ],
  };
}

/** A line of CSV, including the line end. */
function csvLine(cells: readonly Cell[]): string {
  return `${cells.map(csvCell).join(',')}\r\n`;
}

function csvCell(cell: Cell): string {
  if (cell === null) return '';
  if ('number' in cell) return cell.number;
  if ('flag' in cell) return String(cell.flag);
  const safe = guardedText(cell.text);
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** A row as JSON: numbers are decimal strings. */
function jsonRow(columns: readonly string[], cells: readonly Cell[]): string {
  const valueOf = (cell: Cell): unknown => {
    if (cell === null) return null;
    if ('flag' in cell) return cell.flag;
    return 'number' in cell ? cell.number : cell.text;
  };
  return JSON.stringify(
    Object.fromEntries(columns.map((column, place) => [column, valueOf(cells[place] ?? null)])),
  );
}
