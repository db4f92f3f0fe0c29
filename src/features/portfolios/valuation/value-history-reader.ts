/**
 * Daily values of portfolios. Transactions are summed by day in Postgres; the rest is one product per asset and day, computed
 * asset by asset, so that a long history does not block other requests. The result is cached for a while, because a page that
 * shows it is opened more than once.
 */
import { setImmediate as yieldToEventLoop } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { DailyCloses } from '../../history/queries/candles.ts';
import type { PastCloses } from '../books-service.ts';
import type { ReadDailyBooks, TransferDays } from '../queries/daily-books.ts';
import type { Amount } from '../ledger/amount.ts';
import { daysOf, type DayOf } from '../ledger/days.ts';
import type { PerformanceRange } from '../../../domain/performance-range.ts';
import type { Portfolio } from '../ledger/portfolio.ts';
import { HistorySums, type AssetHistory, type HistoryDay, type ValueHistory } from './value-history.ts';
import type { QuoteReading } from '../../../domain/cached-quote.ts';
import { requesterText, type Requester } from '../../../domain/requester.ts';
import type { Clock } from '../../../platform/concurrency/clock.ts';
import { AppError } from '../../../domain/errors.ts';
import { readRangeBooks, type RangeBooks } from '../performance/performance-tables.ts';
import { priceGiven } from './valuation.ts';
import type { ReadQuotes } from './valuation-service.ts';

/** Which days of which portfolio. */
export interface DailyQuestion {
  readonly portfolio: Portfolio;
  readonly range: PerformanceRange;
  readonly requester: Requester;
}

/** The daily values of a portfolio. */
export interface DailyHistory extends Omit<ValueHistory, 'points'> {
  readonly booksVersion: number;
  /** When it was computed (ms since the epoch). */
  readonly at: number;
  /** Days with the cost basis of all open lots at their end; null while that is not computed yet. */
  readonly points: readonly (HistoryDay & { readonly costBasis: Amount | null })[];
  /** Assets whose missing prices have been requested. */
  readonly requested: readonly string[];
}

const dayMs = 86_400_000;
/** Most products of assets and days that are computed while somebody waits: a hundred assets over ten years. */
const maxCells = 400_000;
/** Longest time (ms) without letting other work run. */
const longestSliceMs = 4;
const maxRemembered = 200;
/** Limits the memory of cached histories, by their total number of days. */
const maxRememberedDays = 200_000;
/** Short, because new prices arrive, and the last day changes with every quote. */
const rememberedMs = 30_000;

/** Builds the reader of histories in an API process. */
export function createValueHistoryReader(deps: {
  readonly readBooks: ReadDailyBooks;
  readonly past: PastCloses;
  readonly quotes: ReadQuotes;
  readonly clock: Clock;
}) {
  const underWay = new Map<string, Promise<DailyHistory>>();
  const known = new LRUCache<string, DailyHistory>({
    max: maxRemembered,
    maxSize: maxRememberedDays,
    sizeCalculation: ({ points }) => points.length + 1,
    ttl: rememberedMs,
  });
  return {
    /**
     * Every day of a range until today, which is valued at the cached quotes. Without transactions there are none.
     * @throws {AppError} 422 (`range_too_large`) more assets and days than can be computed while somebody waits.
     * @throws {UnavailableError} Postgres does not answer.
     */
    async daily(question: DailyQuestion): Promise<DailyHistory> {
      const { portfolio, range } = question;
      const now = deps.clock.now();
      const today = daysOf(portfolio.timeZone)(now);
      const key = [portfolio.id, portfolio.booksVersion, portfolio.bookedVersion, range, today].join(' ');
      const found = known.get(key);
      if (found !== undefined) return found;
      let making = underWay.get(key);
      if (making === undefined) {
        making = make(deps, question, now).finally(() => underWay.delete(key));
        underWay.set(key, making);
      }
      const made = await making;
      known.set(key, made);
      return made;
    },
  };
}

async function make(
  deps: Parameters<typeof createValueHistoryReader>[0],
  { portfolio, range, requester }: DailyQuestion,
  now: number,
): Promise<DailyHistory> {
  const { id: portfolioId, timeZone, baseCurrency: currency } = portfolio;
  const read = await readRangeBooks(deps.readBooks, { portfolioId, timeZone, range, asOf: now });
  const { firstDay, days, assets, booksVersion } = read;
  if (assets.length * days > maxCells)
    throw new AppError(`${assets.length} assets over ${days} days are too many; ask for a shorter range`, {
      code: 'range_too_large',
      status: 422,
    });
  const span = { from: firstDay * dayMs, to: (firstDay + days - 1) * dayMs };
  const [closes, before, quotes] = await Promise.all([
    deps.past.dailyCloses({ assetIds: assets, currency, ...span }),
    deps.past.closesBefore(assets, currency, span.from),
    deps.quotes({ currency, assetIds: assets, waitMs: 0 }),
  ]);
  const dayOf = daysOf(timeZone);
  const sums = new HistorySums(read);
  const { cash, transfers } = read.books;
  sums.addCash(
    { days: cash.days, values: cash.inflows.map(BigInt) },
    { days: cash.days, values: cash.outflows.map(BigInt) },
  );
  const gatherOf = createGathering(read, transfers);
  let since = performance.now();
  for (const assetId of assets) {
    const live = priceOfDay(quotes.get(assetId), { dayOf, day: firstDay + days - 1 });
    sums.addAsset(
      gatherOf(assetId, { closes: closes.get(assetId), before: before.get(assetId), today: live }),
    );
    if (performance.now() - since < longestSliceMs) continue;
    await yieldToEventLoop();
    since = performance.now();
  }
  const history = sums.history();
  const lacking = history.gaps.map(({ assetId, carried, unpriced }) => ({
    assetId,
    days: carried + unpriced,
  }));
  const requested = await deps.past.requestCloses({
    currency,
    ...span,
    lacking,
    requester: requesterText(requester),
  });
  return { ...history, booksVersion, at: now, requested, points: withCosts(history.points, read) };
}

/** The price of a quote that was received on a day; undefined when there is none of that day. */
function priceOfDay(
  reading: QuoteReading | undefined,
  { dayOf, day }: { readonly dayOf: DayOf; readonly day: number },
): number | undefined {
  const given = priceGiven(reading);
  return given !== undefined && dayOf(Date.parse(given.receivedAt)) === day ? given.price : undefined;
}

/** Combines everything known of an asset. */
function createGathering(
  { books, firstDay, days }: RangeBooks,
  transfers: readonly TransferDays[],
): (
  assetId: string,
  prices: {
    readonly closes: DailyCloses | undefined;
    readonly before: number | undefined;
    /** The current price; undefined without a quote. */
    readonly today: number | undefined;
  },
) => AssetHistory {
  const changes = new Map(books.assets.map((each) => [each.assetId, each]));
  const moved = groupByAsset(transfers);
  const today = firstDay + days - 1;
  return (assetId, { closes, before, today: live }) => {
    const held = changes.get(assetId);
    const priceDays = closes?.days.map((at) => Math.floor(at / dayMs)) ?? [];
    const prices = closes?.closes.slice() ?? [];
    if (live !== undefined) {
      if (priceDays.at(-1) === today) prices.pop();
      else priceDays.push(today);
      prices.push(live);
    }
    return {
      assetId,
      changes: { days: held?.days ?? [], values: held?.changes.map(BigInt) ?? [] },
      prices: { days: priceDays, values: prices },
      priceBefore: before,
      transfers: (moved.get(assetId) ?? []).map(({ direction, days: on, quantities, fees, counts }) => ({
        direction,
        days: on,
        values: quantities.map(BigInt),
        fees: fees.map(BigInt),
        counts,
      })),
    };
  };
}

function groupByAsset(transfers: readonly TransferDays[]): ReadonlyMap<string, readonly TransferDays[]> {
  const groups = new Map<string, TransferDays[]>();
  for (const each of transfers) {
    const group = groups.get(each.assetId);
    if (group === undefined) groups.set(each.assetId, [each]);
    else group.push(each);
  }
  return groups;
}

function withCosts(
  points: readonly HistoryDay[],
  { books: { costBasis } }: RangeBooks,
): DailyHistory['points'] {
  let next = 0;
  let cost = 0n;
  return points.map((point) => {
    if (costBasis === null) return { ...point, costBasis: null };
    while ((costBasis.days[next] ?? Infinity) <= point.day) cost += BigInt(costBasis.changes[next++] ?? 0);
    return { ...point, costBasis: cost };
  });
}
