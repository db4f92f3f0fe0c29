import type { CostBasisMethod, TransactionType } from '../../../../src/domain/bookkeeping.ts';
import { parseAmount, type Amount } from '../../../../src/features/portfolios/ledger/amount.ts';
import type { LotMatch } from '../../../../src/features/portfolios/ledger/asset-book.ts';
import { createLedger, type Ledger } from '../../../support/ledger.ts';
import type { Fee, Transaction } from '../../../../src/features/portfolios/ledger/transaction.ts';

/** An amount from its text. */
export function amount(text: string | number): Amount {
  const parsed = parseAmount(String(text));
  if (parsed === undefined) throw new Error(`${text} is no amount`);
  return parsed;
}

let made = 0;

interface Given {
  id?: string;
  asset?: string;
  quantity: string | number;
  value?: string | number;
  fee?: Fee;
  sequence?: number;
}

/** A transaction of one leg at a moment such as `2024-01-31` or `2024-01-31T09:00`. */
export function transaction(type: Exclude<TransactionType, 'swap'>, when: string, sent: Given): Transaction {
  made += 1;
  const leg = { asset: sent.asset ?? 'token', quantity: amount(sent.quantity) };
  const comesIn = type === 'buy' || type === 'transfer_in' || type === 'reward';
  return {
    id: sent.id ?? `t${String(made).padStart(6, '0')}`,
    type,
    at: Date.parse(when.includes('T') ? `${when}:00Z` : `${when}T12:00:00Z`),
    sequence: sent.sequence ?? 0,
    received: comesIn ? leg : null,
    sent: comesIn ? null : leg,
    value: amount(sent.value ?? 0),
    fee: sent.fee ?? null,
  };
}

/** A fee in cash. */
export function cash(value: string | number): Fee {
  return { asset: null, quantity: amount(value), value: amount(value) };
}

/** The books of some transactions. */
export function booksOf(method: CostBasisMethod, ...transactions: Transaction[]): Ledger {
  return createLedger({ method }, transactions);
}

/** Gain of consumptions: proceeds less basis. */
export function gainOf(lotMatches: readonly LotMatch[]): Amount {
  return lotMatches
    .filter(({ kind }) => kind === 'disposal')
    .reduce((sum, { proceeds, basis }) => sum + proceeds - basis, 0n);
}
