/** Turns what a client wrote into valid transactions with a value; every violation is reported with its field. */
import {
  checkTransaction,
  withMarketValues,
  type TransactionDraft,
  type UnvaluedTransaction,
} from '../ledger/check-transaction.ts';
import type { RecordedTransaction, StoredTransaction } from '../ledger/recorded-transaction.ts';
import type { Leg } from '../ledger/transaction.ts';
import { ValidationError, type FieldProblem } from '../../../domain/errors.ts';
import type { FindMarketValues, MarketValueRequest } from '../valuation/market-values.ts';

/** A transaction as a client writes it. */
export interface WrittenTransaction extends Omit<TransactionDraft, 'id'> {
  readonly note?: string | null | undefined;
}

/** A valid transaction. */
export interface CheckedTransaction {
  readonly content: UnvaluedTransaction;
  readonly note: string | null;
}

const maxProblems = 20;
/** 20 digits before the point. */
const valueLimit = 10n ** 38n;

/**
 * Checks drafts. `prefix` goes before the names of their fields: `transactions[3].` in a list, empty for a single one.
 * @throws {ValidationError} naming the invalid fields, twenty at most.
 */
export function checkDrafts(
  drafts: readonly {
    readonly id: string;
    readonly written: WrittenTransaction;
    readonly prefix: string;
  }[],
  {
    now,
    isAsset,
  }: {
    /** Time (ms) that no transaction may be later than. */
    readonly now: number;
    /** Whether the asset exists; also true when that is unknown. */
    readonly isAsset: (id: string) => boolean;
  },
): CheckedTransaction[] {
  const problems: FieldProblem[] = [];
  const checked = drafts.flatMap(({ id, written, prefix }) => {
    const content = collecting(problems, prefix, () => checkTransaction({ ...written, id }, now));
    if (content === undefined) return [];
    problems.push(...unknownAssets(content, isAsset).map((each) => prefixed(each, prefix)));
    return [{ content, note: written.note ?? null }];
  });
  refuse(problems);
  return checked;
}

/**
 * Gives every transaction its value.
 * @throws {ValidationError} naming the values that were not stated and are not known; {UnavailableError} Postgres does not
 * answer.
 */
export async function valued(
  checked: readonly (CheckedTransaction & { readonly prefix: string })[],
  { currency, findMarketValues }: { readonly currency: string; readonly findMarketValues: FindMarketValues },
): Promise<RecordedTransaction[]> {
  const marketValue = await findMarketValues(
    currency,
    checked.flatMap(({ content }) => marketValueRequestsOf(content)),
  );
  const problems: FieldProblem[] = [];
  const transactions = checked.flatMap(({ content, note, prefix }) => {
    const transaction = collecting(problems, prefix, () => withMarketValues(content, marketValue));
    if (transaction === undefined) return [];
    if (transaction.value >= valueLimit) problems.push(tooLarge(`${prefix}value`));
    if ((transaction.fee?.value ?? 0n) >= valueLimit) problems.push(tooLarge(`${prefix}fee.value`));
    const isMarketFee = content.fee !== null && content.fee.value === null;
    const isMarketValue = content.value === null;
    return [{ ...transaction, note, isMarketValue, isMarketFee, importId: null, fingerprint: null }];
  });
  refuse(problems);
  return transactions;
}

/**
 * Whether a stored transaction has the same content as the client's. A value that was not stated counts as the same, whatever
 * the market price was.
 */
export function saysTheSame({ content, note }: CheckedTransaction, stored: StoredTransaction): boolean {
  const isSameValue = (stated: bigint | null, value: bigint, isMarket: boolean): boolean =>
    stated === null ? isMarket : !isMarket && stated === value;
  const { fee } = content;
  const isSameFee =
    fee === null || stored.fee === null
      ? fee === stored.fee
      : fee.asset === stored.fee.asset &&
        fee.quantity === stored.fee.quantity &&
        isSameValue(fee.value, stored.fee.value, stored.isMarketFee);
  return (
    content.type === stored.type &&
    content.at === stored.at &&
    content.sequence === stored.sequence &&
    note === stored.note &&
    isSameLeg(content.received, stored.received) &&
    isSameLeg(content.sent, stored.sent) &&
    isSameFee &&
    isSameValue(content.value, stored.value, stored.isMarketValue)
  );
}

function isSameLeg(a: Leg | null, b: Leg | null): boolean {
  return a?.asset === b?.asset && a?.quantity === b?.quantity;
}

function marketValueRequestsOf({
  at,
  received,
  sent,
  value,
  fee,
}: UnvaluedTransaction): MarketValueRequest[] {
  const leg = received ?? sent;
  return [
    ...(value === null && leg !== null ? [{ asset: leg.asset, at }] : []),
    ...(fee !== null && fee.value === null && fee.asset !== null ? [{ asset: fee.asset, at }] : []),
  ];
}

function unknownAssets(
  { received, sent, fee }: UnvaluedTransaction,
  isAsset: (id: string) => boolean,
): FieldProblem[] {
  const named = { received: received?.asset, sent: sent?.asset, fee: fee?.asset };
  return Object.entries(named).flatMap(([field, asset]) =>
    asset == null || isAsset(asset)
      ? []
      : [{ field: `${field}.asset`, message: 'is not the id of a known asset' }],
  );
}

/** Runs a check and collects its problems; undefined when it had any. */
function collecting<T>(problems: FieldProblem[], prefix: string, check: () => T): T | undefined {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    problems.push(...(error.fields ?? []).map((each) => prefixed(each, prefix)));
    return undefined;
  }
}

function prefixed({ field, message }: FieldProblem, prefix: string): FieldProblem {
  return { field: prefix + field, message };
}

function tooLarge(field: string): FieldProblem {
  return { field, message: 'has more than 20 digits before the point' };
}

function refuse(problems: readonly FieldProblem[]): void {
  if (problems.length > 0)
    throw new ValidationError('The request is not valid', problems.slice(0, maxProblems));
}
