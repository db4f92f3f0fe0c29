import { isFiat } from '../ledger/fiat.ts';
import { RowError, type ImportedTransaction, type Money, type SymbolAmount } from './imported.ts';

/** What a trade is made of, as the report's rows tell it. */
export interface TradeParts {
  readonly at: number;
  readonly sequence: number;
  readonly received: SymbolAmount;
  readonly given: SymbolAmount;
  readonly fee: SymbolAmount | null;
  readonly note?: string | null;
}

/**
 * A trade: a purchase or sale where one side is cash, a swap where none is. Where both are, only a fee in an asset is a matter
 * of ours; null without one.
 */
export function tradeOf({
  received,
  given,
  fee,
  note = null,
  ...when
}: TradeParts): ImportedTransaction | null {
  const [buysCash, paysCash] = [isFiat(received.symbol), isFiat(given.symbol)];
  if (buysCash && paysCash) return feeAlone({ ...when, fee, note });
  const rest = { ...when, fee: fee === null ? null : feeOf(fee), note };
  if (paysCash) return { ...rest, type: 'buy', received, given: null, value: moneyOf(given) };
  if (buysCash) return { ...rest, type: 'sell', received: null, given, value: moneyOf(received) };
  if (received.symbol === given.symbol) throw new RowError(null, `${given.symbol} was traded for itself`);
  return { ...rest, type: 'swap', received, given, value: null };
}

/** The fee of what is no matter of ours itself: an asset was spent; null when it was cash or there is none. */
export function feeAlone({
  fee,
  ...rest
}: Omit<TradeParts, 'received' | 'given'> & { readonly note: string | null }): ImportedTransaction | null {
  if (fee === null || isFiat(fee.symbol)) return null;
  return { ...rest, type: 'fee', received: null, given: fee, value: null, fee: null };
}

/** A fee as cash where its symbol is money. */
export function feeOf(fee: SymbolAmount): SymbolAmount | Money {
  return isFiat(fee.symbol) ? moneyOf(fee) : fee;
}

function moneyOf({ symbol, quantity }: SymbolAmount): Money {
  return { currency: symbol.toLowerCase(), amount: quantity };
}
