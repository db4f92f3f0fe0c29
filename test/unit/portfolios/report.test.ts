import { expect } from 'chai';
import { dayNumber } from '../../../src/features/portfolios/ledger/days.ts';
import { performanceOf } from '../../../src/features/portfolios/performance/performance.ts';
import { tablesOf } from '../../../src/features/portfolios/performance/performance-tables.ts';
import { computeReport } from '../../../src/features/portfolios/performance/report.ts';
import { buffersOf, type PerformanceTables } from '../../../src/features/portfolios/performance/tables.ts';
import { createThreadPool } from '../../../workers/runtime/thread-pool.ts';
import { createPerformanceStats } from '../../../workers/threads/performance.ts';

const firstDay = dayNumber('2024-01-01');
const numbers = (...given: number[]): Float64Array => Float64Array.from(given);
const { NaN: none } = Number;

/** One coin, bought for 100 on the first of four days, and 50 more on the third. */
function tables(different: Partial<PerformanceTables> = {}): PerformanceTables {
  return {
    range: 'max',
    firstDay,
    days: 4,
    hasBefore: false,
    assets: ['coin'],
    quantities: numbers(1, 1, 1.5, 1.5),
    quantitiesBefore: numbers(0),
    prices: numbers(110, 121, 100, 120),
    pricesBefore: numbers(none),
    observedBefore: numbers(none),
    inflows: numbers(100, 0, 50, 0),
    outflows: numbers(0, 0, 0, 0),
    transfers: transfers(),
    benchmark: numbers(10, 10, 10, 20),
    benchmarkBefore: none,
    riskFreeRate: 0,
    ...different,
  };
}

/** Entries of asset, day, quantity, and fee. */
function transfers(...entries: [number, number, number, number][]): PerformanceTables['transfers'] {
  return {
    assets: Uint32Array.from(entries, ([asset]) => asset),
    days: Uint32Array.from(entries, ([, day]) => day),
    quantities: Float64Array.from(entries, ([, , quantity]) => quantity),
    fees: Float64Array.from(entries, ([, , , fee]) => fee),
    counts: Uint32Array.from(entries, () => 2),
  };
}

interface Reported {
  [statistic: string]: { value: number | null; reason: string | null } & Record<string, unknown>;
}

const report = (different: Partial<PerformanceTables> = {}): Reported =>
  JSON.parse(computeReport(tables(different)).json) as Reported;

describe('the report of performance', () => {
  it('tells each figure with its value, or with the reason for none', () => {
    const reported = report();
    // 110/100, 121/110, 150/171, 180/150
    expect(reported['twr']!.value).to.be.closeTo(1.1 * 1.1 * (150 / 171) * 1.2 - 1, 1e-12);
    expect(reported['gain']).to.deep.equal({ value: 30, reason: null });
    expect(reported['roi']).to.deep.equal({ value: 0.2, reason: null });
    expect(reported['cagr']).to.deep.equal({ value: null, reason: 'span_of_a_year_or_less' });
    expect(reported['var_95']).to.deep.equal({ value: null, reason: 'too_few_days' });
    expect(reported['start_value']).to.deep.equal({ value: 0, reason: null });
    expect(reported['end_value']).to.deep.equal({ value: 180, reason: null });
    expect(reported).to.include({ inflow: 150, outflow: 0, net_inflow: 150 });
    const { value, ...days } = reported['max_drawdown']!;
    expect(value).to.be.closeTo(1 - 150 / 171, 1e-12);
    expect(days).to.deep.equal({
      reason: null,
      peak: '2024-01-02',
      trough: '2024-01-03',
      recovered: '2024-01-04',
    });
  });

  it('puts the same flows into the benchmark', () => {
    const { gain, twr, xirr } = report()['benchmark'] as unknown as Reported;
    expect(gain).to.deep.equal({ value: 150, reason: null });
    expect(twr).to.deep.equal({ value: 1, reason: null });
    expect(xirr!.value).to.be.above(0);
  });

  it('begins a later range with the value of the day before, as all days do when they are cut to it', () => {
    const all = tables();
    const expected = performanceOf(
      {
        firstDay,
        values: numbers(110, 121, 150, 180),
        inflows: all.inflows,
        outflows: all.outflows,
        prices: all.prices,
        benchmark: all.benchmark,
        riskFreeRate: 0,
      },
      '1d',
    );
    const reported = report({ range: '1d', firstDay: firstDay + 3, days: 1, ...lastDay(all) });
    expect(reported['twr']!.value).to.equal(expected.timeWeighted.value);
    expect(reported['start_value']!.value).to.equal(expected.valueBefore);
    expect(reported['gain']!.value).to.equal(expected.gain.value);
    expect((reported['benchmark'] as unknown as Reported)['roi']!.value).to.equal(
      expected.benchmark!.roi.value,
    );
  });

  /** The tables of the last day, with those of the day before. */
  function lastDay({ quantities, prices, inflows, outflows, benchmark }: PerformanceTables) {
    return {
      hasBefore: true,
      quantities: quantities.slice(3),
      quantitiesBefore: quantities.slice(2, 3),
      prices: prices.slice(3),
      pricesBefore: prices.slice(2, 3),
      observedBefore: prices.slice(2, 3),
      inflows: inflows.slice(3),
      outflows: outflows.slice(3),
      benchmark: benchmark.slice(3),
      benchmarkBefore: benchmark[2]!,
    };
  }

  it('counts days without a price, and carries the last one forward, but not into the day before', () => {
    const reported = report({ prices: numbers(110, none, none, 120), pricesBefore: numbers(90) });
    expect(reported['prices']).to.deep.equal({
      days_carried: 2,
      days_unknown: 0,
      by_asset: [{ asset: 'coin', carried: 2, unpriced: 0 }],
    });
    expect([...computeReport(tables({ prices: numbers(110, none, none, 120) })).missing]).to.deep.equal([2]);
    expect(computeReport(tables({ prices: numbers(none, none, 100, 120) })).values[0]).to.be.NaN;
    expect(report({ prices: numbers(none, none, 100, 120) })['prices']).to.include({ days_unknown: 2 });
  });

  it('takes transfers at the price that their day is valued at, and tells those without one', () => {
    const moved = transfers([0, 1, 2, 5], [0, 3, -0.5, 1]);
    const reported = report({ prices: numbers(110, none, 100, 120), transfers: moved });
    expect(reported).to.include({ inflow: 150 + 2 * 110 + 5, outflow: 0.5 * 120 - 1 });
    const unknown = report({ prices: numbers(none, none, 100, 120), transfers: moved });
    expect(unknown['unvalued_transfers']).to.deep.equal({
      count: 2,
      first: [{ asset: 'coin', date: '2024-01-02', direction: 'in', count: 2 }],
    });
    expect(unknown).to.include({ inflow: 150, outflow: 59 });
  });

  it('gives the benchmark without prices a reason, and takes nothing for a fall where nothing was held', () => {
    const bare = report({ benchmark: numbers(none, none, none, none) })['benchmark'] as unknown as Reported;
    expect(bare['xirr']).to.deep.equal({ value: null, reason: 'no_prices' });
    const empty = report({ quantities: numbers(0, 0, 0, 0), inflows: numbers(0, 0, 0, 0) });
    expect(empty['max_drawdown']).to.deep.equal({
      value: null,
      reason: 'no_capital',
      peak: null,
      trough: null,
      recovered: null,
    });
  });

  it('says that more went out than the benchmark was worth, and not that a price was missing', () => {
    // 100 and 50 came in at 10 each, 15 units; after the fall 100 are more than they are worth.
    const gone = report({ benchmark: numbers(10, 10, 10, 1), outflows: numbers(0, 0, 0, 100) });
    expect((gone['benchmark'] as unknown as Reported)['gain']).to.deep.equal({
      value: null,
      reason: 'more_withdrawn_than_held',
    });
    const late = report({ benchmark: numbers(none, 10, 10, 1) })['benchmark'] as unknown as Reported;
    expect(late['xirr']).to.deep.equal({ value: null, reason: 'value_unknown' });
  });

  it('correlates the thirty largest that are held at the end, the largest first', () => {
    const assets = Array.from({ length: 32 }, (_, number) => `coin-${number}`);
    const rows = (fill: (asset: number) => number[]) =>
      Float64Array.from(assets.flatMap((_, number) => fill(number)));
    const reported = report({
      assets,
      quantities: rows((asset) => (asset === 31 ? [1, 1, 1, 0] : [1, 1, 1, asset + 1])),
      quantitiesBefore: new Float64Array(32),
      prices: rows((asset) => (asset % 2 === 0 ? [1, 2, 1, 2] : [2, 1, 2, 1])),
      pricesBefore: new Float64Array(32).fill(none),
      observedBefore: new Float64Array(32).fill(none),
    });
    const {
      assets: named,
      matrix,
      left_out,
    } = reported['correlation'] as unknown as {
      assets: string[];
      matrix: number[][];
      left_out: number;
    };
    expect(named).to.have.length(30);
    expect(named.slice(0, 3)).to.deep.equal(['coin-30', 'coin-28', 'coin-26']);
    expect(named).to.not.include('coin-31');
    expect(left_out).to.equal(1);
    expect(matrix[0]![1]).to.be.closeTo(1, 1e-12);
    expect(matrix[0]![named.indexOf('coin-3')]).to.be.closeTo(-1, 1e-12);
  });
});

describe('the tables of a range', () => {
  it('carry an old price into it, but correlate none with it that was not observed on the day before', () => {
    const one = '1000000000000000000';
    const held = (assetId: string) => ({ assetId, days: [firstDay - 90], changes: [one] });
    const at = (...days: number[]) => days.map((day) => (firstDay + day) * 86_400_000);
    const { pricesBefore, observedBefore, quantitiesBefore } = tablesOf(
      {
        portfolioId: 'mine',
        currency: 'usd',
        timeZone: 'UTC',
        range: '7d',
        benchmark: 'new',
        riskFreeRate: 0,
        asOf: 0,
      },
      {
        booksVersion: 1,
        books: {
          booksVersion: 1,
          assets: [held('new'), held('old')],
          transfers: [],
          cash: { days: [], inflows: [], outflows: [] },
          costBasis: null,
        },
        hasBefore: true,
        firstDay,
        days: 2,
        assets: ['new', 'old'],
      },
      {
        closes: new Map([
          [
            'new',
            [
              { days: at(-60), closes: [4] },
              { days: at(-1, 0), closes: [5, 6] },
            ],
          ],
          ['old', [{ days: at(-2, 0), closes: [7, 8] }]],
        ]),
        today: new Map(),
      },
    );
    expect([...quantitiesBefore]).to.deep.equal([1, 1]);
    expect([...pricesBefore]).to.deep.equal([5, 7]);
    expect([...observedBefore]).to.deep.equal([5, none]);
  });
});

describe('the threads of figures', () => {
  it('compute what is computed inline, over tables that are handed over', async () => {
    const pool = createThreadPool();
    try {
      const given = tables();
      const { json, missing } = await createPerformanceStats(pool, 0).run(given);
      expect(json).to.equal(computeReport(tables()).json);
      expect([...missing]).to.deep.equal([0]);
      expect(given.prices).to.have.length(0);
      expect(buffersOf(given).every(({ byteLength }) => byteLength === 0)).to.equal(true);
    } finally {
      await pool.close();
    }
  });

  it('are left alone by small tables', async () => {
    const given = tables();
    const pool = createThreadPool();
    await createPerformanceStats(pool).run(given);
    expect(given.prices).to.have.length(4);
    await pool.close();
  });
});
