/**
 * The rules of a transaction, as pure checks of what a client or an import wrote. All violations are reported at once, each
 * with its field. The ledger checks what needs other transactions (a sale beyond the holding).
 */
import { assetIdForm } from '../../../domain/asset-id.ts';
import { transactionTypes, type TransactionType } from '../../../domain/bookkeeping.ts';
import { ValidationError, type FieldProblem } from '../../../domain/errors.ts';
import { parseAmount, type Amount } from './amount.ts';
import { isFiat } from './fiat.ts';
import type { Fee, Leg, Transaction } from './transaction.ts';

/** A transaction as written, before it is checked. */
export interface TransactionDraft {
  readonly id: string;
  readonly type: string;
  /** ISO 8601 with an offset or `Z`. */
  readonly executedAt: string;
  readonly sequence?: number | undefined;
  /** Decimals as text. */
  readonly received?: { readonly asset: string; readonly quantity: string } | null | undefined;
  readonly sent?: TransactionDraft['received'];
  /** In the base currency; absent to use the market value (never for `buy` and `sell`). */
  readonly value?: string | null | undefined;
  /** An asset with its quantity, or cash with its value. */
  readonly fee?:
    | {
        readonly asset?: string | null | undefined;
        readonly quantity?: string | null | undefined;
        readonly value?: string | null | undefined;
      }
    | null
    | undefined;
}

/** A valid transaction whose market values may still be missing. */
export type UnvaluedTransaction = Omit<Transaction, 'value' | 'fee'> & {
  readonly value: Amount | null;
  readonly fee: (Omit<Fee, 'value'> & { readonly value: Amount | null }) | null;
};

/** The day of the first block of Bitcoin: no transaction of any asset is older. */
const earliest = Date.UTC(2009, 0, 3);

const legsOf: Readonly<Record<TransactionType, { readonly received: boolean; readonly sent: boolean }>> = {
  buy: { received: true, sent: false },
  sell: { received: false, sent: true },
  swap: { received: true, sent: true },
  transfer_in: { received: true, sent: false },
  transfer_out: { received: false, sent: true },
  reward: { received: true, sent: false },
  fee: { received: false, sent: true },
};

const moment = /^(\d{4})-(\d{2})-(\d{2})T([01]\d|2[0-3]):\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/;

/**
 * Checks a transaction against the rules that need no other data.
 * @param now time (ms) that no transaction may be later than.
 * @throws {ValidationError} with one problem for each invalid field.
 */
export function checkTransaction(draft: TransactionDraft, now: number): UnvaluedTransaction {
  const problems: FieldProblem[] = [];
  const type = transactionTypes.find((known) => known === draft.type);
  if (type === undefined)
    problems.push({ field: 'type', message: `must be one of ${transactionTypes.join(', ')}` });
  const at = readMoment(draft.executedAt, now, problems);
  const received = readLeg(draft, 'received', problems);
  const sent = readLeg(draft, 'sent', problems);
  const value = readValue(draft, problems);
  const fee = readFee(draft, problems);
  const sequence = draft.sequence ?? 0;
  if (!Number.isSafeInteger(sequence) || sequence < 0) {
    problems.push({ field: 'sequence', message: 'must be a whole number of 0 or more' });
  }
  if (received !== null && received.asset === sent?.asset) {
    problems.push({ field: 'received.asset', message: 'must differ from sent.asset' });
  }
  if (type === undefined || problems.length > 0) throw invalid(problems);
  return { id: draft.id, type, at, sequence, received, sent, value, fee };
}

/**
 * Fills in missing market values.
 * @param marketValue value of a quantity of an asset at a given time, in the base currency; null when no price is known.
 * @throws {ValidationError} naming the fields for which no price is known.
 */
export function withMarketValues(
  transaction: UnvaluedTransaction,
  marketValue: (leg: Leg, at: number) => Amount | null,
): Transaction {
  const { at, fee } = transaction;
  const problems: FieldProblem[] = [];
  const worth = (leg: Leg | null, field: string): Amount => {
    const found = leg === null ? null : marketValue(leg, at);
    if (found === null)
      problems.push({
        field,
        message: `no price of ${leg?.asset ?? 'it'} is known for that day; give the value`,
      });
    return found ?? 0n;
  };
  // For a swap, the asset received is valued, not the one sent: its spread is then part of the loss, not of the basis.
  const value = transaction.value ?? worth(transaction.received ?? transaction.sent, 'value');
  const feeLeg = fee === null || fee.asset === null ? null : { asset: fee.asset, quantity: fee.quantity };
  const valued = fee === null ? null : { ...fee, value: fee.value ?? worth(feeLeg, 'fee.value') };
  if (problems.length > 0) throw invalid(problems);
  return { ...transaction, value, fee: valued };
}

function invalid(problems: readonly FieldProblem[]): ValidationError {
  return new ValidationError('The transaction is not valid', problems);
}

function readMoment(text: string, now: number, problems: FieldProblem[]): number {
  const at = moment.test(text) ? Date.parse(text) : NaN;
  const problem = problemOfMoment(text, at, now);
  if (problem !== undefined) problems.push({ field: 'executed_at', message: problem });
  return at;
}

function problemOfMoment(text: string, at: number, now: number): string | undefined {
  if (Number.isNaN(at) || !isCalendarDay(text)) {
    return 'must be a date and time with an offset, such as 2024-01-31T09:30:00Z';
  }
  if (at < earliest) return 'must not be before 2009-01-03';
  return at > now ? 'must not be in the future' : undefined;
}

/** `Date.parse` reads 30 February as 1 March. */
function isCalendarDay(text: string): boolean {
  const day = text.slice(0, 10);
  const parsed = new Date(`${day}T00:00:00Z`);
  return !Number.isNaN(parsed.getTime()) && parsed.toISOString().startsWith(day);
}

function readLeg(draft: TransactionDraft, name: 'received' | 'sent', problems: FieldProblem[]): Leg | null {
  const leg = draft[name] ?? null;
  const wanted = transactionTypes.some((type) => type === draft.type)
    ? legsOf[draft.type as TransactionType][name]
    : leg !== null;
  if (leg === null) {
    if (wanted) problems.push({ field: name, message: `is required for a ${draft.type}` });
    return null;
  }
  if (!wanted) problems.push({ field: name, message: `is not allowed for a ${draft.type}` });
  checkAsset(leg.asset, `${name}.asset`, problems);
  return { asset: leg.asset, quantity: readPositive(leg.quantity, `${name}.quantity`, problems) };
}

function checkAsset(asset: string, field: string, problems: FieldProblem[]): void {
  if (isFiat(asset)) {
    problems.push({ field, message: `${asset} is a currency: cash is not tracked` });
  } else if (!assetIdForm.test(asset)) {
    problems.push({ field, message: 'must be the id of an asset, such as bitcoin' });
  }
}

function readValue({ type, value }: TransactionDraft, problems: FieldProblem[]): Amount | null {
  if (value !== null && value !== undefined) return readAmount(value, 'value', problems);
  if (type === 'buy' || type === 'sell')
    problems.push({ field: 'value', message: `is required for a ${type}` });
  return null;
}

function readFee({ fee, type }: TransactionDraft, problems: FieldProblem[]): UnvaluedTransaction['fee'] {
  if (fee === null || fee === undefined) return null;
  if (type === 'fee') problems.push({ field: 'fee', message: 'is not allowed for a fee' });
  const value =
    fee.value === null || fee.value === undefined ? null : readAmount(fee.value, 'fee.value', problems);
  if (fee.asset === null || fee.asset === undefined) {
    if (fee.quantity !== null && fee.quantity !== undefined) {
      problems.push({
        field: 'fee.quantity',
        message: 'is not allowed for a fee in cash, which has only a value',
      });
    }
    if (value === null) problems.push({ field: 'fee.value', message: 'is required for a fee in cash' });
    return value === null || value === 0n ? null : { asset: null, quantity: value, value };
  }
  checkAsset(fee.asset, 'fee.asset', problems);
  return { asset: fee.asset, quantity: readPositive(fee.quantity ?? '', 'fee.quantity', problems), value };
}

function readPositive(text: string, field: string, problems: FieldProblem[]): Amount {
  const amount = readAmount(text, field, problems);
  if (amount === 0n && parseAmount(text) === 0n) problems.push({ field, message: 'must be more than zero' });
  return amount;
}

function readAmount(text: string, field: string, problems: FieldProblem[]): Amount {
  const amount = parseAmount(text);
  if (amount === undefined || amount < 0n) {
    problems.push({
      field,
      message: 'must be a plain decimal with at most 20 digits before and 18 after the point',
    });
    return 0n;
  }
  return amount;
}
