import type { OverdrawnError } from '../ledger/overdrawn-error.ts';
import { compareTransactions, type Transaction } from '../ledger/transaction.ts';
import { ValidationError, type FieldProblem } from '../../../domain/errors.ts';

/** What a request wanted to write, with the prefix of its fields. */
export interface WrittenPart {
  readonly transaction: Transaction;
  readonly prefix: string;
}

/**
 * An overdrawn holding, told with the fields of the request that is to blame: what is refused may be a transaction that was
 * there before, and lacks what the request takes away or takes first.
 * @param otherwise the field to name when nothing that was written takes the asset.
 */
export function overdrawnIn(
  error: OverdrawnError,
  parts: readonly WrittenPart[],
  otherwise: string,
): ValidationError {
  const own = parts.find(({ transaction }) => transaction.id === error.transaction);
  if (own !== undefined) {
    const fields = (error.fields ?? []).map((each) => ({ ...each, field: own.prefix + each.field }));
    return new ValidationError(error.message, fields);
  }
  const message = `${error.message}: a transaction that is there needs it`;
  return new ValidationError(message, [
    {
      field: fieldToBlame(error, parts) ?? otherwise,
      message: 'a later transaction needs what is missing then',
    },
  ] satisfies FieldProblem[]);
}

/** The field of a replaced transaction by which less of an asset comes in, or later. */
export function lackingField(asset: string, before: Transaction, after: Transaction | undefined): string {
  if (after?.received == null) return 'type';
  if (after.received.asset !== asset) return 'received.asset';
  const had = before.received?.quantity ?? 0n;
  return after.received.quantity < had ? 'received.quantity' : 'executed_at';
}

/** The last that takes of the asset. */
function fieldToBlame(error: OverdrawnError, parts: readonly WrittenPart[]): string | undefined {
  const taking = parts
    .flatMap((part) => fieldsTaking(part, error.asset))
    .sort((a, b) => compareTransactions(a.transaction, b.transaction));
  return taking.at(-1)?.field;
}

function fieldsTaking({ transaction, prefix }: WrittenPart, asset: string) {
  const { given, fee } = transaction;
  return [
    ...(given?.asset === asset ? [{ transaction, field: `${prefix}given.quantity` }] : []),
    ...(fee?.asset === asset ? [{ transaction, field: `${prefix}fee.quantity` }] : []),
  ];
}
