/**
 * The whole way of performance — exports imported into candles, transactions booked, the job run — against a straightforward
 * computation over the same files that shares no code with it. At real prices where HISTORY_DIR names a folder with
 * CoinGecko's daily exports such as btc-usd.csv, and always over small made-up files with the same traps: missing days, empty
 * cells, times that are not midnight.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import { parseAmount } from '../../../src/features/portfolios/ledger/amount.ts';
import { computeReport } from '../../../src/features/portfolios/performance/report.ts';
import type { Transaction } from '../../../src/features/portfolios/ledger/transaction.ts';
import {
  readRangeBooks,
  readRangePrices,
  tablesOf,
} from '../../../src/features/portfolios/performance/performance-tables.ts';
import { openPerformanceRuns, type PerformanceRuns } from '../../support/performance-run.ts';

const dayMs = 86_400_000;
const lastDay = Date.UTC(2022, 2, 31) / dayMs;
const textOf = (day: number): string => new Date(day * dayMs).toISOString().slice(0, 10);

/** Price by day, as a file has it; of several rows of a day the first. */
type Prices = ReadonlyMap<string, ReadonlyMap<number, number>>;

function pricesOf(folder: string, assets: readonly string[]): Prices {
  const files = assets.map((asset): [string, Map<number, number>] => {
    const own = new Map<number, number>();
    for (const row of readFileSync(join(folder, `${asset}-usd.csv`), 'utf8')
      .trim()
      .split(/\r?\n/)
      .slice(1)) {
      const [at = '', price = ''] = row.split(',');
      const day = Date.parse(`${at.slice(0, 10)}T00:00:00Z`) / dayMs;
      if (price !== '' && !own.has(day)) own.set(day, Number(price));
    }
    return [asset, own];
  });
  return new Map(files);
}

/** What is done on a day, in plain numbers that are written with a few digits. */
interface Move {
  day: number;
  type: Transaction['type'];
  takes?: [asset: string, quantity: string];
  gives?: [asset: string, quantity: string];
  /** Cash of purchases and sales. */
  value: string;
  /** In cash. */
  fee?: string;
}

/**
 * 100 of each asset on its first day and each first of a month; each June a tenth is sold, each October a tenth swapped into
 * the first asset. Fees in cash, a reward and transfers come along.
 */
function movesOf(prices: Prices): Move[] {
  const [first = ''] = prices.keys();
  const moves: Move[] = [];
  for (const [asset, own] of prices) {
    let held = 0;
    const days = [...own.keys()].filter(
      (day, index) => index === 0 || new Date(day * dayMs).getUTCDate() === 1,
    );
    for (const day of days) {
      const price = own.get(day)!;
      const bought = (100 / price).toFixed(8);
      moves.push({ day, type: 'buy', takes: [asset, bought], value: (100).toFixed(2), fee: '0.5' });
      held += Number(bought);
      const month = new Date(day * dayMs).getUTCMonth();
      const tenth = (Math.floor(held * 1e7) / 1e8).toFixed(8);
      if (month === 5 || (month === 9 && asset === first)) {
        held -= Number(tenth);
        const value = (Number(tenth) * price).toFixed(4);
        moves.push({ day, type: 'sell', gives: [asset, tenth], value, fee: '0.25' });
      } else if (month === 9 && prices.get(first)!.has(day)) {
        held -= Number(tenth);
        const worth = Number(tenth) * price;
        const taken = (worth / prices.get(first)!.get(day)!).toFixed(8);
        moves.push({
          day,
          type: 'swap',
          takes: [first, taken],
          gives: [asset, tenth],
          value: worth.toFixed(4),
        });
      } else if (month === 0) {
        moves.push({ day, type: 'reward', takes: [asset, '0.001'], value: (price / 1000).toFixed(6) });
        held += 0.001;
      } else if (month === 2) {
        moves.push({ day: day + 1, type: 'transfer_out', gives: [asset, '0.0005'], value: '0' });
        moves.push({ day: day + 3, type: 'transfer_in', takes: [asset, '0.0005'], value: '0', fee: '1' });
      }
    }
  }
  return moves.filter(({ day }) => day <= lastDay);
}

function transactionsOf(moves: readonly Move[]): Transaction[] {
  const leg = (sent: Move['takes']) =>
    sent === undefined ? null : { asset: sent[0], quantity: parseAmount(sent[1])! };
  return moves.map(({ day, type, takes, gives, value, fee }) => ({
    id: uuidv7(),
    type,
    at: day * dayMs + dayMs / 2,
    sequence: 0,
    received: leg(takes),
    sent: leg(gives),
    value: parseAmount(value)!,
    fee: fee === undefined ? null : { asset: null, quantity: parseAmount(fee)!, value: parseAmount(fee)! },
  }));
}

interface Reported extends Record<'twr' | 'xirr' | 'gain', { value: number }> {
  prices: {
    days_carried: number;
    days_unknown: number;
    by_asset: { asset: string; carried: number }[];
  };
  unvalued_transfers: { count: number };
}

interface Straight {
  values: number[];
  /** By asset. */
  carried: Map<string, number>;
  carriedDays: number;
  growth: number;
  rate: number;
  gain: number;
}

/** What comes in from outside, or goes out of it (less than 0). */
function flowOf({ type, takes, gives, value, fee = '0' }: Move, last: ReadonlyMap<string, number>): number {
  if (type === 'buy') return Number(value) + Number(fee);
  if (type === 'sell') return Number(fee) - Number(value);
  if (type === 'transfer_in') return Number(takes![1]) * last.get(takes![0])! + Number(fee);
  return type === 'transfer_out' ? -Number(gives![1]) * last.get(gives![0])! : 0;
}

/** Day by day, with plain numbers. */
function straightforward(moves: readonly Move[], prices: Prices, firstDay: number): Straight {
  const held = new Map<string, number>();
  const last = new Map<string, number>();
  const carried = new Map<string, number>();
  const values: number[] = [];
  const cash: { day: number; paid: number }[] = [];
  let [growth, carriedDays, before, gain] = [1, 0, 0, 0];
  for (let day = firstDay; day <= lastDay; day++) {
    for (const [asset, own] of prices) if (own.has(day)) last.set(asset, own.get(day)!);
    let [came, went] = [0, 0];
    for (const move of moves.filter((each) => each.day === day)) {
      const { takes, gives } = move;
      if (takes) held.set(takes[0], (held.get(takes[0]) ?? 0) + Number(takes[1]));
      if (gives) held.set(gives[0], (held.get(gives[0]) ?? 0) - Number(gives[1]));
      const flow = flowOf(move, last);
      came += Math.max(0, flow);
      went += Math.max(0, -flow);
    }
    let value = 0;
    let isCarried = false;
    for (const [asset, quantity] of held) {
      value += quantity * last.get(asset)!;
      if (prices.get(asset)!.has(day)) continue;
      carried.set(asset, (carried.get(asset) ?? 0) + 1);
      isCarried = true;
    }
    if (isCarried) carriedDays += 1;
    growth *= (value + went) / (before + came);
    gain += value - before + went - came;
    cash.push({ day, paid: went - came });
    values.push(value);
    before = value;
  }
  cash.push({ day: lastDay, paid: before });
  return { values, carried, carriedDays, growth, gain, rate: bisected(cash, firstDay) };
}

/** The annual rate at which payments cancel out, by halving. */
function bisected(cash: readonly { day: number; paid: number }[], firstDay: number): number {
  let [low, high] = [-0.99, 100];
  for (let step = 0; step < 200; step++) {
    const rate = (low + high) / 2;
    const present = cash.reduce(
      (sum, { day, paid }) => sum + paid / (1 + rate) ** ((day - firstDay) / 365),
      0,
    );
    if (present > 0) low = rate;
    else high = rate;
  }
  return low;
}

/** Three assets over two years. */
async function madeUp(folder: string): Promise<void> {
  const begins = { btc: '2020-02-10', eth: '2020-08-20', dot: '2021-05-03' };
  for (const [index, [asset, begin]] of Object.entries(begins).entries()) {
    const rows = ['snapped_at,price,market_cap,total_volume'];
    let price = 100 / (index + 1) ** 3;
    for (let day = Date.parse(begin) / dayMs; day <= lastDay; day++) {
      price *= 1 + 0.04 * Math.sin(day * (1.3 + index)) + 0.002;
      const odd = (day * 7 + index) % 61;
      if (odd === 0 || (asset === 'dot' && day > lastDay - 90 && day < lastDay - 60)) continue;
      const time = odd === 1 ? '00:05:21' : '00:00:00';
      rows.push(`${textOf(day)} ${time} UTC,${odd === 2 ? '' : String(price)},${odd === 3 ? 0 : 1e6},5`);
    }
    await writeFile(join(folder, `${asset}-usd.csv`), `${rows.join('\n')}\n`);
  }
}

describe('performance from imported exports to the result of the job', () => {
  let runs: PerformanceRuns;
  let folder: string;

  before(async () => {
    runs = await openPerformanceRuns();
    folder = await mkdtemp(join(tmpdir(), 'exports-'));
    await madeUp(folder);
  });
  after(async () => {
    await runs.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function compare(from: string, assets: readonly string[]): Promise<Straight> {
    await runs.store.empty();
    for (const asset of assets) await runs.importFile(join(from, `${asset}-usd.csv`), asset);
    const prices = pricesOf(from, assets);
    const moves = movesOf(prices);
    const portfolio = await runs.portfolio();
    await runs.record(portfolio, transactionsOf(moves));
    const firstDay = Math.min(...moves.map(({ day }) => day));
    const expected = straightforward(moves, prices, firstDay);

    const work = runs.work(portfolio, { benchmark: 'btc' });
    const { resultJson, state } = await runs.run(work, await runs.submit(work));
    expect(state).to.equal('completed');
    const reported = JSON.parse(resultJson!) as Reported;
    expect(reported).to.include({ from: textOf(firstDay), to: '2022-03-31', days: lastDay - firstDay + 1 });
    expect((reported.twr.value + 1) / expected.growth).to.be.closeTo(1, 1e-9);
    expect(reported.xirr.value).to.be.closeTo(expected.rate, 1e-9);
    expect(reported.gain.value / expected.gain).to.be.closeTo(1, 1e-9);
    expect(reported.unvalued_transfers.count).to.equal(0);
    expect(reported.prices.days_unknown).to.equal(0);
    expect(reported.prices.days_carried).to.equal(expected.carriedDays);
    const carried = reported.prices.by_asset.map((each): [string, number] => [each.asset, each.carried]);
    expect(new Map(carried)).to.deep.equal(expected.carried);

    // The daily values that the figures are of, read from Postgres by the same steps as the job reads them.
    const question = { ...work, timeZone: 'UTC', asOf: runs.now };
    const books = await readRangeBooks(runs.deps.readBooks, question);
    const { values } = computeReport(
      tablesOf(question, books, await readRangePrices(runs.deps, question, books)),
    );
    expect(values).to.have.length(expected.values.length);
    values.forEach((value, day) => expect(value / expected.values[day]!).to.be.closeTo(1, 1e-9));
    return expected;
  }

  it('equals a straightforward computation over made-up exports', async () => {
    const { carriedDays, carried } = await compare(folder, ['btc', 'eth', 'dot']);
    expect(carriedDays).to.be.above(30);
    expect(carried.get('dot')).to.be.above(29);
    expect(runs.requested.at(-1)!.lacking.find(({ assetId }) => assetId === 'dot')!.days).to.be.above(29);
  });

  it('equals a straightforward computation at real prices (HISTORY_DIR)', async function () {
    const real = process.env.HISTORY_DIR;
    // Skipped where there is no folder of real exports: they are no part of the project.
    if (real === undefined || !existsSync(real)) return this.skip();
    this.timeout(60_000);
    const { carriedDays } = await compare(real, ['btc', 'eth', 'ada', 'luna', 'sol', 'dot']);
    expect(carriedDays).to.be.above(0);
  });
});
