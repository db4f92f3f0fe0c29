/**
 * Coinbase's transaction report ("Generate report", CSV), from its first form (currency in the column names) to the present one
 * (an ID, currency signs before amounts). The caller skips lines of text before the header.
 */
import { isFiat } from '../ledger/fiat.ts';
import {
  checkSign,
  magnitude,
  readNote,
  readNumber,
  readOptionalNumber,
  readSymbol,
  readTime,
  RowError,
  shown,
} from './cells.ts';
import type { ImportedTransaction, Importer, Money, ReportRules, Row, SymbolAmount } from './importer.ts';

interface Columns {
  /** Null in the first form, where it is part of the column names. */
  readonly currency: string | null;
  readonly fixedCurrency: string;
  readonly subtotal: string;
  readonly total: string;
  readonly fees: string;
}

const common = ['Timestamp', 'Transaction Type', 'Asset', 'Quantity Transacted'];

/** The columns of a header, or undefined when it is not Coinbase's. */
function columnsOf(names: readonly string[]): Columns | undefined {
  if (!common.every((name) => names.includes(name))) return undefined;
  const find = (pattern: RegExp): string | undefined => names.find((name) => pattern.test(name));
  const subtotal = find(/^([A-Z]{3} )?Subtotal$/);
  const total = find(/^([A-Z]{3} )?Total( \(inclusive of fees( and\/or spread)?\))?$/);
  const fees = find(/^([A-Z]{3} )?Fees( and\/or Spread)?$/);
  const currency = find(/^(Spot )?Price Currency$/) ?? null;
  const fixedCurrency = /^[A-Z]{3}(?= )/.exec(subtotal ?? '')?.[0] ?? '';
  if (subtotal === undefined || total === undefined || fees === undefined) return undefined;
  return currency === null && fixedCurrency === ''
    ? undefined
    : { currency, fixedCurrency, subtotal, total, fees };
}

const rewards = new Set([
  'Coinbase Earn',
  'Inflation Reward',
  'Interest payout',
  'Learning Reward',
  'Reward Income',
  'Rewards Income',
  'Staking Income',
  'Subscription Rebate',
  'Subscription Rebates (24 Hours)',
]);
const transfersOut = new Set(['Send', 'Pro Deposit', 'Exchange Deposit']);
const transfersIn = new Set(['Receive', 'Pro Withdrawal', 'Exchange Withdrawal']);
const purchases = new Set(['Buy', 'Advanced Trade Buy', 'Advance Trade Buy']);
const sales = new Set(['Sell', 'Advanced Trade Sell', 'Advance Trade Sell']);
/** Always against cash, so that an old report without notes can be read. */
const notesMayLack = new Set(['Buy', 'Sell']);
const ownMoves = new Set([
  'Cash to Savings',
  'Retail Eth2 Deprecation',
  'Retail Staking Transfer',
  'Retail Unstaking Transfer',
  'Vault Withdrawal',
]);

const amountPattern = String.raw`(\d[\d,]*(?:\.\d+)?)`;
const symbolPattern = '([A-Za-z0-9]+)';
const converted = new RegExp(
  `^Converted ${amountPattern} ${symbolPattern} to ${amountPattern} ${symbolPattern}$`,
);
const traded = new RegExp(
  `^(?:Bought|Sold) ${amountPattern} ${symbolPattern} for [€$£]?${amountPattern} ${symbolPattern}\\b`,
);
const notesStyle = { decimal: '.', thousands: ',' } as const;

/** Coinbase's name for staked ether, which is the same asset as ether. */
function symbolOf(asset: string): string {
  return asset === 'ETH2' ? 'ETH' : asset;
}

function rulesOf(columns: Columns): ReportRules {
  return {
    columns: {
      type: 'Transaction Type',
      executed_at: 'Timestamp',
      value: columns.subtotal,
      'received.asset': 'Asset',
      'received.quantity': 'Quantity Transacted',
      'sent.asset': 'Asset',
      'sent.quantity': 'Quantity Transacted',
      'fee.asset': columns.fees,
      'fee.quantity': columns.fees,
      // The asset that something was converted to.
      'swap.received.asset': 'Notes',
    },
    read: (row) => transactionOf(row, columns),
    fingerprint: (rows) =>
      rows.flatMap((row) => {
        const key = ['ID', ...common].map((column) => row.cell(column));
        // Without an ID, two rows of the same time are distinguished by what was paid.
        return row.cell('ID') === '' ? [...key, row.cell(columns.total)] : key;
      }),
    cancels: (row, next) => (isRenaming(row, next) ? 'ETH2 became ETH: nothing changed hands' : undefined),
  };
}

/** Coinbase's report. */
export const coinbase = {
  name: 'coinbase',
  rulesFor(names) {
    const columns = columnsOf(names);
    return columns && rulesOf(columns);
  },
} as const satisfies Importer;

/** Whether a transfer and the row after it are the two halves of ETH2 becoming ETH. */
function isRenaming(a: Row, b: Row): boolean {
  const assets = [a.cell('Asset'), b.cell('Asset')];
  const kind = a.cell('Transaction Type');
  return (
    assets.includes('ETH2') &&
    assets.includes('ETH') &&
    (transfersIn.has(kind) || transfersOut.has(kind)) &&
    a.cell('Timestamp') === b.cell('Timestamp') &&
    kind !== b.cell('Transaction Type') &&
    quantityOf(a).quantity === quantityOf(b).quantity
  );
}

/** The transaction of a row, or why it is skipped. */
function transactionOf(row: Row, columns: Columns): ImportedTransaction | string | null {
  const kind = row.cell('Transaction Type');
  const at = readTime(row.cell('Timestamp'), 'Timestamp');
  const own = quantityOf(row);
  if (ownMoves.has(kind)) return `${kind} moves nothing in or out`;
  if (isFiat(own.symbol)) return null;
  const goesOut = transfersOut.has(kind) || sales.has(kind) || kind === 'Convert';
  if (!goesOut && !rewards.has(kind) && !transfersIn.has(kind) && !purchases.has(kind))
    throw new RowError('Transaction Type', `${shown(kind)} is not known`);
  checkSigns(row, columns, goesOut);
  const base = { at, sequence: row.line, fee: null, note: readNote(row.cell('Notes')) };
  const worth = moneyIn(row, columns, columns.total);
  if (rewards.has(kind)) return { ...base, type: 'reward', received: own, sent: null, value: worth };
  if (transfersIn.has(kind)) return { ...base, type: 'transfer_in', received: own, sent: null, value: worth };
  if (transfersOut.has(kind))
    return { ...base, type: 'transfer_out', received: null, sent: own, value: worth };
  if (kind === 'Convert')
    return conversion(row, own, { ...base, value: moneyIn(row, columns, columns.subtotal) });
  return trade(row, columns, { own, ...base });
}

/**
 * Current reports write outgoing quantities with a minus, and for some kinds the value as well; nothing else has one.
 * @throws {RowError} naming the column.
 */
function checkSigns(row: Row, { subtotal, total, fees }: Columns, goesOut: boolean): void {
  const hasMinus = readNumber(row.cell('Quantity Transacted'), 'Quantity Transacted').startsWith('-');
  const unsigned = goesOut && hasMinus ? [fees] : ['Quantity Transacted', subtotal, total, fees];
  for (const column of unsigned) checkSign(readOptionalNumber(row.cell(column), column) ?? '', column);
}

function trade(
  row: Row,
  columns: Columns,
  { own, ...base }: Pick<ImportedTransaction, 'at' | 'sequence' | 'note'> & { own: SymbolAmount },
): ImportedTransaction {
  const kind = row.cell('Transaction Type');
  const value = moneyIn(row, columns, columns.subtotal);
  const fee = moneyIn(row, columns, columns.fees);
  const other = counterpart(row, own);
  const isPurchase = purchases.has(kind);
  const paid = fee === null || fee.amount === '0' ? null : fee;
  if (other !== null) {
    const [received, sent] = isPurchase ? [own, other] : [other, own];
    return { ...base, type: 'swap', received, sent, value, fee: paid };
  }
  if (value === null) throw new RowError(columns.subtotal, 'is empty');
  return isPurchase
    ? { ...base, type: 'buy', received: own, sent: null, value, fee: paid }
    : { ...base, type: 'sell', received: null, sent: own, value, fee: paid };
}

/** The other side of a trade that is not against cash. Only the notes have it. */
function counterpart(row: Row, own: SymbolAmount): SymbolAmount | null {
  const note = row.cell('Notes');
  const [, quantity, symbol, otherQuantity = '', otherSymbol = ''] = traded.exec(note) ?? [];
  if (quantity === undefined) {
    if (!notesMayLack.has(row.cell('Transaction Type')))
      throw new RowError('Notes', 'do not say what was traded for what');
    return null;
  }
  checkNote(own, quantity, symbol);
  if (isFiat(otherSymbol)) return null;
  return {
    symbol: symbolOf(readSymbol(otherSymbol, 'Notes')),
    quantity: readNumber(otherQuantity, 'Notes', notesStyle),
  };
}

function conversion(
  row: Row,
  own: SymbolAmount,
  base: Pick<ImportedTransaction, 'at' | 'sequence' | 'note'> & Pick<ImportedTransaction, 'fee' | 'value'>,
): ImportedTransaction | string {
  const [, quantity, symbol, gotQuantity = '', gotSymbol = ''] = converted.exec(row.cell('Notes')) ?? [];
  if (quantity === undefined) throw new RowError('Notes', 'do not say what was converted to what');
  checkNote(own, quantity, symbol);
  const quantityGot = readNumber(gotQuantity, 'Notes', notesStyle);
  const received = { symbol: symbolOf(readSymbol(gotSymbol, 'Notes')), quantity: quantityGot };
  if (received.symbol !== own.symbol) return { ...base, type: 'swap', received, sent: own };
  if (received.quantity === own.quantity) return 'ETH became ETH2: nothing changed hands';
  throw new RowError('Notes', `${own.symbol} was converted to another quantity of itself`);
}

/** Checks that the columns and the notes of a row agree. */
function checkNote(own: SymbolAmount, quantity: string, symbol = ''): void {
  if (symbolOf(symbol) !== own.symbol || readNumber(quantity, 'Notes', notesStyle) !== own.quantity) {
    throw new RowError('Notes', 'do not match Asset and Quantity Transacted');
  }
}

function quantityOf(row: Row): SymbolAmount {
  const asset = readSymbol(row.cell('Asset'), 'Asset');
  const quantity = magnitude(readNumber(row.cell('Quantity Transacted'), 'Quantity Transacted'));
  if (quantity === '0') throw new RowError('Quantity Transacted', 'must not be 0');
  return { symbol: symbolOf(asset), quantity };
}

function moneyIn(row: Row, { currency, fixedCurrency }: Columns, column: string): Money | null {
  const amount = readOptionalNumber(row.cell(column), column);
  if (amount === null) return null;
  const name = currency === null ? fixedCurrency : row.cell(currency);
  if (!isFiat(name)) throw new RowError(currency, `${shown(name)} is not a currency`);
  return { currency: name.toLowerCase(), amount: magnitude(amount) };
}
