/**
 * What the books of a portfolio cost: full rebuild, one appended and one back-dated transaction, an appended one from a
 * stored mark, and the statistics over the whole range, by the number of transactions (30 assets, 8 years). Pure sums, no
 * servers: run it alone. `node --expose-gc` makes the memory figures steadier.
 */
import { costBasisMethods, type CostBasisMethod } from '../src/domain/bookkeeping.ts';
import { oneUnit } from '../src/features/portfolios/ledger/amount.ts';
import { daysOf } from '../src/features/portfolios/ledger/days.ts';
import { createAssetLedger } from '../src/features/portfolios/ledger/asset-ledger.ts';
import { createLedger } from '../test/support/ledger.ts';
import { readCheckpoint, writeCheckpoint } from '../src/features/portfolios/ledger/checkpoint.ts';
import { dailyFlows, dailyQuantities } from '../test/support/daily-tables.ts';
import { performanceOf } from '../src/features/portfolios/performance/performance.ts';
import { valueSeries } from '../src/features/portfolios/performance/tables.ts';
import { postingsOf } from '../src/features/portfolios/ledger/postings.ts';
import type { Transaction } from '../src/features/portfolios/ledger/transaction.ts';
import { median, ms } from './support/figures.ts';
import { seeded, tradedAssets, tradedMs, tradesOf } from './support/trades.ts';

const sizes = [2_000, 15_000, 100_000];
const assets = tradedAssets;
const startsAt = Date.UTC(2016, 0, 1);
const spanMs = tradedMs;
const repetitions = 5;

const portfolioOf = (size: number): Transaction[] => tradesOf(size, startsAt);

function timed<T>(run: () => T): { readonly tookMs: number; readonly result: T } {
  const startedAt = performance.now();
  const result = run();
  return { tookMs: performance.now() - startedAt, result };
}

function extra(at: number, count: number): Transaction {
  return {
    id: `extra-${at}-${count}`,
    type: 'buy',
    at,
    sequence: 0,
    received: { asset: 'asset-0', quantity: oneUnit },
    sent: null,
    value: oneUnit,
    fee: null,
  };
}

function measure(method: CostBasisMethod, transactions: readonly Transaction[]): string[] {
  let ledger = createLedger({ method });
  const rebuilds = Array.from({ length: repetitions }, () => {
    // Only one is kept, as it would be.
    ledger = createLedger({ method });
    const { tookMs, result } = timed(() => createLedger({ method }, transactions));
    ledger = result;
    return tookMs;
  });
  const insert = (share: number): string => {
    const at = startsAt + Math.floor(spanMs * share);
    const took = Array.from({ length: repetitions }, (_, count) =>
      timed(() => ledger.apply({ add: [extra(at, count)] })),
    );
    return ms(median(took.map(({ tookMs }) => tookMs)));
  };
  const stored = writeCheckpoint(ledger.checkpoints('asset-0').at(-1) ?? neverCheckpoint(), method);
  const resumed = timed(() => {
    const own = createAssetLedger({ method, dayOf: daysOf('UTC') }, readCheckpoint(stored, method));
    own.append(postingsOf(extra(startsAt + spanMs, 0)));
    return writeCheckpoint(own.checkpoints().at(-1) ?? neverCheckpoint(), method);
  });
  return [
    String(transactions.length),
    method,
    ms(median(rebuilds)),
    insert(1.01),
    insert(0.99),
    insert(0.5),
    insert(0.01),
    ms(resumed.tookMs),
    `${(stored.length / 1_024).toFixed(0)} KiB`,
    `${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MiB`,
  ];
}

function neverCheckpoint(): never {
  throw new Error('a ledger with postings has a mark');
}

const titles = [
  'transactions',
  'method',
  'full rebuild',
  'appended',
  'back-dated by 1 %',
  'by 50 %',
  'by 99 %',
  'appended from a stored mark',
  'the mark',
  'memory',
];
const rows = sizes.flatMap((size) => {
  const transactions = portfolioOf(size);
  return costBasisMethods.map((method) => measure(method, transactions));
});
for (const row of [titles, titles.map(() => '---'), ...rows])
  process.stdout.write(`| ${row.join(' | ')} |\n`);
for (const size of sizes) process.stdout.write(`${performanceCost(size)}\n`);
process.stdout.write(`peak memory: ${(process.resourceUsage().maxRSS / 1_024).toFixed(0)} MiB\n`);

/** What the tables and the figures over `max` take. */
function performanceCost(size: number): string {
  const transactions = portfolioOf(size);
  const dayOf = daysOf('UTC');
  const firstDay = dayOf(startsAt);
  const days = dayOf(startsAt + spanMs) - firstDay + 1;
  const random = seeded(1);
  const prices = Float64Array.from({ length: assets.length * days }, () =>
    random() < 0.01 ? NaN : 1 + random(),
  );
  const span = { firstDay, days, dayOf };
  const took = Array.from({ length: repetitions }, () => {
    const tables = timed(() => {
      const quantities = dailyQuantities(transactions, assets, span);
      const flows = dailyFlows(transactions, span, () => NaN);
      const pricesBefore = new Float64Array(assets.length).fill(1);
      return { ...flows, ...valueSeries({ days, quantities, prices, pricesBefore }) };
    });
    const benchmark = tables.result.prices.subarray(0, days);
    const figures = timed(() =>
      performanceOf({ ...tables.result, prices, firstDay, benchmark, riskFreeRate: 0 }, 'max'),
    );
    return { tablesMs: tables.tookMs, figuresMs: figures.tookMs };
  });
  const tables = ms(median(took.map(({ tablesMs }) => tablesMs)));
  const figures = ms(median(took.map(({ figuresMs }) => figuresMs)));
  return `${size} transactions, ${days} days, ${assets.length} assets: daily tables ${tables}, figures over max ${figures}`;
}
