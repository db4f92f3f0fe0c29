/** Turns a transaction of a report into one for the books of a portfolio: assets by id, values in its base currency. */
import { v7 as uuidv7 } from 'uuid';
import { formatAmount, parseAmount, type Amount } from '../ledger/amount.ts';
import { checkTransaction, withMarketValues, type TransactionDraft } from '../ledger/check-transaction.ts';
import { RowError, shown } from './cells.ts';
import type { ImportedTransaction, Money, ReportRules, SymbolAmount } from './importer.ts';
import type { RecordedTransaction } from '../ledger/recorded-transaction.ts';
import { ValidationError } from '../../../domain/errors.ts';
import type { ImportPrices } from './import-prices.ts';

/** What building a transaction needs. */
export interface BuildContext {
  /** The asset that a symbol means. */
  readonly idOf: (symbol: string) => string | undefined;
  readonly prices: Pick<ImportPrices, 'worth' | 'converted'>;
  /** Columns of the report's rows. */
  readonly columns: ReportRules['columns'];
  readonly importId: string;
  /** Now (ms since the epoch). */
  readonly now: number;
}

/** Stored amounts have at most 20 digits before the point. */
const minTooLarge = 10n ** 38n;
/** Longest stored note (characters). */
const longestNote = 500;

/**
 * Builds a transaction.
 * @throws {RowError} naming the column: an asset is unknown, a rule is violated, a rate or a price is missing.
 */
export function buildTransaction(
  imported: ImportedTransaction,
  fingerprint: string,
  context: BuildContext,
): RecordedTransaction {
  const { columns, prices, now } = context;
  const { type, at } = imported;
  const draft = {
    id: imported.id ?? uuidv7(),
    type,
    executedAt: new Date(at).toISOString(),
    sequence: imported.sequence,
    received: legOf(imported, 'received', context),
    sent: legOf(imported, 'sent', context),
    value: valueOf(imported.value, { at, column: columnOf(columns, 'value') }, context),
    fee: feeOf(imported, context),
  };
  try {
    const checked = checkTransaction(draft, now);
    const valued = withMarketValues(checked, ({ asset, quantity }, moment) =>
      prices.worth(asset, quantity, moment),
    );
    if (valued.value >= minTooLarge || (valued.fee?.value ?? 0n) >= minTooLarge)
      throw new RowError(columnOf(columns, 'value'), 'has a value that is too large to store');
    return {
      ...valued,
      note: noteOf(imported.note ?? ''),
      isMarketValue: checked.value === null,
      isMarketFee: checked.fee !== null && checked.fee.value === null,
      importId: context.importId,
      fingerprint,
    };
  } catch (error) {
    throw error instanceof ValidationError ? rowErrorOf(error, context) : error;
  }
}

/** Removes what the API refuses in a note; never cuts a surrogate pair in two. */
function noteOf(text: string): string | null {
  const note = text
    .replace(/[\t\n\v\f\r\u0085\u2028\u2029]+/g, ' ')
    .replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, '')
    .trim()
    .slice(0, longestNote)
    .replace(/\p{Cs}/gu, '')
    .trimEnd();
  return note === '' ? null : note;
}

function legOf(
  imported: ImportedTransaction,
  side: 'received' | 'sent',
  { idOf, columns }: BuildContext,
): { asset: string; quantity: string } | null {
  const leg = imported[side];
  if (leg === null) return null;
  const asset = idOf(leg.symbol);
  if (asset === undefined) {
    const [field, elsewhere] = [`${side}.asset`, `${imported.type}.${side}.asset`];
    throw unknownAsset(leg, columns[elsewhere] ?? columnOf(columns, field));
  }
  return { asset, quantity: leg.quantity };
}

function unknownAsset({ symbol }: SymbolAmount, column: string | null): RowError {
  return new RowError(column, `${shown(symbol)} is not a known asset; choose one with "symbols"`);
}

function valueOf(
  money: Money | null,
  { at, column }: { readonly at: number; readonly column: string | null },
  { prices }: BuildContext,
): string | null {
  if (money === null) return null;
  const amount = parseAmount(money.amount);
  if (amount === undefined) throw new RowError(column, `${shown(money.amount)} is not an amount`);
  const converted: Amount | null = prices.converted(amount, money.currency, at);
  if (converted === null) {
    const day = new Date(at).toISOString().slice(0, 10);
    throw new RowError(column, `is in ${money.currency}, and no rate is known for ${day} to convert it`);
  }
  if (converted >= minTooLarge) throw new RowError(column, 'is too large to store');
  return formatAmount(converted);
}

function feeOf(imported: ImportedTransaction, context: BuildContext): TransactionDraft['fee'] {
  const { fee, at } = imported;
  const { columns, idOf } = context;
  if (fee === null) return null;
  if (!('symbol' in fee))
    return { value: valueOf(fee, { at, column: columnOf(columns, 'fee.quantity') }, context) };
  const asset = idOf(fee.symbol);
  if (asset === undefined) throw unknownAsset(fee, columnOf(columns, 'fee.asset'));
  const value = valueOf(imported.feeValue ?? null, { at, column: columnOf(columns, 'fee.value') }, context);
  return { asset, quantity: fee.quantity, value };
}

/** The first violation, by the column of its field. */
function rowErrorOf({ fields = [], message }: ValidationError, { columns }: BuildContext): RowError {
  const [first] = fields;
  if (first === undefined) return new RowError(null, message);
  return new RowError(columnOf(columns, first.field), first.message);
}

/** The column of a field of a transaction; for a whole leg or fee, the column of its quantity. */
function columnOf(columns: ReportRules['columns'], field: string): string | null {
  const other = field === 'fee.value' ? 'fee.quantity' : `${field}.quantity`;
  return columns[field] ?? columns[other] ?? null;
}
