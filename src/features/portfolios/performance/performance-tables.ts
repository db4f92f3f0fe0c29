/**
 * Fills the tables from which the performance of a portfolio is computed: holdings and flows by day, summed in Postgres, and
 * the prices of those days. Sums are exact until they become doubles here.
 */
import type { DailyBooks, DailyChanges, ReadDailyBooks } from '../queries/daily-books.ts';
import type { CandleQueries, DailyCloses } from '../../history/queries/candles.ts';
import { formatAmount, toNumber } from '../ledger/amount.ts';
import { daysOf } from '../ledger/days.ts';
import { firstDayOf, type PerformanceRange } from '../../../domain/performance-range.ts';
import type { PerformanceTables } from './tables.ts';
import { dayMs } from '../../history/chart.ts';
import { AppError } from '../../../domain/errors.ts';

/** What to compute for a portfolio. */
export interface PerformanceQuestion {
  readonly portfolioId: string;
  readonly currency: string;
  readonly timeZone: string;
  readonly range: PerformanceRange;
  /** Asset id. */
  readonly benchmark: string;
  /** Annual, 0.02 is 2 %. */
  readonly riskFreeRate: number;
  /** Milliseconds since the epoch; the day of this time is the last. */
  readonly asOf: number;
}

/** Transactions of the range. */
export interface RangeBooks {
  readonly booksVersion: number;
  readonly books: DailyBooks;
  readonly hasBefore: boolean;
  readonly firstDay: number;
  readonly days: number;
  /** Assets that were held or moved in the range, by id. */
  readonly assets: readonly string[];
}

/** Prices of the assets of a range, and of the benchmark. */
export interface RangePrices {
  /** Stored closes by asset, in the order of days; those before the range reach back as far as they are needed. */
  readonly closes: ReadonlyMap<string, readonly DailyCloses[]>;
  /** Prices of today, from quotes. */
  readonly today: ReadonlyMap<string, number>;
}

/** A price, and when it was received (ms since the epoch). */
export interface QuotedPrice {
  readonly price: number;
  readonly receivedAt: number;
}

/** Reads the existing quotes; assets without one are missing in the result. */
export type ReadQuotes = (
  currency: string,
  assetIds: readonly string[],
) => Promise<ReadonlyMap<string, QuotedPrice>>;

/** Cells (assets × days) of the largest tables: 64 MB each. Thirty assets over ten years are a hundred thousand. */
const maxCells = 8_000_000;
/** Days before the range in which the last price is looked for first. */
const lookBackDays = 45;
/** Assets per statement. */
const closesBatch = 100;

/**
 * Reads the transactions of a range.
 * @throws {AppError} 422 when there is too much data. @throws {UnavailableError} Postgres does not answer.
 */
export async function readRangeBooks(
  readBooks: ReadDailyBooks,
  {
    portfolioId,
    timeZone,
    range,
    asOf,
  }: Pick<PerformanceQuestion, 'portfolioId' | 'timeZone' | 'range' | 'asOf'>,
): Promise<RangeBooks> {
  const today = daysOf(timeZone)(asOf);
  const from = firstDayOf(range, today);
  const books = await readBooks(portfolioId, timeZone, Number.isFinite(from) ? from : undefined);
  const earliest = earliestDay(books) ?? today;
  // Clocks differ: transactions after the last day do not count yet.
  const firstDay = Math.min(today, Math.max(from, earliest));
  const assets = movedAssets(books);
  const days = today - firstDay + 1;
  if (assets.length * days > maxCells) {
    throw new AppError(`${assets.length} assets over ${days} days are too many; ask for a shorter range`, {
      code: 'range_too_large',
      status: 422,
    });
  }
  return { booksVersion: books.booksVersion, books, hasBefore: earliest < firstDay, firstDay, days, assets };
}

/**
 * Reads prices: closes of stored days, and for today the cached quote, if it was received today.
 * @throws {UnavailableError} Postgres does not answer.
 */
export async function readRangePrices(
  { closes, quotes }: { readonly closes: CandleQueries['dailyCloses']; readonly quotes: ReadQuotes },
  { currency, benchmark, timeZone }: PerformanceQuestion,
  { firstDay, days, assets }: RangeBooks,
): Promise<RangePrices> {
  const assetIds = [...new Set([...assets, benchmark])];
  const read = (ids: readonly string[], from: number, to: number) =>
    closes({ assetIds: ids, currency, from: from * dayMs, to: to * dayMs });
  const found = new Map<string, readonly DailyCloses[]>();
  const lookFrom = firstDay - lookBackDays;
  for (let begin = 0; begin < assetIds.length; begin += closesBatch) {
    const batch = assetIds.slice(begin, begin + closesBatch);
    const recent = await read(batch, lookFrom, firstDay + days - 1);
    const without = batch.filter((id) => !((recent.get(id)?.days[0] ?? Infinity) < firstDay * dayMs));
    const older = without.length === 0 ? undefined : await read(without, 0, lookFrom - 1);
    for (const id of batch) {
      found.set(
        id,
        [older?.get(id), recent.get(id)].filter((each) => each !== undefined),
      );
    }
  }
  const dayOf = daysOf(timeZone);
  const quoted = [...(await quotes(currency, assetIds))];
  const today = quoted.filter(([, { receivedAt }]) => dayOf(receivedAt) === firstDay + days - 1);
  return { closes: found, today: new Map(today.map(([id, { price }]) => [id, price])) };
}

/** Fills the tables of a range. */
export function tablesOf(
  { range, benchmark, riskFreeRate }: PerformanceQuestion,
  read: RangeBooks,
  prices: RangePrices,
): PerformanceTables {
  const { books, assets, days, firstDay, hasBefore } = read;
  const size = assets.length;
  const quantities = new Float64Array(size * days);
  const table = new Float64Array(size * days).fill(NaN);
  const quantitiesBefore = new Float64Array(size);
  const [pricesBefore, observedBefore] = [new Float64Array(size), new Float64Array(size)];
  const changes = new Map(books.assets.map((each) => [each.assetId, each]));
  assets.forEach((asset, number) => {
    const [begin, end] = [number * days, (number + 1) * days];
    const held = changes.get(asset) ?? noChanges;
    quantitiesBefore[number] = fillHeld(quantities.subarray(begin, end), held, firstDay);
    const before = fillPrices(table.subarray(begin, end), asset, { prices, firstDay });
    pricesBefore[number] = before.price;
    observedBefore[number] = before.day === firstDay - 1 ? before.price : NaN;
  });
  const benchmarkPrices = new Float64Array(days).fill(NaN);
  const benchmarkBefore = fillPrices(benchmarkPrices, benchmark, { prices, firstDay }).price;
  return {
    range,
    firstDay,
    days,
    hasBefore,
    assets,
    quantities,
    quantitiesBefore,
    prices: table,
    pricesBefore,
    observedBefore,
    inflows: byDay(books.cash.days, books.cash.inflows, read),
    outflows: byDay(books.cash.days, books.cash.outflows, read),
    transfers: transfersOf(read),
    benchmark: benchmarkPrices,
    benchmarkBefore,
    riskFreeRate,
  };
}

const noChanges: DailyChanges = { days: [], changes: [] };

/** Running sums are exact; returns the sum before the range. */
function fillHeld(row: Float64Array, { days, changes }: DailyChanges, firstDay: number): number {
  let [held, before] = [0n, 0n];
  days.forEach((day, index) => {
    held += BigInt(changes[index] ?? 0);
    if (day < firstDay) before = held;
    row.fill(toNumber(held), Math.max(0, day - firstDay));
  });
  return toNumber(before);
}

/** Returns the last price before the range; NaN without one. */
function fillPrices(
  row: Float64Array,
  asset: string,
  { prices, firstDay }: { readonly prices: RangePrices; readonly firstDay: number },
): { readonly day: number; readonly price: number } {
  let before = { day: -Infinity, price: NaN };
  for (const { days, closes } of prices.closes.get(asset) ?? []) {
    days.forEach((at, index) => {
      const [day, price] = [Math.floor(at / dayMs), closes[index] ?? NaN];
      if (day < firstDay) before = { day, price };
      else if (day < firstDay + row.length) row[day - firstDay] = price;
    });
  }
  const today = prices.today.get(asset);
  if (today !== undefined) row[row.length - 1] = today;
  return before;
}

function byDay(days: readonly number[], amounts: readonly string[], { firstDay, days: count }: RangeBooks) {
  const table = new Float64Array(count);
  days.forEach((day, index) => {
    if (day >= firstDay) table[day - firstDay] = toNumber(BigInt(amounts[index] ?? 0));
  });
  return table;
}

function transfersOf({ books, assets, firstDay, days: count }: RangeBooks): PerformanceTables['transfers'] {
  const numbers = new Map(assets.map((asset, number) => [asset, number]));
  const rows = books.transfers.flatMap(({ assetId, direction, days, quantities, fees, counts }) =>
    days.flatMap((day, index) => {
      if (day < firstDay || day >= firstDay + count) return [];
      const quantity = toNumber(BigInt(quantities[index] ?? 0));
      return {
        asset: numbers.get(assetId) ?? 0,
        day: day - firstDay,
        quantity: direction === 'in' ? quantity : -quantity,
        fee: toNumber(BigInt(fees[index] ?? 0)),
        count: counts[index] ?? 0,
      };
    }),
  );
  return {
    assets: Uint32Array.from(rows, ({ asset }) => asset),
    days: Uint32Array.from(rows, ({ day }) => day),
    quantities: Float64Array.from(rows, ({ quantity }) => quantity),
    fees: Float64Array.from(rows, ({ fee }) => fee),
    counts: Uint32Array.from(rows, ({ count }) => count),
  };
}

/** Exact totals of the cash of a range, as decimal text. */
export function cashOf({ books: { cash }, firstDay, days }: RangeBooks): {
  readonly in: string;
  readonly out: string;
} {
  const isWithin = (_: string, index: number): boolean => (cash.days[index] ?? 0) < firstDay + days;
  const total = (amounts: readonly string[]): string =>
    formatAmount(amounts.filter(isWithin).reduce((sum, each) => sum + BigInt(each), 0n));
  return { in: total(cash.inflows), out: total(cash.outflows) };
}

function earliestDay({ assets, transfers, cash }: DailyBooks): number | undefined {
  const first = [...assets, ...transfers, cash].flatMap(({ days }) => days.slice(0, 1));
  return first.length === 0 ? undefined : Math.min(...first);
}

function movedAssets({ assets, transfers }: DailyBooks): readonly string[] {
  return [...new Set([...assets, ...transfers].map(({ assetId }) => assetId))].sort();
}
