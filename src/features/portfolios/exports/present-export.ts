/** Exports as rows of named cells, and rows as lines of CSV or JSON. */
import { exportColumns, guardedText } from '../importers/pricepool.ts';
import { formatAmount, type Amount } from '../ledger/amount.ts';
import type { StoredTransaction } from '../ledger/recorded-transaction.ts';
import type { RealisedGain } from '../queries/exports.ts';
import type { Position } from '../book-reader.ts';

/** A number stays one in a spreadsheet; a text never becomes a formula. */
export type Cell =
  { readonly number: string } | { readonly text: string } | { readonly flag: boolean } | null;

/** Rows of one kind of export. */
export interface Sheet<Row> {
  readonly columns: readonly string[];
  cells(row: Row): readonly Cell[];
}

const text = (value: string | null): Cell => (value === null ? null : { text: value });
const amount = (value: Amount | null | undefined): Cell =>
  value === null || value === undefined ? null : { number: formatAmount(value) };
const moment = (value: Date | number | null): Cell =>
  value === null ? null : { text: new Date(value).toISOString() };

/** Transactions, as the importer `pricepool` reads them. */
export function transactionSheet(currency: string): Sheet<StoredTransaction> {
  return {
    columns: exportColumns,
    cells: ({ received, given, fee, ...transaction }) => [
      text(transaction.id),
      moment(transaction.at),
      text(transaction.type),
      text(received?.asset ?? null),
      amount(received?.quantity),
      text(given?.asset ?? null),
      amount(given?.quantity),
      amount(transaction.value),
      text(fee?.asset ?? null),
      // Of a fee in cash the quantity is its value.
      amount(fee === null || fee.asset === null ? null : fee.quantity),
      amount(fee?.value),
      text(currency),
      text(transaction.note),
      text(transaction.fingerprint),
    ],
  };
}

/** Realised gains, one row for each lot that a disposal consumed. */
export function gainSheet(currency: string): Sheet<RealisedGain> {
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

/** Positions, those that are given away included: their gains are realised. */
export function positionSheet(currency: string): Sheet<Position> {
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

/** A line of CSV, with its end. */
export function csvLine(cells: readonly Cell[]): string {
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
export function jsonRow(columns: readonly string[], cells: readonly Cell[]): string {
  const valueOf = (cell: Cell): unknown => {
    if (cell === null) return null;
    if ('flag' in cell) return cell.flag;
    return 'number' in cell ? cell.number : cell.text;
  };
  return JSON.stringify(
    Object.fromEntries(columns.map((column, place) => [column, valueOf(cells[place] ?? null)])),
  );
}
