import { expect } from 'chai';
import fc from 'fast-check';
import { daysOf, dayNumber } from '../../../src/features/portfolios/ledger/days.ts';
import {
  benchmarkValues,
  compoundAnnualGrowth,
  correlationMatrix,
  dailyReturns,
  growthOf,
  maxDrawdown,
  sharpe,
  sortino,
  tailRisk,
  timeWeightedReturn,
  volatility,
  type Statistic,
} from '../../../src/features/portfolios/performance/statistics.ts';
import { dailyFlows, dailyQuantities } from '../../support/daily-tables.ts';
import {
  performanceOf,
  type PerformanceInput,
} from '../../../src/features/portfolios/performance/performance.ts';
import { firstDayOf } from '../../../src/domain/performance-range.ts';
import { valueSeries } from '../../../src/features/portfolios/performance/tables.ts';
import { logXirr, xirr } from '../../../src/features/portfolios/performance/xirr.ts';
import { amount, cash, transaction } from './support/transactions.ts';

const array = (...values: number[]): Float64Array => Float64Array.from(values);

function valueOf(statistic: Statistic): number {
  if (statistic.value === null) throw new Error(`no figure: ${statistic.reason}`);
  return statistic.value;
}

function xirrOf(...flows: [day: string, amount: number][]): Statistic {
  return xirr({
    days: array(...flows.map(([day]) => dayNumber(day))),
    amounts: array(...flows.map(([, paid]) => paid)),
  });
}

describe('the money-weighted return', () => {
  it('is 37.336 % for the series of the spreadsheet manual (Microsoft, XIRR function)', () => {
    const rate = xirrOf(
      ['2008-01-01', -10_000],
      ['2008-03-01', 2_750],
      ['2008-10-30', 4_250],
      ['2009-02-15', 3_250],
      ['2009-04-01', 2_750],
    );
    expect(valueOf(rate)).to.be.closeTo(0.373362535, 1e-8);
  });

  it('is the plain annual rate where there is one payment in and one out', () => {
    expect(valueOf(xirrOf(['2021-01-01', -100], ['2022-01-01', 110]))).to.be.closeTo(0.1, 1e-12);
    expect(valueOf(xirrOf(['2021-01-01', -100], ['2021-01-02', 110]))).to.be.closeTo(1.1 ** 365 - 1, 1e5);
    expect(valueOf(xirrOf(['2021-01-01', -10_000], ['2021-01-11', 1]))).to.be.closeTo(-1, 1e-12);
    expect(valueOf(xirrOf(['2021-01-01', -1e-9], ['2022-01-01', 2e-9]))).to.be.closeTo(1, 1e-9);
  });

  it('is found where Newton from 10 % runs away', () => {
    const rate = xirrOf(['2010-01-01', -1], ['2010-06-01', -1e6], ['2012-01-01', 30]);
    const days = (dayNumber('2012-01-01') - dayNumber('2010-06-01')) / 365;
    expect(valueOf(rate)).to.be.closeTo((30 / 1e6) ** (1 / days) - 1, 1e-4);
  });

  it('is null with a reason where there is none', () => {
    expect(xirrOf()).to.deep.equal({ value: null, reason: 'no_flows' });
    expect(xirrOf(['2021-01-01', 0])).to.deep.equal({ value: null, reason: 'no_flows' });
    expect(xirrOf(['2021-01-01', -1], ['2022-01-01', -2])).to.deep.equal({
      value: null,
      reason: 'flows_of_one_sign',
    });
    expect(xirrOf(['2021-01-01', -1], ['2021-01-01', 2])).to.deep.equal({
      value: null,
      reason: 'flows_of_one_day',
    });
    // 1 - 2x + 2x² has no real root.
    expect(xirrOf(['2021-01-01', 1], ['2022-01-01', -2], ['2023-01-01', 2])).to.deep.equal({
      value: null,
      reason: 'no_rate_found',
    });
    expect(xirrOf(['2021-01-01', -1], ['2022-01-01', NaN])).to.deep.equal({
      value: null,
      reason: 'value_unknown',
    });
  });

  it('makes the present value of any investment 0', () => {
    const flows = fc.array(
      fc.record({ day: fc.integer({ min: 1, max: 3_000 }), paid: fc.integer({ min: -1_000, max: 1_000 }) }),
      { minLength: 1, maxLength: 40 },
    );
    // Four days that lose a third, which in a year is nearly everything: r is −1 but for its last digits, and only ln(1 + r) says how far from it.
    const nearlyAllLost: [{ day: number; paid: number }[], number] = [[{ day: 4, paid: 16 }], 23];
    fc.assert(
      fc.property(flows, fc.integer({ min: 1, max: 1e6 }), (later, first) => {
        const days = array(0, ...later.map(({ day }) => day));
        const amounts = array(-first, ...later.map(({ paid }) => paid));
        const logRate = logXirr({ days, amounts });
        const rate = xirr({ days, amounts });
        const { value } = logRate;
        expect(rate).to.deep.equal(value === null ? logRate : { value: Math.expm1(value) });
        if (value === null) return;
        // A flow of 0 is worth 0, also on a day whose factor is beyond the doubles.
        const terms = amounts.map((paid, index) =>
          paid === 0 ? 0 : paid * Math.exp(-value * (days[index]! / 365)),
        );
        const whole = terms.reduce((sum, term) => sum + Math.abs(term), 0);
        expect(Math.abs(terms.reduce((sum, term) => sum + term, 0)) / whole).to.be.below(1e-6);
      }),
      { examples: [nearlyAllLost] },
    );
  });
});

describe('the time-weighted return', () => {
  it('is 9.79 % in the textbook example of a deposit before a fall (Investopedia, "Time-Weighted Rate of Return")', () => {
    // 1,000,000 on 31 December; 1,162,484 on 15 August, when 100,000 are added; 1,192,328 at the end of the year.
    const values = array(1_000_000, 1_162_484, 1_262_484, 1_192_328);
    const inflows = array(1_000_000, 0, 100_000, 0);
    const returns = dailyReturns({ valueBefore: 0, values, inflows, outflows: array(0, 0, 0, 0) });
    expect(returns[1]).to.be.closeTo(0.1625, 5e-5);
    expect(returns[3]).to.be.closeTo(-0.0556, 5e-5);
    expect(valueOf(timeWeightedReturn(returns))).to.be.closeTo(0.0979, 5e-5);
  });

  it('is 15.84 % a year, and the money-weighted one 13.86 %, in the textbook example of shares bought in two years (CFA Institute, level I curriculum, "Discounted Cash Flow Applications")', () => {
    // A share for 100, a year later one for 120, after two years both sold at 130; 2 of dividend a share at each year's end.
    const values = array(100, 120, 240, 260);
    const flows = { inflows: array(100, 0, 120, 0), outflows: array(0, 2, 0, 4) };
    const returns = dailyReturns({ valueBefore: 0, values, ...flows });
    [0, 0.22, 0, 0.1].forEach((each, index) => expect(returns[index]).to.be.closeTo(each, 1e-12));
    const annual = compoundAnnualGrowth(timeWeightedReturn(returns), 2 * 365);
    expect(valueOf(annual)).to.be.closeTo(0.1584, 5e-5);
    const paid = xirr({ days: array(0, 365, 730), amounts: array(-100, 2 - 120, 4 + 260) });
    expect(valueOf(paid)).to.be.closeTo(0.1386, 5e-5);
  });

  it('of one who withdraws before the fall is the same (its second investor)', () => {
    // 100,000 less on 15 August; 1,003,440 at the end of the year.
    const values = array(1_000_000, 1_162_484, 1_062_484, 1_003_440);
    const outflows = array(0, 0, 100_000, 0);
    const returns = dailyReturns({ valueBefore: 0, values, inflows: array(1_000_000, 0, 0, 0), outflows });
    expect(valueOf(timeWeightedReturn(returns))).to.be.closeTo(0.0979, 5e-5);
  });

  it('counts the day of the first purchase, and takes fees for a loss', () => {
    const returns = dailyReturns({
      valueBefore: 0,
      values: array(95, 0, 0),
      inflows: array(100, 0, 0),
      outflows: array(0, 95, 0),
    });
    expect([...returns]).to.deep.equal([-0.050000000000000044, 0, NaN]);
  });

  it('keeps the flows of a day without a value for the next one that has one', () => {
    const returns = dailyReturns({
      valueBefore: 100,
      values: array(NaN, 220),
      inflows: array(100, 0),
      outflows: array(0, 0),
    });
    expect(returns[0]).to.be.NaN;
    expect(returns[1]).to.be.closeTo(0.1, 1e-15);
  });

  it('is none without capital, and is annualised only beyond a year', () => {
    expect(timeWeightedReturn(array(NaN))).to.deep.equal({ value: null, reason: 'no_capital' });
    expect(compoundAnnualGrowth({ value: 0.21 }, 365)).to.deep.equal({
      value: null,
      reason: 'span_of_a_year_or_less',
    });
    expect(valueOf(compoundAnnualGrowth({ value: 0.21 }, 730))).to.be.closeTo(0.1, 1e-12);
  });
});

describe('risk', () => {
  it('of returns worked out by hand', () => {
    const returns = array(0.01, NaN, 0.03, -0.02, 0.02);
    // Mean 0.01; squares 0, 4, 9, 1 (of 10^-4): sample deviation √(14 / 3) %.
    expect(valueOf(sharpe(returns, 0))).to.be.closeTo(
      (0.01 / (Math.sqrt(14 / 3) / 100)) * Math.sqrt(365),
      1e-9,
    );
    // Downside √(4 / 4) %.
    expect(valueOf(sortino(returns, 0))).to.be.closeTo(Math.sqrt(365), 1e-9);
    const even = array(Math.E - 1, 1 / Math.E - 1);
    expect(valueOf(volatility(even))).to.be.closeTo(Math.SQRT2 * Math.sqrt(365), 1e-9);
  });

  it('spreads the risk-free rate over the days', () => {
    expect(valueOf(sharpe(array(0.02, 0), 3.65))).to.be.closeTo(0, 1e-9);
  });

  it('takes the risk-free rate for the target of the downside, too', () => {
    // 1 % a day: excess returns of 2, -1, 1 and -2 %, whose mean is 0, and of 3, -1 %, whose downside is √(1 / 2) %.
    expect(valueOf(sortino(array(0.03, 0, 0.02, -0.01), 3.65))).to.be.closeTo(0, 1e-9);
    expect(valueOf(sortino(array(0.04, 0), 3.65))).to.be.closeTo(
      (0.01 / (Math.sqrt(1 / 2) / 100)) * Math.sqrt(365),
      1e-9,
    );
    // Never below 0, but below the target.
    expect(valueOf(sortino(array(0.005, 0.015), 3.65))).to.be.closeTo(0, 1e-9);
    expect(sortino(array(0.01, 0.02), 3.65 / 2)).to.deep.equal({ value: null, reason: 'no_variation' });
  });

  it('takes the worst 5 of 100 days for the tail', () => {
    const returns = Float64Array.from({ length: 100 }, (_, index) => (((index * 37) % 100) - 50) / 1_000);
    const { valueAtRisk, conditional } = tailRisk(returns);
    expect(valueOf(valueAtRisk)).to.be.closeTo(0.046, 1e-12);
    expect(valueOf(conditional)).to.be.closeTo(0.048, 1e-12);
    // Of 99 days the worst four count, being less than a twentieth.
    expect(valueOf(tailRisk(returns.subarray(1)).valueAtRisk)).to.be.closeTo(0.046, 1e-12);
    expect(tailRisk(returns.subarray(0, 19)).valueAtRisk).to.deep.equal({
      value: null,
      reason: 'too_few_days',
    });
  });

  it('has reasons for what is not there', () => {
    expect(volatility(array(0.1))).to.deep.equal({ value: null, reason: 'too_few_days' });
    expect(volatility(array(0.1, -1))).to.deep.equal({ value: null, reason: 'all_was_lost' });
    expect(sharpe(array(0.1, 0.1, 0.1), 0)).to.deep.equal({ value: null, reason: 'no_variation' });
    expect(sortino(array(0.1, 0.2), 0)).to.deep.equal({ value: null, reason: 'no_variation' });
  });

  it('finds the deepest fall with its days', () => {
    const growth = array(1.2, 0.9, 1.5, 1.05, 0.75, 1.4, 1.5, 1.1);
    expect(maxDrawdown(growth)).to.deep.equal({ depth: 0.5, peak: 2, trough: 4, recovered: 6 });
    expect(maxDrawdown(array(0.8, 0.9))).to.deep.equal({
      depth: 1 - 0.8,
      peak: -1,
      trough: 0,
      recovered: null,
    });
    // Of equal highs the last one is what was fallen from, of equal falls the first is told.
    expect(maxDrawdown(array(1.5, 1.2, 1.5, 0.75, 1.5, 0.75))).to.deep.equal({
      depth: 0.5,
      peak: 2,
      trough: 3,
      recovered: 4,
    });
    expect(maxDrawdown(array(1, 1.1))).to.include({ depth: 0, recovered: null });
    expect([...growthOf(array(0.5, NaN, -0.5))]).to.deep.equal([1.5, 1.5, 0.75]);
  });

  it('correlates log returns of days on which both have prices of their own', () => {
    const first = [1, 2, 4, 2, NaN, 4, 8];
    const twin = first.map((price) => price * 10);
    const mirror = first.map((price) => 1 / price);
    const flat = first.map(() => 5);
    const matrix = correlationMatrix(array(...first, ...twin, ...mirror, ...flat), 7);
    expect(
      [...matrix].map((each) => (Number.isNaN(each) ? each : Math.round(each * 1e9) / 1e9)),
    ).to.deep.equal([1, 1, -1, NaN, 1, 1, -1, NaN, -1, -1, 1, NaN, NaN, NaN, NaN, 1]);
  });
});

describe('the value series', () => {
  it('carries prices forward, counts them, and knows no value before the first price', () => {
    const series = valueSeries({
      days: 4,
      quantities: array(1, 1, 1, 0, 0, 2, 2, 2),
      prices: array(10, NaN, 12, NaN, NaN, NaN, 5, NaN),
      pricesBefore: array(9, NaN),
    });
    expect([...series.values]).to.deep.equal([10, NaN, 22, 10]);
    expect([...series.prices]).to.deep.equal([10, 10, 12, 12, NaN, NaN, 5, 5]);
    expect([...series.carried]).to.deep.equal([1, 1]);
    expect([...series.unpriced]).to.deep.equal([0, 1]);
    expect([series.carriedDays, series.unknownDays]).to.deep.equal([1, 1]);
  });

  it('starts with the last price before it', () => {
    const input = { days: 1, quantities: array(3), prices: array(NaN), pricesBefore: array(2) };
    expect([...valueSeries(input).values]).to.deep.equal([6]);
  });
});

describe('daily tables', () => {
  const span = { firstDay: dayNumber('2021-01-02'), days: 3, dayOf: daysOf('UTC') };
  const fuelFee = { asset: 'fuel', quantity: amount('0.5'), value: amount(9) };
  const history = [
    transaction('buy', '2021-01-01', { quantity: 10, value: 100, fee: cash(1) }),
    transaction('transfer_in', '2021-01-01', { asset: 'fuel', quantity: 2, value: 4 }),
    transaction('sell', '2021-01-03', { quantity: 4, value: 80, fee: cash(2) }),
    transaction('buy', '2021-01-03', { quantity: 1, value: 30, fee: fuelFee }),
    transaction('reward', '2021-01-04', { quantity: 1, value: 20 }),
    transaction('transfer_out', '2021-01-04', { id: 'out', quantity: 2, value: 1 }),
    transaction('transfer_out', '2021-01-04', { id: 'blind', asset: 'fuel', quantity: 1 }),
    transaction('buy', '2021-01-05', { quantity: 1, value: 1 }),
  ];

  it('hold what is held at the end of each day', () => {
    const table = dailyQuantities(history, ['token', 'fuel'], span);
    expect([...table]).to.deep.equal([10, 7, 6, 2, 1.5, 0.5]);
  });

  it('take purchases, sales and transfers for flows, cash fees included', () => {
    const worth = ({ asset }: { asset: string }): number => (asset === 'token' ? 50 : NaN);
    const { inflows, outflows, unvalued } = dailyFlows(history, span, worth);
    expect([...inflows]).to.deep.equal([0, 30, 0]);
    expect([...outflows]).to.deep.equal([0, 78, 50]);
    expect(unvalued).to.deep.equal(['blind']);
  });

  it('number days of a time zone, also where the clock changes', () => {
    const berlin = daysOf('Europe/Berlin');
    const day = dayNumber('2021-03-28');
    expect(berlin(Date.parse('2021-03-27T22:59:59Z'))).to.equal(day - 1);
    expect(berlin(Date.parse('2021-03-27T23:00:00Z'))).to.equal(day);
    expect(berlin(Date.parse('2021-03-28T21:59:59Z'))).to.equal(day);
    expect(berlin(Date.parse('2021-03-28T22:00:00Z'))).to.equal(day + 1);
    expect(daysOf('Asia/Kathmandu')(Date.parse('2021-03-27T18:15:00Z'))).to.equal(day);
  });
});

describe('the performance of a portfolio', () => {
  const input: PerformanceInput = {
    firstDay: dayNumber('2020-12-30'),
    values: array(100, 110, 121, 242, 121),
    inflows: array(100, 0, 0, 110, 0),
    outflows: array(0, 0, 0, 0, 110),
    prices: array(),
    benchmark: array(10, 10, 20, 20, 10),
    riskFreeRate: 0,
  };

  it('tells of the range asked for, from the value before it', () => {
    const ytd = performanceOf(input, 'ytd');
    expect([ytd.firstDay, ytd.lastDay]).to.deep.equal([dayNumber('2021-01-01'), dayNumber('2021-01-03')]);
    expect(ytd).to.include({ valueBefore: 110, valueAfter: 121, inflow: 110, outflow: 110 });
    expect(valueOf(ytd.gain)).to.equal(11);
    expect(valueOf(ytd.roi)).to.be.closeTo(11 / 220, 1e-12);
    // +10 %, then 231 became 242, then 242 became 121 + 110.
    expect(valueOf(ytd.timeWeighted)).to.be.closeTo((1.1 * 242 * 231) / (231 * 242) - 1, 1e-12);
    expect(ytd.drawdown.peak).to.equal(dayNumber('2021-01-02'));
  });

  it('invests the same flows in the benchmark', () => {
    const { benchmark } = performanceOf(input, 'max');
    // 10 units, 5.5 more at 20 on the fourth day, 11 sold at 10 on the fifth: 4.5 units at 10 remain.
    expect(valueOf(benchmark!.gain)).to.be.closeTo(45 + 110 - 210, 1e-9);
    expect(valueOf(benchmark!.timeWeighted)).to.be.closeTo(0, 1e-9);
    expect([
      ...benchmarkValues(
        { valueBefore: 0, values: array(1, 1), inflows: array(1, 0), outflows: array(0, 3) },
        array(1, 1),
        NaN,
      ),
    ]).to.deep.equal([1, NaN]);
  });

  it('takes the risk-free rate that was asked for, in the ratios of the benchmark too', () => {
    const rate = 0.73;
    const requested = performanceOf({ ...input, riskFreeRate: rate }, 'max');
    // Of 10 %, 10 %, 4.76 % and -4.55 %; the first day has no return but that of nothing gained.
    const returns = array(0, 0.1, 0.1, 242 / 231 - 1, 231 / 242 - 1);
    expect(valueOf(requested.sharpe)).to.be.closeTo(valueOf(sharpe(returns, rate)), 1e-9);
    expect(valueOf(requested.sortino)).to.be.closeTo(valueOf(sortino(returns, rate)), 1e-9);
    const plain = performanceOf(input, 'max');
    for (const statistic of ['sharpe', 'sortino'] as const) {
      expect(valueOf(requested[statistic])).to.be.below(valueOf(plain[statistic]));
      expect(valueOf(requested.benchmark![statistic])).to.be.below(valueOf(plain.benchmark![statistic]));
    }
  });

  it('has no gain where the value is unknown, and says so', () => {
    const unknown = performanceOf({ ...input, values: array(100, 110, 121, 242, NaN) }, 'max');
    expect(unknown.gain).to.deep.equal({ value: null, reason: 'value_unknown' });
    expect(unknown.moneyWeighted).to.deep.equal({ value: null, reason: 'value_unknown' });
  });

  it('begins its ranges where they begin', () => {
    const last = dayNumber('2021-03-01');
    expect(firstDayOf('1d', last)).to.equal(last);
    expect(firstDayOf('1y', last)).to.equal(dayNumber('2020-03-02'));
    expect(firstDayOf('ytd', last)).to.equal(dayNumber('2021-01-01'));
    expect(performanceOf(input, '1y').firstDay).to.equal(input.firstDay);
  });
});
