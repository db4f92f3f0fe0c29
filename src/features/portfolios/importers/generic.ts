/**
 * Any CSV with one transaction per row, with a mapping of its columns. Nothing is guessed: the format of numbers is part of the
 * mapping, and type words that it does not contain are refused.
 */
import { transactionTypes, type TransactionType } from '../../../domain/bookkeeping.ts';
import { ValidationError, type FieldProblem } from '../../../domain/errors.ts';
import { isFiat } from '../ledger/fiat.ts';
import {
  checkSign,
  magnitude,
  plainStyle,
  readNote,
  readOptionalNumber,
  readSymbol,
  readTime,
  RowError,
  shown,
  type NumberStyle,
} from './cells.ts';
import {
  checkHeader,
  createReader,
  feeAlone,
  feeOf,
  tradeOf,
  type ImportedTransaction,
  type Money,
  type ReportReader,
  type SymbolAmount,
} from './importer.ts';

/** A column by its name, or by its number (the first is 1) where names repeat. */
export type ColumnChoice = string | number;

/** Which column holds what. */
export interface GenericMapping {
  readonly columns: {
    readonly time: ColumnChoice;
    readonly type: ColumnChoice;
    readonly receivedSymbol?: ColumnChoice | undefined;
    readonly receivedQuantity?: ColumnChoice | undefined;
    readonly sentSymbol?: ColumnChoice | undefined;
    readonly sentQuantity?: ColumnChoice | undefined;
    readonly feeSymbol?: ColumnChoice | undefined;
    readonly feeQuantity?: ColumnChoice | undefined;
    readonly value?: ColumnChoice | undefined;
    readonly valueCurrency?: ColumnChoice | undefined;
    readonly note?: ColumnChoice | undefined;
    /** The column that identifies a row permanently; without it, all cells together do. */
    readonly id?: ColumnChoice | undefined;
  };
  /** Words of the type column and their meaning; `trade` is a purchase, sale or swap, depending on its legs. */
  readonly types: Readonly<Record<string, TransactionType | 'trade'>>;
  /** Absent: `1234.56`. */
  readonly numbers?: NumberStyle | undefined;
}

/** Reads a stored mapping. Those of earlier versions have `given…` for `sent…`. */
export function readMapping(json: string): GenericMapping {
  const { columns, ...rest } = JSON.parse(json) as GenericMapping;
  const { givenSymbol, givenQuantity, ...known } = columns as typeof columns &
    Record<'givenSymbol' | 'givenQuantity', ColumnChoice | undefined>;
  const { sentSymbol = givenSymbol, sentQuantity = givenQuantity } = known;
  return { ...rest, columns: { ...known, sentSymbol, sentQuantity } };
}

type ColumnName = keyof GenericMapping['columns'];
/** Text of the cell that a column is mapped to, with its name for messages; empty when it is not mapped. */
type Cells = (column: ColumnName) => { readonly text: string; readonly name: string };

/**
 * A reader of rows under a header by a mapping.
 * @throws {ValidationError} when the mapping names columns that the header does not have or has twice, or unknown types; or
 * when the header itself cannot be read.
 */
export function genericReader(header: readonly string[], mapping: GenericMapping): ReportReader {
  checkHeader(header);
  const places = placesOf(header, mapping);
  const nameOf = (column: ColumnName): string | undefined => {
    const place = places.get(column);
    return place === undefined ? undefined : (header[place] ?? '').trim();
  };
  const cellsOf =
    (record: readonly string[]): Cells =>
    (column) => ({
      text: (record[places.get(column) ?? -1] ?? '').trim(),
      name: nameOf(column) ?? column,
    });
  return createReader('generic', header, {
    columns: {
      type: nameOf('type'),
      executed_at: nameOf('time'),
      value: nameOf('value'),
      'received.asset': nameOf('receivedSymbol'),
      'received.quantity': nameOf('receivedQuantity'),
      'sent.asset': nameOf('sentSymbol'),
      'sent.quantity': nameOf('sentQuantity'),
      'fee.asset': nameOf('feeSymbol'),
      'fee.quantity': nameOf('feeQuantity'),
    },
    read: ({ record, line }) => transactionOf(cellsOf(record), mapping, line),
    fingerprint: (rows) =>
      rows.flatMap(({ record }) => {
        const id = cellsOf(record)('id').text;
        return id === '' ? record.map((cell) => cell.trim()) : [id];
      }),
  });
}

function placesOf(header: readonly string[], { columns, types }: GenericMapping): Map<ColumnName, number> {
  const names = header.map((name) => name.trim());
  const problems: FieldProblem[] = [];
  const places = new Map<ColumnName, number>();
  for (const [column, choice] of Object.entries(columns) as [ColumnName, ColumnChoice | undefined][]) {
    if (choice === undefined) continue;
    const place = typeof choice === 'number' ? choice - 1 : names.indexOf(choice);
    const isTwice = typeof choice === 'string' && names.lastIndexOf(choice) !== place;
    if (names[place] === undefined)
      problems.push({ field: `columns.${column}`, message: 'is not in the header' });
    else if (isTwice)
      problems.push({
        field: `columns.${column}`,
        message: 'is in the header twice; give the number of the column',
      });
    else places.set(column, place);
  }
  for (const [word, type] of Object.entries(types)) {
    const isKnown = type === 'trade' || transactionTypes.includes(type);
    if (!isKnown)
      problems.push({ field: `types.${word}`, message: `must be trade, ${transactionTypes.join(', ')}` });
  }
  if (problems.length > 0) throw new ValidationError('The mapping does not match the file', problems);
  return places;
}

function transactionOf(cells: Cells, mapping: GenericMapping, line: number): ImportedTransaction | null {
  const word = cells('type');
  const type = Object.hasOwn(mapping.types, word.text) ? mapping.types[word.text] : undefined;
  if (type === undefined)
    throw new RowError(word.name, `${shown(word.text)} is not among the types of the mapping`);
  const style = mapping.numbers ?? plainStyle;
  const at = readTime(cells('time').text, cells('time').name);
  const received = legIn(cells, ['receivedSymbol', 'receivedQuantity'], style);
  const sent = legIn(cells, ['sentSymbol', 'sentQuantity'], style);
  const fee = legIn(cells, ['feeSymbol', 'feeQuantity'], style);
  const note = readNote(cells('note').text);
  const when = { at, sequence: line, note };
  if (type === 'trade' || (received !== null && sent !== null)) {
    if (received === null || sent === null)
      throw new RowError(null, 'a trade needs what was received and what was sent');
    return checked(tradeOf({ ...when, received, sent, fee }), type, word.name);
  }
  const only = received ?? sent;
  if (only !== null && isFiat(only.symbol)) return feeAlone({ ...when, fee });
  const value = moneyIn(cells, style);
  return { ...when, type, received, sent, value, fee: fee === null ? null : feeOf(fee) };
}

/** Refuses a row with two legs whose type does not match them; a row with only a fee becomes a fee. */
function checked(
  transaction: ImportedTransaction | null,
  type: TransactionType | 'trade',
  column: string,
): ImportedTransaction | null {
  if (transaction === null || type === 'trade' || transaction.type === type) return transaction;
  if (transaction.type === 'fee') return transaction;
  throw new RowError(column, `says ${type}, but its legs are those of a ${transaction.type}`);
}

function legIn(
  cells: Cells,
  [symbolColumn, quantityColumn]: readonly [ColumnName, ColumnName],
  style: NumberStyle,
): SymbolAmount | null {
  const [symbol, quantity] = [cells(symbolColumn), cells(quantityColumn)];
  const number = readOptionalNumber(quantity.text, quantity.name, style);
  if (number === null || number === '0') return null;
  // Some files write outgoing quantities with a minus; elsewhere its meaning is unknown.
  if (quantityColumn !== 'sentQuantity') checkSign(number, quantity.name);
  return { symbol: readSymbol(symbol.text, symbol.name), quantity: magnitude(number) };
}

function moneyIn(cells: Cells, style: NumberStyle): Money | null {
  const [value, currency] = [cells('value'), cells('valueCurrency')];
  const amount = readOptionalNumber(value.text, value.name, style);
  if (amount === null) return null;
  checkSign(amount, value.name);
  if (!isFiat(currency.text)) throw new RowError(currency.name, `${shown(currency.text)} is not a currency`);
  return { currency: currency.text.toLowerCase(), amount };
}
