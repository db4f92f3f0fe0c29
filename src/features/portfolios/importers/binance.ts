/**
 * Binance's transaction history statement (CSV): one row for each change of a balance. Only the time connects the rows of a
 * trade; so what is bought, sold and paid in fees in the same second in one account is one trade if only one coin came in and
 * one went out, and is refused otherwise, because the rows cannot be paired.
 */
import { formatAmount, parseAmount } from '../ledger/amount.ts';
import { isFiat } from '../ledger/fiat.ts';
import { magnitude, readNote, readNumber, readSymbol, readTime, RowError, shown } from './cells.ts';
import {
  feeAlone,
  tradeOf,
  type ImportedTransaction,
  type Importer,
  type ReportRules,
  type Row,
  type SymbolAmount,
} from './importer.ts';

const columns = ['UTC_Time', 'Account', 'Operation', 'Coin', 'Change'];
/** The fields that identify a row: two accounts may do the same in the same second. */
const naming = ['User_ID', ...columns];

const fees = new Set(['Fee', 'Transaction Fee']);
const fills = new Set([
  'Buy',
  'Sell',
  'Transaction Buy',
  'Transaction Related',
  'Transaction Revenue',
  'Transaction Sold',
  'Transaction Spend',
  ...fees,
]);
const conversions = new Set([
  'Binance Convert',
  'ETH 2.0 Staking',
  'Large OTC trading',
  'Small Assets Exchange BNB',
  'Small assets exchange BNB',
  'Stablecoins Auto-Conversion',
]);
const rewards = new Set([
  'Airdrop Assets',
  'BNB Vault Rewards',
  'Campaign Related Reward',
  'Cash Voucher distribution',
  'Commission Fee Shared With You',
  'Commission History',
  'Commission Rebate',
  'DOT Slot Auction Rewards',
  'Distribution',
  'ETH 2.0 Staking Rewards',
  'Launchpool Earnings Withdrawal',
  'Launchpool Interest',
  'Liquid Swap rewards',
  'POS savings interest',
  'Pool Distribution',
  'Referral Commission',
  'Referral Kickback',
  'Referrer rebates',
  'Savings Distribution',
  'Savings Interest',
  'Savings distribution',
  'Simple Earn Flexible Airdrop',
  'Simple Earn Flexible Interest',
  'Simple Earn Locked Rewards',
  'Staking Rewards',
  'Super BNB Mining',
  'Swap Farming Rewards',
]);
const ownMoves = new Set([
  'Launchpool Subscription/Redemption',
  'POS savings purchase',
  'POS savings redemption',
  'Savings Principal redemption',
  'Savings purchase',
  'Simple Earn Flexible Redemption',
  'Simple Earn Flexible Subscription',
  'Simple Earn Locked Redemption',
  'Simple Earn Locked Subscription',
  'Staking Purchase',
  'Staking Redemption',
  'Transfer Between Main and Funding Wallet',
  'Transfer Between Main Account/Futures and Margin Account',
  'Transfer Between Spot Account and CM Futures Account',
  'Transfer Between Spot Account and UM Futures Account',
  'transfer_in',
  'transfer_out',
]);
const accounts = new Set(['spot', 'earn', 'funding', 'pool', 'savings']);

const rules: ReportRules = {
  columns: {
    type: 'Operation',
    executed_at: 'UTC_Time',
    value: 'Change',
    'received.asset': 'Coin',
    'received.quantity': 'Change',
    'sent.asset': 'Coin',
    'sent.quantity': 'Change',
    'fee.asset': 'Coin',
    'fee.quantity': 'Change',
  },
  read(row) {
    const [account, operation] = [row.cell('Account'), row.cell('Operation')];
    if (!accounts.has(account.toLowerCase()))
      throw new RowError('Account', `${shown(account)} is not supported`);
    const at = readTime(row.cell('UTC_Time'), 'UTC_Time');
    const kind = fills.has(operation) ? 'fill' : conversions.has(operation) ? operation : undefined;
    return kind === undefined
      ? single(row, at)
      : { key: `${at}|${row.cell('User_ID')}|${account}|${kind}`, at, join: tradeIn };
  },
  fingerprint: (rows) => rows.map((row) => JSON.stringify(naming.map((column) => row.cell(column)))).sort(),
};

/** Binance's statement. */
export const binance = {
  name: 'binance',
  rulesFor: (names) => (columns.every((column) => names.includes(column)) ? rules : undefined),
} as const satisfies Importer;

/** The transaction of a single row, or why it is skipped. */
function single(row: Row, at: number): ImportedTransaction | string | null {
  const operation = row.cell('Operation');
  if (ownMoves.has(operation)) return 'moves between your own accounts';
  const { symbol, change } = changeIn(row);
  if (isFiat(symbol)) return null;
  const leg = { symbol, quantity: magnitude(change) };
  const comesIn = !change.startsWith('-');
  const base = { at, sequence: row.line, value: null, fee: null, note: readNote(row.cell('Remark')) };
  if (rewards.has(operation) && comesIn) return { ...base, type: 'reward', received: leg, sent: null };
  if (operation === 'Deposit' && comesIn) return { ...base, type: 'transfer_in', received: leg, sent: null };
  if ((operation === 'Withdraw' || operation === 'Send') && !comesIn) {
    return { ...base, type: 'transfer_out', received: null, sent: leg };
  }
  throw new RowError('Operation', `${shown(operation)} of ${shown(row.cell('Change'))} is not known`);
}

/** The trade that the rows of the same time form, or why they are skipped; null when only cash changed hands. */
function tradeIn(rows: readonly Row[], at: number): ImportedTransaction | string | null {
  if (isRenaming(rows)) return 'ETH and ETH2 are the same asset: nothing changed hands';
  const isFee = (row: Row): boolean => fees.has(row.cell('Operation'));
  const legs = sums(rows.filter((row) => !isFee(row)));
  const paid = sums(rows.filter(isFee));
  const [fee] = paid;
  if (paid.length > 1 || fee?.comesIn === true)
    throw new RowError('Coin', 'has more than one fee at the same time');
  const sequence = rows[0]?.line ?? 0;
  if (legs.length === 0 && fee !== undefined) return feeAlone({ at, sequence, fee: legOf(fee), note: null });
  const [a, b, ...more] = legs;
  if (a === undefined || b === undefined || more.length > 0 || a.comesIn === b.comesIn) {
    throw new RowError('Operation', 'has the same time as rows that do not form one trade of two coins');
  }
  const [received, sent] = a.comesIn ? [a, b] : [b, a];
  return tradeOf({
    at,
    sequence,
    received: legOf(received),
    sent: legOf(sent),
    fee: fee === undefined ? null : legOf(fee),
  });
}

/** Whether rows are the two sides of ETH becoming ETH2, or the reverse, and nothing else. */
function isRenaming(rows: readonly Row[]): boolean {
  const coins = new Set(rows.map((row) => row.cell('Coin').toUpperCase()));
  if (coins.size !== 2 || !coins.has('ETH') || !coins.has('ETH2')) return false;
  return rows.reduce((sum, row) => sum + (parseAmount(changeIn(row).change) ?? 0n), 0n) === 0n;
}

function legOf({ symbol, quantity }: SymbolAmount & { readonly comesIn: boolean }): SymbolAmount {
  return { symbol, quantity };
}

/**
 * Sums the changes of each coin.
 * @throws {RowError} when a coin both came and went: then more than one trade has this time, and the sum means nothing.
 */
function sums(rows: readonly Row[]): (SymbolAmount & { readonly comesIn: boolean })[] {
  const totals = new Map<string, bigint>();
  for (const row of rows) {
    const { symbol, change } = changeIn(row);
    const [total, more] = [totals.get(symbol) ?? 0n, parseAmount(change) ?? 0n];
    if (total !== 0n && total > 0n !== more > 0n)
      throw new RowError(
        'Change',
        `${shown(symbol)} was both received and sent at that time; the rows cannot be paired`,
      );
    totals.set(symbol, total + more);
  }
  return [...totals].map(([symbol, total]) => {
    const quantity = formatAmount(total < 0n ? -total : total);
    if (parseAmount(quantity) === undefined)
      throw new RowError(
        'Change',
        'adds up with the rows of the same time to more than 20 digits before the point',
      );
    return { symbol, quantity, comesIn: total > 0n };
  });
}

function changeIn(row: Row): { readonly symbol: string; readonly change: string } {
  const coin = readSymbol(row.cell('Coin'), 'Coin');
  const change = readNumber(row.cell('Change'), 'Change');
  if (change === '0') throw new RowError('Change', 'must not be 0');
  // Staked ether is ether; the statement uses both names.
  return { symbol: coin === 'ETH2' ? 'ETH' : coin, change };
}
