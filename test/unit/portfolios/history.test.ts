/**
 * Real prices (HISTORY_DIR, a folder with CoinGecko's daily exports such as btc-usd.csv): each of six assets bought monthly,
 * with sales and swaps, against a straightforward computation that shares no code with the books.
 */
import { expect } from 'chai';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatAmount, multiply } from '../../../src/features/portfolios/ledger/amount.ts';
import { dayNumber, daysOf } from '../../../src/features/portfolios/ledger/days.ts';
import { createLedger } from '../../support/ledger.ts';
import { dailyFlows, dailyQuantities } from '../../support/daily-tables.ts';
import { performanceOf } from '../../../src/features/portfolios/performance/performance.ts';
import { valueSeries } from '../../../src/features/portfolios/performance/tables.ts';
import type { Transaction } from '../../../src/features/portfolios/ledger/transaction.ts';
import { amount, transaction } from './support/transactions.ts';

const folder = process.env.HISTORY_DIR;
const assets = ['btc', 'eth', 'ada', 'luna', 'sol', 'dot'];
const lastDay = dayNumber('2022-03-31');

/** Price by day; of several in a day the last. */
function pricesOf(asset: string): Map<number, number> {
  const rows = readFileSync(join(folder!, `${asset}-usd.csv`), 'utf8')
    .trim()
    .split(/\r?\n/)
    .slice(1);
  return new Map(
    rows.flatMap((row): [number, number][] => {
      const [at = '', price = ''] = row.split(',');
      return price === '' ? [] : [[dayNumber(at.slice(0, 10)), Number(price)]];
    }),
  );
}

interface Move {
  day: number;
  buys?: [asset: string, quantity: number];
  sells?: [asset: string, quantity: number];
}

/** Monthly purchases of 100 for each asset; each June a tenth is sold, each October a tenth swapped into bitcoin. */
function movesOf(prices: ReadonlyMap<string, Map<number, number>>): Move[] {
  const moves: Move[] = [];
  for (const asset of assets) {
    const own = prices.get(asset)!;
    let held = 0;
    const monthly = [...own.keys()].filter(
      (day, index) => index === 0 || new Date(day * 864e5).getUTCDate() === 1,
    );
    for (const day of monthly.sort((a, b) => a - b)) {
      const quantity = Math.round((100 / own.get(day)!) * 1e6) / 1e6;
      moves.push({ day, buys: [asset, quantity] });
      held += quantity;
      const month = new Date(day * 864e5).getUTCMonth();
      const tenth = Math.floor(held * 1e5) / 1e6;
      if ((month !== 5 && month !== 9) || tenth === 0) continue;
      held -= tenth;
      if (month === 5 || asset === 'btc') moves.push({ day, sells: [asset, tenth] });
      else
        moves.push({
          day,
          sells: [asset, tenth],
          buys: ['btc', Math.round(((tenth * own.get(day)!) / prices.get('btc')!.get(day)!) * 1e8) / 1e8],
        });
    }
  }
  return moves;
}

function transactionsOf(
  moves: readonly Move[],
  prices: ReadonlyMap<string, Map<number, number>>,
): Transaction[] {
  const worth = (asset: string, quantity: number, day: number): bigint =>
    multiply(amount(quantity.toFixed(8)), amount(prices.get(asset)!.get(day)!.toFixed(12)));
  return moves.map(({ day, buys, sells }, index) => {
    const [asset, quantity] = (sells ?? buys)!;
    const when = new Date(day * 864e5).toISOString().slice(0, 10);
    const value = formatAmount(worth(asset, quantity, day));
    const id = `m${String(index).padStart(5, '0')}`;
    const single = transaction(sells === undefined ? 'buy' : 'sell', when, {
      id,
      asset,
      quantity: quantity.toFixed(8),
      value,
    });
    if (sells === undefined || buys === undefined) return single;
    return { ...single, type: 'swap', received: { asset: buys[0], quantity: amount(buys[1].toFixed(8)) } };
  });
}

/** The annual rate at which payments cancel out, by halving. */
function bisected(cash: readonly { day: number; paid: number }[], firstDay: number): number {
  let [low, high] = [-0.99, 100];
  for (let step = 0; step < 200; step++) {
    const middle = (low + high) / 2;
    const present = cash.reduce(
      (sum, { day, paid }) => sum + paid / (1 + middle) ** ((day - firstDay) / 365),
      0,
    );
    if (present > 0) low = middle;
    else high = middle;
  }
  return low;
}

describe('six assets bought monthly at real prices', function () {
  before(function () {
    if (folder === undefined || !existsSync(folder)) this.skip();
  });

  it('have the value series, TWR and XIRR of a straightforward computation', () => {
    const prices = new Map(assets.map((asset) => [asset, pricesOf(asset)]));
    const moves = movesOf(prices);
    const transactions = transactionsOf(moves, prices);
    const firstDay = Math.min(...moves.map(({ day }) => day));
    const days = lastDay - firstDay + 1;
    const span = { firstDay, days, dayOf: daysOf('UTC') };

    // The straightforward way: day by day, with plain numbers.
    const held = new Map<string, number>();
    const last = new Map<string, number>();
    const values: number[] = [];
    let [growth, missing, valueBefore] = [1, 0, 0];
    const cash: { day: number; paid: number }[] = [];
    for (let day = firstDay; day <= lastDay; day++) {
      for (const asset of assets) {
        const price = prices.get(asset)!.get(day);
        if (price !== undefined) last.set(asset, price);
      }
      let [came, went] = [0, 0];
      for (const { buys, sells } of moves.filter((move) => move.day === day)) {
        if (buys !== undefined) held.set(buys[0], (held.get(buys[0]) ?? 0) + buys[1]);
        if (sells !== undefined) held.set(sells[0], (held.get(sells[0]) ?? 0) - sells[1]);
        if (sells === undefined) came += buys![1] * last.get(buys![0])!;
        else if (buys === undefined) went += sells[1] * last.get(sells[0])!;
      }
      const value = [...held].reduce((sum, [asset, quantity]) => sum + quantity * last.get(asset)!, 0);
      if ([...held.keys()].some((asset) => !prices.get(asset)!.has(day))) missing += 1;
      growth *= (value + went) / (valueBefore + came);
      if (came + went > 0) cash.push({ day, paid: went - came });
      values.push(value);
      valueBefore = value;
    }
    cash.push({ day: lastDay, paid: valueBefore });
    const rate = bisected(cash, firstDay);

    const table = Float64Array.from(
      { length: assets.length * days },
      (_, at) => prices.get(assets[Math.floor(at / days)]!)!.get(firstDay + (at % days)) ?? NaN,
    );
    const series = valueSeries({
      days,
      quantities: dailyQuantities(transactions, assets, span),
      prices: table,
      pricesBefore: new Float64Array(assets.length).fill(NaN),
    });
    const flows = dailyFlows(transactions, span, () => NaN);
    const figures = performanceOf(
      { ...flows, values: series.values, firstDay, prices: table, benchmark: null, riskFreeRate: 0 },
      'max',
    );
    series.values.forEach((value, day) => expect(value / values[day]!).to.be.closeTo(1, 1e-9));
    expect(series.unknownDays).to.equal(0);
    expect(series.carriedDays).to.equal(missing);
    expect(missing).to.be.above(0);
    expect((figures.timeWeighted.value! + 1) / growth).to.be.closeTo(1, 1e-9);
    expect(figures.moneyWeighted.value).to.be.closeTo(rate, 1e-9);
    const ledger = createLedger({ method: 'fifo' }, transactions);
    for (const asset of assets) {
      expect(Number(formatAmount(ledger.holding(asset)))).to.be.closeTo(held.get(asset)!, 1e-6);
    }
  });
});
