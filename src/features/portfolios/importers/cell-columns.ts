/** In which column of a report a fact of a transaction stands, so that a problem can name it. */
import type { TransactionType } from '../../../domain/bookkeeping.ts';
import type { ColumnChoice, GenericMapping } from './generic.ts';
import type { FoundFormat } from './read-report.ts';

/** Names of columns; null where nothing is known of one. */
export interface CellColumns {
  readonly time: string | null;
  readonly value: string | null;
  readonly feeAsset: string | null;
  readonly feeQuantity: string | null;
  readonly feeValue: string | null;
  asset(type: TransactionType, side: 'received' | 'given'): string | null;
  /** By a field of a transaction, such as `received.quantity`. */
  byField(field: string): string | null;
}

type Fixed = Pick<CellColumns, 'time' | 'value' | 'feeAsset' | 'feeQuantity' | 'feeValue'> & {
  readonly type: string | null;
  readonly received: Leg;
  readonly given: Leg;
};
interface Leg {
  readonly asset: string | null;
  readonly quantity: string | null;
}

const exchanges: Readonly<Record<Exclude<FoundFormat, 'generic' | 'coinbase'>, Fixed>> = {
  binance: {
    type: 'Operation',
    time: 'UTC_Time',
    value: 'Change',
    feeAsset: 'Coin',
    feeQuantity: 'Change',
    feeValue: null,
    received: { asset: 'Coin', quantity: 'Change' },
    given: { asset: 'Coin', quantity: 'Change' },
  },
  kraken: {
    type: 'type',
    time: 'time',
    value: 'amount',
    feeAsset: 'asset',
    feeQuantity: 'fee',
    feeValue: null,
    received: { asset: 'asset', quantity: 'amount' },
    given: { asset: 'asset', quantity: 'amount' },
  },
  pricepool: {
    type: 'type',
    time: 'executed_at',
    value: 'value',
    feeAsset: 'fee_asset',
    feeQuantity: 'fee_quantity',
    feeValue: 'fee_value',
    received: { asset: 'received_asset', quantity: 'received_quantity' },
    given: { asset: 'given_asset', quantity: 'given_quantity' },
  },
};

/** The columns of a file by its format, its header, and of a generic one its mapping. */
export function cellColumns(
  format: FoundFormat,
  header: readonly string[],
  mapping: GenericMapping | null,
): CellColumns {
  return toColumns(fixedOf(format, header, mapping), format);
}

function fixedOf(format: FoundFormat, header: readonly string[], mapping: GenericMapping | null): Fixed {
  const names = header.map((name) => name.trim());
  if (format === 'coinbase') return coinbaseOf(names);
  return format === 'generic' ? genericOf(names, mapping) : exchanges[format];
}

/** Old reports have the currency in the names. */
function coinbaseOf(names: readonly string[]): Fixed {
  const named = (part: string): string => names.find((name) => name.includes(part)) ?? part;
  const leg = { asset: 'Asset', quantity: 'Quantity Transacted' };
  return {
    type: 'Transaction Type',
    time: 'Timestamp',
    value: named('Subtotal'),
    feeAsset: named('Fees'),
    feeQuantity: named('Fees'),
    feeValue: named('Fees'),
    received: leg,
    given: leg,
  };
}

function genericOf(names: readonly string[], mapping: GenericMapping | null): Fixed {
  const columns = mapping?.columns;
  const name = (choice: ColumnChoice | undefined): string | null => {
    if (choice === undefined) return null;
    return typeof choice === 'number' ? (names[choice - 1] ?? null) : choice;
  };
  return {
    type: name(columns?.type),
    time: name(columns?.time),
    value: name(columns?.value),
    feeAsset: name(columns?.feeSymbol),
    feeQuantity: name(columns?.feeQuantity),
    feeValue: null,
    received: { asset: name(columns?.receivedSymbol), quantity: name(columns?.receivedQuantity) },
    given: { asset: name(columns?.givenSymbol), quantity: name(columns?.givenQuantity) },
  };
}

function toColumns(fixed: Fixed, format: FoundFormat): CellColumns {
  const byField: Readonly<Record<string, string | null>> = {
    type: fixed.type,
    executed_at: fixed.time,
    received: fixed.received.quantity,
    'received.asset': fixed.received.asset,
    'received.quantity': fixed.received.quantity,
    given: fixed.given.quantity,
    'given.asset': fixed.given.asset,
    'given.quantity': fixed.given.quantity,
    value: fixed.value,
    fee: fixed.feeQuantity,
    'fee.asset': fixed.feeAsset,
    'fee.quantity': fixed.feeQuantity,
    'fee.value': fixed.feeValue ?? fixed.feeQuantity,
  };
  return {
    ...fixed,
    asset: (type, side) => {
      // What something was converted to stands in the notes of a Coinbase report only.
      if (format === 'coinbase' && type === 'swap' && side === 'received') return 'Notes';
      return fixed[side].asset;
    },
    byField: (field) => byField[field] ?? null,
  };
}
