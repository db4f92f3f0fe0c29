/**
 * Pricepool's own export of transactions (CSV): everything is stated, and assets are given by id, so that an export of one
 * portfolio can be imported into another without any difference.
 */
import { transactionTypes } from '../../../domain/bookkeeping.ts';
import { checkSign, readNote, readNumber, readSymbol, readTime, RowError, shown } from './cells.ts';
import type { ImportedTransaction, Importer, Money, ReportRules, Row, SymbolAmount } from './importer.ts';

/** The columns of an export, in their order. */
export const exportColumns = [
  'id',
  'executed_at',
  'type',
  'received_asset',
  'received_quantity',
  'sent_asset',
  'sent_quantity',
  'value',
  'fee_asset',
  'fee_quantity',
  'fee_value',
  'currency',
  'note',
  'fingerprint',
] as const;

/** What a spreadsheet may read as a formula, and what looks as if it had been guarded against that. */
const formulaStart = /^'*[=+\-@＝＋－＠\t\r]/;
const guarded = /^'+[=+\-@＝＋－＠\t\r]/;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const longestFingerprint = 100;
/** Longest id of an asset (characters). */
const longestId = 128;

/** A text in the form of an export: with an apostrophe before anything that a spreadsheet may read as a formula. */
export function guardedText(text: string): string {
  return formulaStart.test(text) ? `'${text}` : text;
}

/** Exports of earlier versions have `given` for `sent`. */
const formerColumns = exportColumns.map((column) => column.replace(/^sent_/, 'given_'));

const rulesOf = (sent: 'sent' | 'given'): ReportRules => ({
  columns: {
    type: 'type',
    executed_at: 'executed_at',
    value: 'value',
    'received.asset': 'received_asset',
    'received.quantity': 'received_quantity',
    'sent.asset': `${sent}_asset`,
    'sent.quantity': `${sent}_quantity`,
    'fee.asset': 'fee_asset',
    'fee.quantity': 'fee_quantity',
    'fee.value': 'fee_value',
  },
  read: (row) => transactionOf(row, sent),
  fingerprint([row]) {
    if (row === undefined) return [];
    const [own, id] = [cell(row, 'fingerprint'), cell(row, 'id')];
    if (own.length > longestFingerprint) throw new RowError('fingerprint', 'is too long');
    if (own !== '') return own;
    return id === '' ? row.record.map((each) => each.trim()) : [id];
  },
});

/** Our own export. */
export const pricepool = {
  name: 'pricepool',
  rulesFor(names) {
    if (exportColumns.every((column) => names.includes(column))) return rulesOf('sent');
    return formerColumns.every((column) => names.includes(column)) ? rulesOf('given') : undefined;
  },
} as const satisfies Importer;

type Column = (typeof exportColumns)[number] | 'given_asset' | 'given_quantity';

function cell(row: Row, column: Column): string {
  return row.cell(column);
}

function transactionOf(row: Row, sent: 'sent' | 'given'): ImportedTransaction {
  const type = transactionTypes.find((known) => known === cell(row, 'type'));
  if (type === undefined) throw new RowError('type', `${shown(cell(row, 'type'))} is not known`);
  const id = cell(row, 'id');
  if (id !== '' && !uuid.test(id)) throw new RowError('id', `${shown(id)} is not the id of a transaction`);
  const note = cell(row, 'note');
  const feeQuantity = amountIn(row, 'fee_quantity');
  const feeValue = moneyIn(row, 'fee_value');
  const feeAsset = cell(row, 'fee_asset');
  if (feeAsset !== '') readSymbol(feeAsset, 'fee_asset', longestId);
  return {
    ...(id === '' ? {} : { id }),
    type,
    at: readTime(cell(row, 'executed_at'), 'executed_at'),
    sequence: row.line,
    received: legIn(row, 'received'),
    sent: legIn(row, sent),
    value: moneyIn(row, 'value'),
    fee: feeAsset === '' ? feeValue : { symbol: feeAsset, quantity: feeQuantity ?? '0' },
    feeValue: feeAsset === '' ? null : feeValue,
    note: readNote(guarded.test(note) ? note.slice(1) : note),
  };
}

function legIn(row: Row, side: 'received' | 'sent' | 'given'): SymbolAmount | null {
  const symbol = cell(row, `${side}_asset`);
  const quantity = amountIn(row, `${side}_quantity`);
  if (symbol === '' && quantity === null) return null;
  readSymbol(symbol, `${side}_asset`, longestId);
  if (quantity === null) throw new RowError(`${side}_quantity`, 'is empty');
  return { symbol, quantity };
}

function moneyIn(row: Row, column: 'value' | 'fee_value'): Money | null {
  const amount = amountIn(row, column);
  if (amount === null) return null;
  const currency = cell(row, 'currency').toLowerCase();
  if (!/^[a-z]{2,8}$/.test(currency)) throw new RowError('currency', `${shown(currency)} is not a currency`);
  return { currency, amount };
}

/** No amount in an export is below 0. */
function amountIn(row: Row, column: Column): string | null {
  const text = cell(row, column);
  if (text === '') return null;
  const amount = readNumber(text, column);
  checkSign(amount, column);
  return amount;
}
