import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import { createDailyBooks } from '../../../src/features/portfolios/queries/daily-books.ts';
import { formatAmount, parseAmount } from '../../../src/features/portfolios/ledger/amount.ts';
import { dayNumber, dayText } from '../../../src/features/portfolios/ledger/days.ts';
import type { Portfolio } from '../../../src/features/portfolios/ledger/portfolio.ts';
import type { Transaction } from '../../../src/features/portfolios/ledger/transaction.ts';
import { type QuoteReading } from '../../../src/domain/cached-quote.ts';
import { createValueHistoryReader } from '../../../src/features/portfolios/valuation/value-history-reader.ts';
import { openPerformanceRuns, type PerformanceRuns } from '../../support/performance-run.ts';
import { priced } from '../../support/quotes.ts';

const dayMs = 86_400_000;
const noon = Date.UTC(2025, 2, 10, 12);

const amount = (text: string) => parseAmount(text)!;

describe('value histories', () => {
  let runs: PerformanceRuns;
  let series: ReturnType<typeof createValueHistoryReader>;
  let quotes: Map<string, QuoteReading>;
  let requested: { readonly assetId: string; readonly days: number }[][];
  let reads: number;

  before(async () => {
    runs = await openPerformanceRuns();
  });
  beforeEach(async () => {
    await runs.store.empty();
    quotes = new Map();
    requested = [];
    reads = 0;
    const { knex, candles } = runs.store;
    const readBooks = createDailyBooks(knex);
    series = createValueHistoryReader({
      readBooks: (...given) => {
        reads += 1;
        return readBooks(...given);
      },
      past: {
        dailyCloses: (wanted) => candles.dailyCloses(wanted),
        closesBefore: candles.closesBefore,
        requestCloses: ({ lacking }) => {
          requested.push([...lacking]);
          return Promise.resolve(lacking.map(({ assetId }) => assetId));
        },
      },
      quotes: () => Promise.resolve(quotes),
      clock: { now: () => noon },
    });
  });
  after(() => runs.close());

  async function closes(assetId: string, byDay: Readonly<Record<string, number>>): Promise<void> {
    const points = Object.entries(byDay).map(([day, price]) => {
      const openTime = dayNumber(day) * dayMs;
      const same = { open: price, high: price, low: price, close: price };
      const rest = { marketCap: null, volume: null, observations: 1, source: 'test', currency: 'usd' };
      return { assetId, openTime, firstAt: openTime, lastAt: openTime, ...same, ...rest };
    });
    await runs.store.candles.storePoints('1d', points);
  }

  function quote(assetId: string, price: number, receivedAt = noon): void {
    const cached = priced(assetId, price, { receivedAt });
    quotes.set(assetId, { assetId, state: 'fresh', quote: cached });
  }

  const buy = (asset: string, quantity: string, day: string): Transaction => ({
    id: uuidv7(),
    type: 'buy',
    at: dayNumber(day) * dayMs + dayMs / 2,
    sequence: 0,
    received: { asset, quantity: amount(quantity) },
    sent: null,
    value: amount('100'),
    fee: null,
  });

  async function daily(portfolio: Portfolio, range: 'max' | '7d' | '1d') {
    const { points, ...rest } = await series.daily({
      portfolio,
      range,
      requester: { userId: portfolio.userId },
    });
    const textOf = (value: bigint | null) => (value === null ? null : formatAmount(value));
    const rows = points.map(({ day, value, inflow, costBasis, carried }) => [
      dayText(day),
      textOf(value),
      formatAmount(inflow),
      textOf(costBasis),
      carried,
    ]);
    return { ...rest, rows };
  }

  it('values every day since the first transaction at stored closes, and today at the quote', async () => {
    const portfolio = await runs.portfolio();
    await runs.record(portfolio, [buy('bitcoin', '0.1', '2025-03-06'), buy('bitcoin', '0.2', '2025-03-08')]);
    await runs.store.knex('portfolios').where({ id: portfolio.id }).update({ booked_version: 2 });
    await closes('bitcoin', { '2025-03-06': 0.1, '2025-03-07': 0.2, '2025-03-08': 0.3, '2025-03-10': 9 });
    quote('bitcoin', 0.7);
    const found = await daily(portfolio, 'max');
    expect(found.rows).to.deep.equal([
      ['2025-03-06', '0.01', '100', '100', 0],
      ['2025-03-07', '0.02', '0', '100', 0],
      ['2025-03-08', '0.09', '100', '200', 0],
      ['2025-03-09', '0.09', '0', '200', 1],
      ['2025-03-10', '0.21', '0', '200', 0],
    ]);
    expect([found.carriedDays, found.unknownDays, found.booksVersion]).to.deep.equal([1, 0, 2]);
  });

  it('begins a range with what was held and priced before it, and tells nothing of a quote of yesterday', async () => {
    const portfolio = await runs.portfolio();
    await runs.record(portfolio, [buy('bitcoin', '2', '2024-01-01'), buy('ethereum', '1', '2025-03-09')]);
    await closes('bitcoin', { '2024-06-01': 5, '2024-12-31': 6 });
    quote('bitcoin', 8, noon - dayMs);
    const { rows, gaps, carriedDays, unknownDays } = await daily(portfolio, '7d');
    expect(rows.map(([day, value]) => `${day!} ${String(value)}`)).to.deep.equal([
      '2025-03-04 12',
      '2025-03-05 12',
      '2025-03-06 12',
      '2025-03-07 12',
      '2025-03-08 12',
      '2025-03-09 null',
      '2025-03-10 null',
    ]);
    // The derived tables are behind: no cost is told rather than an old one.
    expect(rows.every(([, , , cost]) => cost === null)).to.equal(true);
    expect([carriedDays, unknownDays]).to.deep.equal([5, 2]);
    expect(gaps).to.deep.equal([
      { assetId: 'bitcoin', carried: 7, unpriced: 0 },
      { assetId: 'ethereum', carried: 0, unpriced: 2 },
    ]);
    expect(requested).to.deep.equal([
      [
        { assetId: 'bitcoin', days: 7 },
        { assetId: 'ethereum', days: 2 },
      ],
    ]);
  });

  it('is empty of value without transactions', async () => {
    const { rows, gaps } = await daily(await runs.portfolio(), 'max');
    expect(rows.map(([day, value]) => [day, value])).to.deep.equal([['2025-03-10', '0']]);
    expect(gaps).to.deep.equal([]);
  });

  it('is of the portfolio that was asked for, of its books and of the range, whatever was asked before', async () => {
    const portfolio = await runs.portfolio();
    const other = await runs.portfolio();
    await runs.record(portfolio, [buy('bitcoin', '1', '2025-02-01')]);
    await runs.record(other, [buy('bitcoin', '7', '2025-02-01')]);
    await closes('bitcoin', { '2025-02-01': 2 });
    const first = async (...question: Parameters<typeof daily>) =>
      (await daily(...question)).rows[0]!.slice(0, 2);
    expect(await first(portfolio, 'max')).to.deep.equal(['2025-02-01', '2']);
    expect(await first(other, 'max')).to.deep.equal(['2025-02-01', '14']);
    expect(await first(portfolio, '7d')).to.deep.equal(['2025-03-04', '2']);
    expect(await first(portfolio, '1d')).to.deep.equal(['2025-03-10', '2']);
    const ahead = { ...portfolio, timeZone: 'Pacific/Kiritimati' };
    expect(await first(ahead, '1d')).to.deep.equal(['2025-03-11', '2']);
    await runs.record(portfolio, [buy('bitcoin', '1', '2025-01-31')]);
    const changed = { ...portfolio, booksVersion: portfolio.booksVersion + 1 };
    expect((await first(changed, 'max'))[0]).to.equal('2025-01-31');
  });

  it('is worked out once for all who ask, until the books change', async () => {
    const portfolio = await runs.portfolio();
    await Promise.all([daily(portfolio, 'max'), daily(portfolio, 'max')]);
    await daily(portfolio, 'max');
    expect(reads).to.equal(1);
    await daily({ ...portfolio, booksVersion: 2 }, 'max');
    await daily({ ...portfolio, booksVersion: 2 }, '1d');
    expect(reads).to.equal(3);
  });
});
