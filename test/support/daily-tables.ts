/**
 * From transactions to the tables that statistics are made of: quantities held at the end of each day, and external flows by
 * day. Sums are exact until they become doubles here.
 */
import { toNumber, type Amount } from '../../src/features/portfolios/ledger/amount.ts';
import type { DayOf } from '../../src/features/portfolios/ledger/days.ts';
import { postingsOf } from '../../src/features/portfolios/ledger/postings.ts';
import {
  compareTransactions,
  type Leg,
  type Transaction,
} from '../../src/features/portfolios/ledger/transaction.ts';

/** A stretch of days. */
export interface DaySpan {
  readonly firstDay: number;
  readonly days: number;
  readonly dayOf: DayOf;
}

/**
 * Quantities of `assets` at the end of each day, asset by asset (`asset * days + day`). What was before the span counts from
 * its first day; what comes after it does not count.
 */
export function dailyQuantities(
  transactions: readonly Transaction[],
  assets: readonly string[],
  { firstDay, days, dayOf }: DaySpan,
): Float64Array {
  const numbers = new Map(assets.map((asset, number) => [asset, number]));
  const changes = assets.map((): Map<number, Amount> => new Map());
  for (const transaction of transactions) {
    const day = Math.max(0, dayOf(transaction.at) - firstDay);
    if (day >= days) continue;
    for (const { asset, kind, quantity } of postingsOf(transaction)) {
      const change = changes[numbers.get(asset) ?? -1];
      const signed = kind === 'acquire' || kind === 'transfer_in' ? quantity : -quantity;
      change?.set(day, (change.get(day) ?? 0n) + signed);
    }
  }
  const table = new Float64Array(assets.length * days);
  changes.forEach((change, number) => {
    let held = 0n;
    for (const [day, by] of [...change].sort(([a], [b]) => a - b)) {
      held += by;
      table.fill(toNumber(held), number * days + day, (number + 1) * days);
    }
  });
  return table;
}

/** External flows by day, in the base currency. */
export interface DailyFlows {
  /** What came in: purchases with their fees, transfers in at market value. */
  readonly inflows: Float64Array;
  /** What went out: sales less their fees, transfers out at market value. */
  readonly outflows: Float64Array;
  /** Ids of transfers in the span that count for nothing, because no price of their day is known. */
  readonly unvalued: readonly string[];
}

/**
 * External flows of each day. Purchases and sales count with their cash, fees in cash included, transfers at market value; a
 * swap is no flow, and a reward is income. A fee in cash of any of these is cash that came in and was spent.
 * @param marketValue worth of a leg on a day; NaN when no price is known.
 */
export function dailyFlows(
  transactions: readonly Transaction[],
  { firstDay, days, dayOf }: DaySpan,
  marketValue: (leg: Leg, day: number) => number,
): DailyFlows {
  const inflows = new Float64Array(days);
  const outflows = new Float64Array(days);
  const unvalued: string[] = [];
  // In the order of the books, so that sums of doubles come out alike however the transactions were kept.
  for (const transaction of [...transactions].sort(compareTransactions)) {
    const day = dayOf(transaction.at) - firstDay;
    if (day < 0 || day >= days) continue;
    const flow = flowOf(transaction, (leg) => marketValue(leg, day + firstDay));
    if (Number.isNaN(flow)) unvalued.push(transaction.id);
    else if (flow > 0) inflows[day] = (inflows[day] ?? 0) + flow;
    else outflows[day] = (outflows[day] ?? 0) - flow;
  }
  return { inflows, outflows, unvalued };
}

/** What a transaction brought in (more than 0) or took out (less than 0). */
function flowOf(
  { type, received, sent, value, fee }: Transaction,
  marketValue: (leg: Leg) => number,
): number {
  const cashFee = fee !== null && fee.asset === null ? fee.value : 0n;
  if (type === 'buy') return toNumber(value + cashFee);
  if (type === 'sell') return toNumber(cashFee - value);
  const moved =
    type === 'transfer_in' && received !== null
      ? marketValue(received)
      : type === 'transfer_out' && sent !== null
        ? -marketValue(sent)
        : 0;
  return moved + toNumber(cashFee);
}
