/** The derived tables are what the transactions come to, however they came to be. */
import { costBasisMethods, type CostBasisMethod, transactionTypes } from '../../../src/domain/bookkeeping.ts';
import { expect } from 'chai';
import fc from 'fast-check';
import { v7 as uuidv7 } from 'uuid';
import { amountOf, formatAmount, oneUnit } from '../../../src/features/portfolios/ledger/amount.ts';
import { createLedger } from '../../support/ledger.ts';
import { OverdrawnError } from '../../../src/features/portfolios/ledger/overdrawn-error.ts';
import type { RecordedTransaction } from '../../../src/features/portfolios/ledger/recorded-transaction.ts';
import type { Transaction } from '../../../src/features/portfolios/ledger/transaction.ts';
import { openBooks, type BooksUnderTest } from './support/books.ts';

const assets = ['aave', 'bitcoin', 'cardano'];
const dayMs = 86_400_000;
const begin = Date.UTC(2024, 0, 1);

const drawn = fc
  .record({
    type: fc.constantFrom(...transactionTypes, 'buy' as const, 'buy' as const, 'buy' as const),
    // Some on the same day, most within 30 days of others.
    at: fc.integer({ min: 0, max: 120 * 8 }).map((place) => begin + (place * dayMs) / 8),
    asset: fc.nat(2),
    step: fc.integer({ min: 1, max: 2 }),
    quantity: fc.bigInt({ min: 1n, max: 10n ** 19n }),
    value: fc.bigInt({ min: 0n, max: 10n ** 22n }),
    feeAsset: fc.option(fc.nat(2), { freq: 4 }),
  })
  .map(({ type, at, asset, step, quantity, value, feeAsset }) => {
    const comesIn = ['buy', 'transfer_in', 'reward', 'swap'].includes(type);
    const goesOut = ['sell', 'transfer_out', 'fee', 'swap'].includes(type);
    const leg = (index: number, of: bigint) => ({ asset: assets[index % 3]!, quantity: of });
    return made({
      type,
      at,
      received: comesIn ? leg(asset, quantity * 3n) : null,
      sent: goesOut ? leg(type === 'swap' ? asset + step : asset, quantity) : null,
      value,
      fee:
        feeAsset === null || type === 'fee'
          ? null
          : { asset: assets[feeAsset]!, quantity: quantity / 100n + 1n, value: value / 7n + 1n },
    });
  });

function made(
  sent: Pick<Transaction, 'type' | 'at' | 'received' | 'sent' | 'value'> & Partial<Transaction>,
): RecordedTransaction {
  return {
    id: uuidv7(),
    sequence: 0,
    fee: null,
    note: null,
    isMarketValue: false,
    isMarketFee: false,
    importId: null,
    fingerprint: null,
    ...sent,
  };
}

const step = fc.record({
  add: fc.array(drawn, { minLength: 1, maxLength: 8 }),
  remove: fc.array(fc.nat(60), { maxLength: 2 }),
  updates: fc.boolean(),
});

/** `count` purchases and sales of one asset, an hour apart. */
function trade(count: number, asset = 'bitcoin'): RecordedTransaction[] {
  return Array.from({ length: count }, (_, index) => {
    const isSale = index % 3 === 2;
    const leg = { asset, quantity: BigInt(index + 1) * (oneUnit / 7n) };
    return made({
      type: isSale ? 'sell' : 'buy',
      at: begin + index * 3_600_000,
      received: isSale ? null : leg,
      sent: isSale ? { asset, quantity: leg.quantity / 2n } : null,
      value: BigInt(index + 3) * oneUnit,
    });
  });
}

describe('derived books', () => {
  let books: BooksUnderTest;
  before(async () => {
    // So low that threads take part.
    books = await openBooks(40);
  });
  after(() => books.close());

  async function rebuilt(
    transactions: readonly RecordedTransaction[],
    method: CostBasisMethod,
    zone: string,
  ) {
    const fresh = await books.newPortfolio(method, zone);
    await books.record(fresh, { add: transactions });
    await books.update(fresh);
    return await books.projected(fresh);
  }

  for (const method of costBasisMethods) {
    it(`kept by ${method} step by step are what a rebuild gives, and what the books in memory say`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 6 }), async (steps) => {
          const zone = 'America/New_York';
          const id = await books.newPortfolio(method, zone);
          const known = new Map<string, RecordedTransaction>();
          for (const { add, remove, updates } of steps) {
            await apply(id, known, { add, remove });
            if (updates) await books.update(id);
          }
          await books.update(id);
          const kept = await books.projected(id);
          expect(kept).to.deep.equal(await rebuilt([...known.values()], method, zone));
          expect(kept['versions']).to.deep.equal([{ current: true }]);
          await agreesWithMemory(id, { method, zone, transactions: [...known.values()] });
        }),
        { numRuns: 8 },
      );
    }).timeout(60_000);
  }

  async function apply(
    id: string,
    known: Map<string, RecordedTransaction>,
    { add, remove }: { readonly add: readonly RecordedTransaction[]; readonly remove: readonly number[] },
  ): Promise<void> {
    const ids = [...known.keys()];
    const goes = [...new Set(remove.flatMap((place) => ids[place] ?? []))];
    // Each by itself: one that would overdraw is refused alone.
    const changes = [...add.map((each) => ({ add: [each] })), ...goes.map((each) => ({ remove: [each] }))];
    for (const change of changes) {
      try {
        await books.record(id, change);
      } catch (error) {
        if (error instanceof OverdrawnError) continue;
        throw error;
      }
      if ('add' in change) change.add.forEach((each) => known.set(each.id, each));
      else change.remove.forEach((each) => known.delete(each));
    }
  }

  async function agreesWithMemory(
    id: string,
    of: { method: CostBasisMethod; zone: string; transactions: readonly RecordedTransaction[] },
  ): Promise<void> {
    const memory = createLedger(of, of.transactions);
    const { assets: positions } = (await books.reading.find(id))!;
    expect(positions.map(({ assetId }) => assetId).sort()).to.deep.equal(memory.assets().sort());
    for (const { assetId, quantity, tally, openLots } of positions) {
      const snapshot = memory.snapshot(assetId)!;
      expect([quantity, openLots]).to.deep.equal([snapshot.holding, snapshot.lots.length]);
      expect(tally).to.deep.equal(snapshot.tally);
      await isConserved(id, assetId);
    }
  }

  /** To the last digit, over what is stored: acquired = open lots + consumed + left. */
  async function isConserved(id: string, assetId: string): Promise<void> {
    const { rows } = await books.knex.raw<{ rows: Record<string, string>[] }>(
      `select positions.acquired, coalesce(sum(basis) filter (where kind = 'disposal'), 0) as consumed,
         coalesce(sum(basis) filter (where kind = 'transfer'), 0) as "left", coalesce(sum(consumptions.proceeds), 0) as proceeds,
         positions.proceeds as "allProceeds"
       from positions left join consumptions using (portfolio_id, asset_id)
       where portfolio_id = ? and asset_id = ? group by positions.acquired, positions.proceeds`,
      [id, assetId],
    );
    const row = rows[0]!;
    const lots = await books.openLots(id, assetId);
    const open = lots.reduce((sum, { basis }) => sum + basis, 0n);
    const gone = amountOf(row['consumed']!) + amountOf(row['left']!);
    expect(formatAmount(open + gone)).to.equal(formatAmount(amountOf(row['acquired']!)));
    expect(amountOf(row['proceeds']!)).to.equal(amountOf(row['allProceeds']!));
  }

  it('forget an asset whose last transaction was deleted', async () => {
    const id = await books.newPortfolio('fifo');
    const [bought] = trade(1);
    await books.record(id, { add: [bought!] });
    await books.update(id);
    await books.record(id, { remove: [bought!.id] });
    await books.update(id);
    expect(await books.projected(id)).to.deep.include({ positions: [], lotMatches: [], ends: [] });
  });

  it('are replayed when the last posting goes and a mark lies right before it', async () => {
    const id = await books.newPortfolio('fifo');
    const all = trade(257);
    await books.record(id, { add: all });
    await books.update(id);
    await books.record(id, { remove: [all.at(-1)!.id] });
    await books.update(id);
    expect(await books.projected(id)).to.deep.equal(await rebuilt(all.slice(0, -1), 'fifo', 'UTC'));
  });

  it('are kept anew by another method, and by other days where days matter', async () => {
    const all = trade(60);
    const id = await books.newPortfolio('fifo');
    await books.record(id, { add: all });
    await books.update(id);
    for (const [method, zone] of [
      ['uk_pool', 'UTC'],
      ['uk_pool', 'Asia/Tokyo'],
      ['hifo', 'Asia/Tokyo'],
    ] as const) {
      await books
        .knex('portfolios')
        .where({ id })
        .update({
          method,
          time_zone: zone,
          books_version: books.knex.raw('books_version + 1'),
        });
      await books.update(id);
      expect(await books.projected(id), `${method} ${zone}`).to.deep.equal(await rebuilt(all, method, zone));
    }
  });

  it('keep few marks of a long ledger, the closer the nearer to its end, so that late changes replay little', async () => {
    const id = await books.newPortfolio('average');
    const all = trade(4_000);
    for (let at = 0; at < all.length; at += 50) {
      await books.record(id, { add: all.slice(at, at + 50) });
      await books.update(id);
    }
    const counts = (
      await books.knex('ledger_marks').where({ portfolio_id: id }).orderBy('count').pluck('count')
    ).map(Number);
    expect(counts.at(-1)).to.equal(4_000);
    expect(counts).to.have.lengthOf.at.most(10);
    for (const behind of [100, 500, 1_000, 2_000]) {
      const from = counts.findLast((count) => count <= 4_000 - behind) ?? 0;
      expect(4_000 - from, `what a change ${behind} from the end replays`).to.be.at.most(2.5 * behind + 512);
    }
  }).timeout(30_000);
});
