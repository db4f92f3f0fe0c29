import { pageFields } from '../../platform/http/paging.ts';
import type { RealisedRow, RealisedTotals } from './queries/book-reading.ts';
import { formatAmount, mulDiv, oneUnit } from './ledger/amount.ts';
import type { Portfolio } from './ledger/portfolio.ts';
import type { AssetLot, BookStanding, Position } from './book-reader.ts';

const dayMs = 86_400_000;

/** What every answer about books says first. */
function booksHead(portfolio: Portfolio, booksVersion: number): Record<string, unknown> {
  return {
    portfolio_id: portfolio.id,
    currency: portfolio.baseCurrency,
    method: portfolio.method,
    books_version: booksVersion,
  };
}

/** Positions with their sums; `totals` are of those shown. */
export function presentPositions(
  portfolio: Portfolio,
  { booksVersion }: BookStanding,
  positions: readonly Position[],
): Record<string, unknown> {
  const sum = (of: (position: Position) => bigint): string =>
    formatAmount(positions.reduce((total, each) => total + of(each), 0n));
  return {
    ...booksHead(portfolio, booksVersion),
    totals: { cost_basis: sum(costOf), realised: sum(gainOf), count: positions.length },
    positions: positions.map(presentPosition),
  };
}

function costOf({ tally }: Position): bigint {
  return tally.acquired - tally.consumed - tally.left;
}

function gainOf({ tally }: Position): bigint {
  return tally.proceeds - tally.consumed;
}

function presentPosition(position: Position): Record<string, unknown> {
  const { assetId, quantity, tally, openLots } = position;
  const cost = costOf(position);
  return {
    asset: assetId,
    quantity: formatAmount(quantity),
    cost_basis: formatAmount(cost),
    average_cost: quantity === 0n ? null : formatAmount(mulDiv(cost, oneUnit, quantity)),
    open_lots: openLots,
    acquired: formatAmount(tally.acquired),
    disposed: formatAmount(tally.consumed),
    transferred_out: formatAmount(tally.left),
    proceeds: formatAmount(tally.proceeds),
    realised: formatAmount(gainOf(position)),
  };
}

/** Page of a list that belongs to books. */
interface BookPage {
  readonly booksVersion: number;
  readonly page: number;
  readonly limit: number;
  readonly total: number;
}

/** Open lots. A pool is one lot without a transaction. */
export function presentLots(
  portfolio: Portfolio,
  { booksVersion, page, limit, total }: BookPage,
  lots: readonly AssetLot[],
): Record<string, unknown> {
  return {
    ...booksHead(portfolio, booksVersion),
    data: lots.map(({ assetId, transaction, acquiredAt, quantity, basis }) => ({
      asset: assetId,
      transaction_id: transaction,
      acquired_at: timeOf(acquiredAt),
      quantity: formatAmount(quantity),
      cost_basis: formatAmount(basis),
      unit_cost: formatAmount(mulDiv(basis, oneUnit, quantity)),
    })),
    ...pageFields({ total, page, limit }),
  };
}

/** Realised gains: what disposals took out of lots, and the sums over all of them. */
export function presentRealised(
  portfolio: Portfolio,
  { booksVersion, page, limit }: Omit<BookPage, 'total'>,
  { rows, totals }: { readonly rows: readonly RealisedRow[]; readonly totals: RealisedTotals },
): Record<string, unknown> {
  const { proceeds, basis, count, provisional } = totals;
  return {
    ...booksHead(portfolio, booksVersion),
    totals: {
      count,
      provisional,
      proceeds: formatAmount(proceeds),
      cost_basis: formatAmount(basis),
      gain: formatAmount(proceeds - basis),
    },
    data: rows.map(presentRealisedRow),
    ...pageFields({ total: count, page, limit }),
  };
}

function presentRealisedRow(row: RealisedRow): Record<string, unknown> {
  return {
    asset: row.assetId,
    transaction_id: row.transaction,
    is_fee: row.isFee,
    disposed_at: timeOf(row.disposedAt),
    acquired_at: timeOf(row.acquiredAt),
    acquired_with: row.lot,
    // Whole days: what counts as long depends on the law that the reader is under.
    held_days: row.acquiredAt === null ? null : Math.floor((row.disposedAt - row.acquiredAt) / dayMs),
    rule: row.rule,
    quantity: formatAmount(row.quantity),
    proceeds: formatAmount(row.proceeds),
    cost_basis: formatAmount(row.basis),
    gain: formatAmount(row.proceeds - row.basis),
    provisional: row.isProvisional,
  };
}

function timeOf(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}
