/**
 * Kraken's ledgers (CSV): one row for each change of a balance; the rows of a trade share their `refid`. `amount` does not
 * include `fee`: balance = balance before + amount − fee. Columns and types as Kraken explains them in "How to interpret Ledger
 * history fields".
 */
import { isFiat } from '../ledger/fiat.ts';
import {
  checkSign,
  magnitude,
  readNote,
  readNumber,
  readSymbol,
  readTime,
  RowError,
  shown,
} from './cells.ts';
import {
  feeOf,
  tradeOf,
  type ImportedTransaction,
  type Importer,
  type ReportRules,
  type Row,
  type SymbolAmount,
} from './importer.ts';

const columns = ['txid', 'refid', 'time', 'type', 'asset', 'amount', 'fee'];

/** Names that follow no rule. */
const oldNames: ReadonlyMap<string, string> = new Map([
  ['XBT', 'BTC'],
  ['XDG', 'DOGE'],
  ['ETH2', 'ETH'],
]);
/** Assets that Kraken writes with a leading X (coins) or Z (currencies). */
const prefixed = /^(?:X(ETC|ETH|LTC|MLN|REP|XBT|XDG|XLM|XMR|XRP|ZEC)|Z(AUD|CAD|EUR|GBP|JPY|USD))$/;
/** Staked, bonded (for a number of days), opted in, or held back: still the same asset. */
const suffix = /^(.+?)(?:\d{2})?\.(?:S|M|F|B|P|T|HOLD)$/;

/** Usual symbol of an asset for Kraken's name: `XXBT` and `XBT.M` are `BTC`, `DOT28.S` is `DOT`. */
export function krakenSymbol(asset: string): string {
  const bare = suffix.exec(asset)?.[1] ?? asset;
  const [, coin, money] = prefixed.exec(bare) ?? [];
  const name = coin ?? money ?? bare;
  return oldNames.get(name) ?? name;
}

const trades = new Set(['trade', 'spend', 'receive']);
const rewards = new Set(['staking', 'dividend', 'invite bonus', 'reward']);
const ownSubtypes = new Set([
  'allocation',
  'autoallocation',
  'deallocation',
  'migration',
  'spotfromstaking',
  'spottostaking',
  'stakingfromspot',
  'stakingtospot',
]);
const futures = new Set(['spottofutures', 'spotfromfutures']);

const rules: ReportRules = {
  columns: {
    type: 'type',
    executed_at: 'time',
    value: 'amount',
    'received.asset': 'asset',
    'received.quantity': 'amount',
    'sent.asset': 'asset',
    'sent.quantity': 'amount',
    'fee.asset': 'asset',
    'fee.quantity': 'fee',
  },
  read(row) {
    if (row.cell('txid') === '') return 'an entry without txid is not settled';
    const at = readTime(row.cell('time'), 'time');
    if (!trades.has(row.cell('type'))) return single(row, at);
    const key = row.cell('refid');
    if (key === '') throw new RowError('refid', 'is empty');
    return { key, at, join: tradeIn };
  },
  fingerprint: (rows) => rows.map((row) => row.cell('txid')).sort(),
};

/** Kraken's ledgers. */
export const kraken = {
  name: 'kraken',
  rulesFor: (names) => (columns.every((column) => names.includes(column)) ? rules : undefined),
} as const satisfies Importer;

/** The transaction of a single row, or why it is skipped. */
function single(row: Row, at: number): ImportedTransaction | string | null {
  const [type, subtype] = [row.cell('type'), row.cell('subtype')];
  if (ownSubtypes.has(subtype)) return 'moves between your own accounts';
  const symbol = symbolIn(row);
  if (isFiat(symbol)) return null;
  const amount = readNumber(row.cell('amount'), 'amount');
  if (amount === '0') throw new RowError('amount', 'must not be 0');
  const leg = { symbol, quantity: magnitude(amount) };
  const comesIn = !amount.startsWith('-');
  const fee = feeIn(row);
  const base = {
    at,
    sequence: row.line,
    value: null,
    fee: fee === null ? null : feeOf(fee),
    note: readNote(subtype),
  };
  if (comesIn && isReward(type, subtype)) return { ...base, type: 'reward', received: leg, sent: null };
  if (type === 'deposit' || type === 'withdrawal' || futures.has(subtype)) {
    return comesIn
      ? { ...base, type: 'transfer_in', received: leg, sent: null }
      : { ...base, type: 'transfer_out', received: null, sent: leg };
  }
  throw new RowError('type', `${shown(subtype === '' ? type : `${type}/${subtype}`)} is not known`);
}

function isReward(type: string, subtype: string): boolean {
  // A transfer without subtype is Kraken's credit of an airdrop or a fork.
  return (
    rewards.has(type) || (type === 'earn' && subtype === 'reward') || (type === 'transfer' && subtype === '')
  );
}

/** The trade of the rows with one `refid`; null when only cash changed hands. */
function tradeIn(rows: readonly Row[], at: number): ImportedTransaction | null {
  const legs = rows.map((row) => ({
    symbol: symbolIn(row),
    amount: readNumber(row.cell('amount'), 'amount'),
  }));
  const side = (isIn: boolean): SymbolAmount => {
    const found = legs.filter(({ amount }) => amount !== '0' && !amount.startsWith('-') === isIn);
    const [leg] = found;
    if (leg === undefined || found.length > 1) {
      throw new RowError('refid', 'does not pair one received row with one sent row');
    }
    return { symbol: leg.symbol, quantity: magnitude(leg.amount) };
  };
  const fees = rows.map(feeIn).filter((fee) => fee !== null);
  if (fees.length > 1) throw new RowError('fee', 'is on more than one row of the trade');
  const sequence = rows[0]?.line ?? 0;
  return tradeOf({ at, sequence, received: side(true), sent: side(false), fee: fees[0] ?? null });
}

function feeIn(row: Row): SymbolAmount | null {
  const quantity = row.cell('fee') === '' ? '0' : readNumber(row.cell('fee'), 'fee');
  checkSign(quantity, 'fee');
  return quantity === '0' ? null : { symbol: symbolIn(row), quantity };
}

function symbolIn(row: Row): string {
  return krakenSymbol(readSymbol(row.cell('asset'), 'asset'));
}
