/**
 * Market values of transactions that do not state them: the last stored price of their UTC day, or for the last 24 hours the
 * cached quote. No provider is called, and no other day's price is used.
 */
import type { Amount } from '../ledger/amount.ts';
import { valueAt } from '../ledger/price.ts';
import type { Leg } from '../ledger/transaction.ts';
import type { Clock } from '../../../platform/concurrency/clock.ts';
import type { CandleQueries } from '../../history/queries/candles.ts';
import type { ReadQuotes } from '../performance/performance-tables.ts';

export interface MarketValueDeps {
  readonly dailyCloses: CandleQueries['dailyCloses'];
  /** Prices of cached quotes, of any age. */
  readonly quotedPrices: ReadQuotes;
  readonly clock: Clock;
}

/** An asset whose value is needed at a given time. */
export interface MarketValueRequest {
  readonly asset: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** Value of a quantity at a requested time; null when no price is known. */
export type MarketValue = (leg: Leg, at: number) => Amount | null;

/** Looks prices up. @throws {UnavailableError} Postgres does not answer. */
export type FindMarketValues = (
  currency: string,
  requested: readonly MarketValueRequest[],
) => Promise<MarketValue>;

const dayMs = 86_400_000;
/** Assets that are looked up at the same time. */
const atOnce = 4;

/** Builds a {@link FindMarketValues}. */
export function createMarketValues(deps: MarketValueDeps): FindMarketValues {
  return async (currency, requested) => {
    const now = deps.clock.now();
    const prices = new Map<string, number>();
    const waiting = [...momentsByAsset(requested)];
    const readNext = async (): Promise<void> => {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
        const [asset, moments] = next;
        for (const [at, price] of await pricesOf(deps, { asset, currency, moments, now }))
          prices.set(keyOf(asset, at), price);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, readNext));
    return ({ asset, quantity }, at) => {
      const price = prices.get(keyOf(asset, at));
      return price === undefined ? null : valueAt(quantity, price);
    };
  };
}

async function pricesOf(
  deps: MarketValueDeps,
  {
    asset,
    currency,
    moments,
    now,
  }: {
    readonly asset: string;
    readonly currency: string;
    readonly moments: readonly number[];
    readonly now: number;
  },
) {
  const found = new Map<number, number>();
  const days = moments.map(dayOf).sort((a, b) => a - b);
  const span = { from: days[0] ?? now, to: days.at(-1) ?? now };
  const isRecent = (at: number): boolean => at > now - dayMs;
  const [closes, quoted] = await Promise.all([
    deps.dailyCloses({ assetIds: [asset], currency, ...span }),
    moments.some(isRecent) ? deps.quotedPrices(currency, [asset]) : undefined,
  ]);
  const quote = quoted?.get(asset);
  const closeOf = new Map(
    closes.get(asset)?.days.map((day, index) => [day, closes.get(asset)?.closes[index]]),
  );
  for (const at of moments) {
    const isQuoted = isRecent(at) && quote !== undefined && isRecent(quote.receivedAt);
    const price = isQuoted ? quote.price : closeOf.get(dayOf(at));
    if (price !== undefined && Number.isFinite(price) && price > 0) found.set(at, price);
  }
  return found;
}

function momentsByAsset(requested: readonly MarketValueRequest[]): Map<string, number[]> {
  const byAsset = new Map<string, Set<number>>();
  for (const { asset, at } of requested) byAsset.set(asset, (byAsset.get(asset) ?? new Set()).add(at));
  return new Map([...byAsset].map(([asset, moments]) => [asset, [...moments]]));
}

function dayOf(at: number): number {
  return Math.floor(at / dayMs) * dayMs;
}

function keyOf(asset: string, at: number): string {
  return `${asset} ${at}`;
}
