import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import { createDailyBooks, type DailyBooks } from '../../../src/features/portfolios/queries/daily-books.ts';
import { oneUnit, toNumber } from '../../../src/features/portfolios/ledger/amount.ts';
import { daysOf } from '../../../src/features/portfolios/ledger/days.ts';
import { dailyFlows, dailyQuantities } from '../../support/daily-tables.ts';
import type { Transaction } from '../../../src/features/portfolios/ledger/transaction.ts';
import { openPerformanceRuns, type PerformanceRuns } from '../../support/performance-run.ts';

const hourMs = 3_600_000;
const begin = Date.UTC(2025, 9, 20);
const assets = ['ada', 'bitcoin', 'ethereum'];

/** Numbers that are the same at every run. */
function randoms(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
}

/** Transactions of every type over some weeks in which clocks change; never more goes out than has come in. */
function madeUp(count: number): Transaction[] {
  const next = randoms(7);
  const units = (): bigint => BigInt(next(1_000_000) + 1) * 10n ** 13n + BigInt(next(1000));
  const cashFee = () => (next(3) === 0 ? { asset: null, quantity: oneUnit, value: oneUnit } : null);
  const base = (type: Transaction['type']) => ({
    id: uuidv7(),
    type,
    at: begin + hourMs + next(40 * 24 * 60) * 60_000,
    sequence: 0,
    received: null,
    sent: null,
    value: units(),
    fee: cashFee(),
  });
  const first = assets.map((asset) => ({
    ...base('buy'),
    at: begin,
    received: { asset, quantity: 10n ** 9n * oneUnit },
  }));
  const others = Array.from({ length: count }, (): Transaction => {
    const leg = () => ({ asset: assets[next(3)]!, quantity: units() });
    const made: (() => Transaction)[] = [
      () => ({ ...base('buy'), received: leg() }),
      () => ({ ...base('sell'), sent: leg() }),
      // A fee above the proceeds: on balance something was paid in.
      () => ({ ...base('sell'), sent: leg(), value: 1n, fee: { asset: null, quantity: 5n, value: 5n } }),
      () => ({
        ...base('swap'),
        received: { asset: 'ada', quantity: units() },
        sent: { asset: 'bitcoin', quantity: units() },
      }),
      () => ({ ...base('transfer_in'), received: leg(), fee: null }),
      () => ({ ...base('transfer_out'), sent: leg() }),
      () => ({ ...base('reward'), received: leg() }),
      () => ({ ...base('fee'), sent: leg(), fee: null }),
      () => ({
        ...base('buy'),
        received: leg(),
        fee: { asset: 'ethereum', quantity: units(), value: oneUnit },
      }),
    ];
    return made[next(made.length)]!();
  });
  return [...first, ...others];
}

/** Quantities at the end of each day, asset by asset, as the tables of statistics have them. */
function quantitiesOf(books: DailyBooks, span: { firstDay: number; days: number }): number[] {
  const table: number[] = [];
  for (const asset of assets) {
    const { days, changes } = books.assets.find(({ assetId }) => assetId === asset)!;
    for (let day = span.firstDay; day < span.firstDay + span.days; day++) {
      const held = changes
        .filter((_, index) => days[index]! <= day)
        .reduce((sum, by) => sum + BigInt(by), 0n);
      table.push(toNumber(held));
    }
  }
  return table;
}

describe('daily books', () => {
  let runs: PerformanceRuns;
  let transactions: readonly Transaction[];

  before(async () => {
    runs = await openPerformanceRuns();
    transactions = madeUp(400);
  });
  after(() => runs.close());

  for (const timeZone of ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu']) {
    it(`sums in Postgres what the books sum, by days of ${timeZone}`, async () => {
      const portfolio = await runs.portfolio({ timeZone });
      await runs.record(
        portfolio,
        transactions.map((each) => ({ ...each, id: uuidv7() })),
      );
      const books = await createDailyBooks(runs.store.knex)(portfolio.id, timeZone);
      const dayOf = daysOf(timeZone);
      const firstDay = dayOf(begin);
      const span = { firstDay, days: 45, dayOf };
      expect(quantitiesOf(books, span)).to.deep.equal([...dailyQuantities(transactions, assets, span)]);

      // Transfers are told apart from cash: at a price of 0 only the fees of transfers remain.
      const free = dailyFlows(transactions, span, () => 0);
      const flows = Array.from({ length: span.days }, () => 0);
      books.cash.days.forEach((day, index) => {
        const [inflow, outflow] = [books.cash.inflows[index]!, books.cash.outflows[index]!].map(BigInt);
        flows[day - firstDay]! += toNumber(inflow! - outflow!);
      });
      for (const { days, fees } of books.transfers)
        days.forEach((day, index) => (flows[day - firstDay]! += toNumber(BigInt(fees[index]!))));
      flows.forEach((flow, day) =>
        expect(flow, `day ${day}`).to.be.closeTo(free.inflows[day]! - free.outflows[day]!, 1e-6),
      );
      const count = books.transfers.flatMap(({ counts }) => counts).reduce((sum, each) => sum + each, 0);
      const isTransfer = ({ type }: Transaction) => type === 'transfer_in' || type === 'transfer_out';
      expect(count).to.equal(transactions.filter(isTransfer).length);
    });
  }

  it('sums what was before a day into the day before it, and leaves earlier flows out', async () => {
    const portfolio = await runs.portfolio();
    await runs.record(
      portfolio,
      transactions.map((each) => ({ ...each, id: uuidv7() })),
    );
    const read = createDailyBooks(runs.store.knex);
    const from = begin / (24 * hourMs) + 20;
    const whole = await read(portfolio.id, 'UTC');
    const part = await read(portfolio.id, 'UTC', from);
    const span = { firstDay: from - 1, days: 26 };
    expect(quantitiesOf(part, span)).to.deep.equal(quantitiesOf(whole, span));
    expect(part.assets.map(({ days }) => days[0])).to.deep.equal([from - 1, from - 1, from - 1]);
    expect(part.cash.days).to.deep.equal(whole.cash.days.filter((day) => day >= from));
  });

  it('tells no cost basis while the derived tables are behind, and nothing of nobody’s portfolio', async () => {
    const portfolio = await runs.portfolio();
    const { knex } = runs.store;
    const read = createDailyBooks(knex);
    expect(await read(portfolio.id, 'UTC')).to.deep.equal({
      booksVersion: 1,
      assets: [],
      transfers: [],
      cash: { days: [], inflows: [], outflows: [] },
      costBasis: { days: [], changes: [] },
    });
    await runs.record(portfolio, transactions.slice(0, 3));
    const behind = await read(portfolio.id, 'UTC');
    expect([behind.booksVersion, behind.costBasis]).to.deep.equal([2, null]);
    await knex('portfolios').where({ id: portfolio.id }).update({ booked_version: 2 });
    const bought = transactions
      .slice(0, 3)
      .reduce((sum, { value, fee }) => sum + value + (fee?.value ?? 0n), 0n);
    expect((await read(portfolio.id, 'UTC')).costBasis).to.deep.equal({
      days: [begin / (24 * hourMs)],
      changes: [String(bought)],
    });
    expect((await read(uuidv7(), 'UTC')).booksVersion).to.equal(0);
  });
});
