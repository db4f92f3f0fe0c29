import type { PortfolioSnapshot } from '../queries/portfolio-snapshots.ts';
import { formatAmount, type Amount } from '../ledger/amount.ts';
import { dayText } from '../ledger/days.ts';
import type { Portfolio } from '../ledger/portfolio.ts';
import { shareOf, type Valuation, type ValuedPosition } from './valuation.ts';
import type { DailyHistory } from './value-histories.ts';

/** What a valuation is of. */
export interface ValuedAt {
  readonly portfolio: Pick<Portfolio, 'id' | 'baseCurrency' | 'booksVersion'>;
  readonly valuation: Valuation;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** A valuation as clients get it; with the rows of `changed` assets only where those are given. */
export function presentValuation(
  { portfolio, valuation, at }: ValuedAt,
  changed?: ReadonlySet<string>,
): object {
  const { state, missing, marketValue, costBasis, unrealised, realised, totalGain, positions } = valuation;
  const rows = changed === undefined ? positions : positions.filter(({ assetId }) => changed.has(assetId));
  return {
    portfolio: portfolio.id,
    currency: portfolio.baseCurrency,
    books_version: portfolio.booksVersion,
    valued_at: new Date(at).toISOString(),
    state,
    complete: missing.length === 0,
    missing,
    market_value: textOf(marketValue),
    cost_basis: formatAmount(costBasis),
    unrealised: textOf(unrealised),
    unrealised_percent: textOf(percentOf(unrealised, valuedBasis(positions))),
    realised: formatAmount(realised),
    total_gain: textOf(totalGain),
    positions: rows.map((position) => presentPosition(position, marketValue)),
  };
}

/** A position with its value. `whole` is the market value that its weight is a share of. */
function presentPosition(position: ValuedPosition, whole: Amount | null): object {
  const { assetId, quantity, costBasis, realised, price, marketValue, unrealised } = position;
  return {
    asset: assetId,
    quantity: formatAmount(quantity),
    price: price?.price ?? null,
    market_value: textOf(marketValue),
    cost_basis: formatAmount(costBasis),
    unrealised: textOf(unrealised),
    unrealised_percent: textOf(percentOf(unrealised, costBasis)),
    realised: formatAmount(realised),
    weight: textOf(marketValue === null || whole === null ? null : shareOf(marketValue, whole)),
    state: price?.state ?? 'missing',
    as_of: price?.asOf ?? null,
    received_at: price?.receivedAt ?? null,
    source: price?.source ?? null,
  };
}

/** A daily history as clients get it. */
export function presentHistory(portfolio: Portfolio, range: string, history: DailyHistory): object {
  return {
    portfolio: portfolio.id,
    currency: portfolio.baseCurrency,
    time_zone: portfolio.timeZone,
    range,
    interval: '1d',
    books_version: history.booksVersion,
    computed_at: new Date(history.at).toISOString(),
    days_carried: history.carriedDays,
    days_unknown: history.unknownDays,
    transfers_without_value: history.unvaluedTransfers,
    gaps: history.gaps.map(({ assetId, carried, unpriced }) => ({
      asset: assetId,
      days_carried: carried,
      days_unknown: unpriced,
      asked: history.asked.includes(assetId),
    })),
    points: history.points.map(({ day, value, costBasis, inflow, outflow, carried }) => ({
      day: dayText(day),
      value: textOf(value),
      cost_basis: textOf(costBasis),
      inflow: formatAmount(inflow),
      outflow: formatAmount(outflow),
      carried,
    })),
  };
}

/** Stored snapshots as clients get them. */
export function presentSnapshots(
  portfolio: Portfolio,
  range: string,
  { snapshots, isCut }: { readonly snapshots: readonly PortfolioSnapshot[]; readonly isCut: boolean },
): object {
  return {
    portfolio: portfolio.id,
    currency: portfolio.baseCurrency,
    time_zone: portfolio.timeZone,
    range,
    interval: 'snapshot',
    /** Older ones of the range were left out. */
    truncated: isCut,
    points: snapshots.map(
      ({ kind, at, day, currency, value, costBasis, realised, missing, booksVersion }) => ({
        kind,
        at: at.toISOString(),
        day,
        currency,
        value: textOf(value),
        cost_basis: formatAmount(costBasis),
        realised: formatAmount(realised),
        complete: missing.length === 0,
        missing,
        books_version: booksVersion,
      }),
    ),
  };
}

/** Gain in per cent of what it was made on, 4 digits behind the point; null where there is no such share. */
function percentOf(gain: Amount | null, basis: Amount): Amount | null {
  const share = gain === null ? null : shareOf(gain, basis);
  return share === null ? null : share * 100n;
}

function valuedBasis(positions: readonly ValuedPosition[]): Amount {
  return positions.reduce((sum, { price, costBasis }) => (price === null ? sum : sum + costBasis), 0n);
}

function textOf(amount: Amount | null): string | null {
  return amount === null ? null : formatAmount(amount);
}
