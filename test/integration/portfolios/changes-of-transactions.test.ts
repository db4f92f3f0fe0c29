/** Changes of transactions in Postgres are taken and refused as the books in memory take and refuse them. */
import { transactionTypes } from '../../../src/domain/bookkeeping.ts';
import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import { v4 as uuidv4, v7 as uuidv7 } from 'uuid';
import { openDatabase } from '../../../db/connection.ts';
import {
  createPortfolioQueries,
  type PortfolioQueries,
} from '../../../src/features/portfolios/queries/portfolios.ts';
import {
  createTransactionQueries,
  type TransactionQueries,
} from '../../../src/features/portfolios/queries/transactions.ts';
import { openBookChange, recordChange } from '../../../src/features/portfolios/queries/write-transactions.ts';
import { formatAmount, oneUnit } from '../../../src/features/portfolios/ledger/amount.ts';
import { createLedger } from '../../support/ledger.ts';
import { OverdrawnError } from '../../../src/features/portfolios/ledger/overdrawn-error.ts';
import {
  comparePostings,
  postingsOf,
  type Posting,
} from '../../../src/features/portfolios/ledger/postings.ts';
import type { RecordedTransaction } from '../../../src/features/portfolios/ledger/recorded-transaction.ts';
import {
  compareTransactions,
  rankOf,
  type Transaction,
} from '../../../src/features/portfolios/ledger/transaction.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

const assets = ['aave', 'bitcoin', 'cardano'];
const hourMs = 3_600_000;
const begin = Date.UTC(2024, 0, 1);

/** Few moments, sequences and quantities: what is alike but for its id is the rule. */
const drawn: fc.Arbitrary<RecordedTransaction> = fc
  .record({
    id: fc.uuid({ version: [4, 7] }),
    type: fc.constantFrom(...transactionTypes, 'buy' as const, 'buy' as const, 'transfer_in' as const),
    moment: fc.nat(4),
    sequence: fc.nat(1),
    asset: fc.nat(2),
    step: fc.integer({ min: 1, max: 2 }),
    quantity: fc.integer({ min: 1, max: 4 }),
    feeAsset: fc.option(fc.nat(2), { freq: 4 }),
  })
  .map(({ id, type, moment, sequence, asset, step, quantity, feeAsset }) => {
    const leg = (index: number) => ({ asset: assets[index % 3]!, quantity: BigInt(quantity) * oneUnit });
    const comesIn = ['buy', 'transfer_in', 'reward', 'swap'].includes(type);
    const goesOut = ['sell', 'transfer_out', 'fee', 'swap'].includes(type);
    const hasFee = feeAsset !== null && type !== 'fee';
    return {
      id,
      type,
      at: begin + moment * hourMs,
      sequence,
      received: comesIn ? leg(asset) : null,
      sent: goesOut ? leg(type === 'swap' ? asset + step : asset) : null,
      value: 7n * oneUnit,
      fee: hasFee ? { asset: assets[feeAsset]!, quantity: oneUnit / 2n, value: oneUnit } : null,
      note: null,
      isMarketValue: false,
      isMarketFee: false,
      importId: null,
      fingerprint: null,
    };
  });

/** New ones, and which of those that are there go: by place. */
const step = fc.record({
  add: fc.array(drawn, { maxLength: 5 }),
  remove: fc.array(fc.nat(30), { maxLength: 2 }),
  replaces: fc.boolean(),
});

describe('changes of transactions', () => {
  let database: TestDatabase;
  let knex: Knex;
  let portfolios: PortfolioQueries;
  let transactions: TransactionQueries;
  let userId: string;

  before(async () => {
    database = await createTestDatabase();
    knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 4 });
    portfolios = createPortfolioQueries(knex);
    transactions = createTransactionQueries(knex);
    userId = uuidv7();
    await knex('users').insert({ id: userId, username: 'joe', email: 'joe@example.com', password_hash: 'x' });
  });
  after(async () => {
    await knex.destroy();
    await database.drop();
  });

  const newPortfolio = async (): Promise<string> => {
    const fields = { name: 'mine', baseCurrency: 'usd', method: 'fifo', timeZone: 'UTC' } as const;
    return (await portfolios.insert(userId, fields, 1_000_000)).id;
  };

  const record = (
    portfolioId: string,
    change: { readonly add?: readonly RecordedTransaction[]; readonly remove?: readonly string[] },
    limit = 1_000,
  ) => knex.transaction((trx) => recordChange(trx, { portfolioId, limit, by: {}, ...change }));

  async function stored(portfolioId: string): Promise<Transaction[]> {
    const all: Transaction[] = [];
    for await (const page of transactions.inOrder(portfolioId)) all.push(...page);
    return all;
  }

  /** Postings of each asset in their order, and what is held behind each. */
  function holdingsOf(all: Iterable<Transaction>): Map<string, { posting: Posting; holding: bigint }[]> {
    const found = new Map<string, { posting: Posting; holding: bigint }[]>();
    for (const posting of [...all].flatMap(postingsOf).sort(comparePostings)) {
      const rows = found.get(posting.asset) ?? [];
      const comesIn = posting.kind === 'acquire' || posting.kind === 'transfer_in';
      const change = comesIn ? posting.quantity : -posting.quantity;
      found.set(posting.asset, [...rows, { posting, holding: (rows.at(-1)?.holding ?? 0n) + change }]);
    }
    return found;
  }

  const keyOf = ({ transaction: { at, type, sequence, id }, isFee }: Posting) => ({
    at: new Date(at),
    rank: rankOf[type],
    sequence,
    transaction_id: id,
    is_fee: isFee,
  });

  /** As an update of the books leaves them, only more: behind every second posting, and the last. */
  async function putMarks(portfolioId: string, all: Iterable<Transaction>): Promise<void> {
    await knex('ledger_marks').where({ portfolio_id: portfolioId }).delete();
    const rows = [...holdingsOf(all)].flatMap(([asset_id, places]) =>
      places.map(({ posting, holding }, index) => ({
        portfolio_id: portfolioId,
        asset_id,
        count: index + 1,
        settled: 0,
        ...keyOf(posting),
        holding: formatAmount(holding),
        kept_as: 'test',
        state: '{}',
      })),
    );
    const kept = rows.filter(({ count, asset_id }) => {
      const last = rows.findLast((row) => row.asset_id === asset_id)?.count;
      return count % 2 === 1 || count === last;
    });
    if (kept.length > 0) await knex('ledger_marks').insert(kept);
  }

  /** What is left of the marks is still true. */
  async function checkMarks(portfolioId: string, all: Iterable<Transaction>): Promise<void> {
    const truth = holdingsOf(all);
    for (const checkpoint of await knex('ledger_marks').where({ portfolio_id: portfolioId })) {
      const place = truth.get(checkpoint.asset_id)?.[checkpoint.count - 1];
      expect(place, 'a mark without its posting').not.to.equal(undefined);
      const { at, rank, sequence, transaction_id, is_fee } = checkpoint;
      expect({ at, rank, sequence, transaction_id, is_fee }).to.deep.equal(keyOf(place!.posting));
      expect(checkpoint.holding).to.equal(formatAmount(place!.holding));
    }
  }

  it('are taken or refused as the ledger says, whatever comes at the same moment, with marks and without', async function () {
    this.timeout(60_000);
    let taken = 0;
    let refused = 0;
    const property = fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 8 }),
      fc.boolean(),
      async (steps, hasMarks) => {
        const portfolioId = await newPortfolio();
        const ledger = createLedger({ method: 'fifo' });
        const there = new Map<string, RecordedTransaction>();
        for (const { add, remove, replaces } of steps) {
          const ids = [...there.keys()].sort();
          const gone = new Set(remove.flatMap((place) => ids[place % Math.max(1, ids.length)] ?? []));
          const [replaced] = gone;
          const fresh = [...new Map(add.map((each) => [each.id, each])).values()].map((each, index) =>
            replaces && index === 0 && replaced !== undefined ? { ...each, id: replaced } : each,
          );
          const change = { add: fresh, remove: [...gone] };
          let expected: unknown;
          try {
            ledger.apply(change);
          } catch (error) {
            expected = error;
          }
          const seen: unknown = await record(portfolioId, change).catch((error: unknown) => error);
          if (expected === undefined) {
            expect(seen).to.be.an('array').with.length(fresh.length);
            gone.forEach((id) => there.delete(id));
            fresh.forEach((each) => there.set(each.id, each));
            taken++;
          } else {
            expect(seen, String(seen)).to.be.instanceOf(OverdrawnError);
            refused++;
          }
          await checkMarks(portfolioId, there.values());
          if (hasMarks) await putMarks(portfolioId, there.values());
        }
        expect((await stored(portfolioId)).map(({ id }) => id)).to.deep.equal(
          [...there.values()].sort(compareTransactions).map(({ id }) => id),
        );
        const rows = await knex('postings')
          .where({ portfolio_id: portfolioId })
          .orderBy(['asset_id', 'at', 'rank', 'sequence', 'transaction_id', 'is_fee']);
        const wanted = [...holdingsOf(there.values())].sort(([a], [b]) => (a < b ? -1 : 1));
        expect(rows.map((row) => [row.asset_id, row.transaction_id, row.is_fee, row.kind])).to.deep.equal(
          wanted.flatMap(([asset, places]) =>
            places.map(({ posting }) => [asset, posting.transaction.id, posting.isFee, posting.kind]),
          ),
        );
        const row = await knex('portfolios').where({ id: portfolioId }).first();
        expect(row.transaction_count).to.equal(there.size);
      },
    );
    await fc.assert(property, { numRuns: 80 });
    expect(taken).to.be.above(50);
    expect(refused).to.be.above(50);
  });

  const purchase = (different: Partial<RecordedTransaction> = {}): RecordedTransaction => ({
    id: uuidv7(),
    type: 'buy',
    at: begin,
    sequence: 0,
    received: { asset: 'bitcoin', quantity: oneUnit },
    sent: null,
    value: 100n * oneUnit,
    fee: null,
    note: null,
    isMarketValue: false,
    isMarketFee: false,
    importId: null,
    fingerprint: null,
    ...different,
  });

  it('say what was held and wanted, with the largest amounts there are', async () => {
    const portfolioId = await newPortfolio();
    const largest = 10n ** 38n - 1n;
    const received = { asset: 'bitcoin', quantity: largest };
    await record(portfolioId, { add: [purchase({ received }), purchase({ received, value: largest })] });
    const sent = { asset: 'bitcoin', quantity: largest };
    const sale = (): RecordedTransaction =>
      purchase({ type: 'sell', received: null, sent, at: begin + hourMs, value: 0n });
    const add = [sale(), sale(), sale()];
    const error: unknown = await record(portfolioId, { add }).catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(OverdrawnError);
    const reported = error as OverdrawnError;
    expect([reported.asset, reported.holding, reported.wanted]).to.deep.equal(['bitcoin', 0n, largest]);
    expect(reported.transaction).to.equal(add.map(({ id }) => id).toSorted()[2]);
    const [first] = await stored(portfolioId);
    expect(first?.received?.quantity).to.equal(largest);
  });

  it('of an import come in batches, pass over what is there, and are there as a whole or not at all', async function () {
    this.timeout(20_000);
    const portfolioId = await newPortfolio();
    const rows = Array.from({ length: 5_500 }, (_, index) =>
      purchase({ at: begin + index * 1_000, fingerprint: `row ${index}`, importId: userId }),
    );
    const bring = (all: readonly RecordedTransaction[], limit = 10_000) =>
      knex.transaction(async (trx) => {
        const change = await openBookChange(trx, { portfolioId, limit });
        const added = await change.add(all);
        return { added: added.length, version: await change.settle() };
      });
    const sale = purchase({
      type: 'sell',
      at: begin,
      received: null,
      sent: { asset: 'bitcoin', quantity: 2n * oneUnit },
    });
    expect(await bring([...rows, sale]).catch((error: unknown) => error)).to.be.instanceOf(OverdrawnError);
    expect(await bring(rows, 5_499).catch((error: unknown) => error)).to.include({
      code: 'transaction_limit',
    });
    expect(await stored(portfolioId)).to.deep.equal([]);
    expect(await bring(rows)).to.deep.equal({ added: 5_500, version: 2 });
    const again = rows.map((each) => ({ ...each, id: uuidv7() }));
    expect(await bring([...again, purchase({ fingerprint: 'another' })])).to.deep.equal({
      added: 1,
      version: 3,
    });
    expect(await bring(again)).to.deep.equal({ added: 0, version: 3 });
    expect(await knex('postings').where({ portfolio_id: portfolioId })).to.have.length(5_501);
    expect(await stored(portfolioId)).to.have.length(5_501);
  });

  it('are read in order from one snapshot, also when the reader stops early', async () => {
    const portfolioId = await newPortfolio();
    const all = Array.from({ length: 5_001 }, () => purchase({ id: uuidv4() }));
    await record(portfolioId, { add: all }, 10_000);
    const seen: string[] = [];
    for await (const page of transactions.inOrder(portfolioId)) {
      // What is added meanwhile is no part of the snapshot.
      if (seen.length === 0) await record(portfolioId, { add: [purchase({ at: begin + 1 })] }, 10_000);
      seen.push(...page.map(({ id }) => id));
    }
    expect(seen).to.deep.equal(all.map(({ id }) => id).toSorted());
    // Who stops early gives the connection back: the pool has four.
    for (let times = 0; times < 10; times++) {
      const pages = transactions.inOrder(portfolioId)[Symbol.asyncIterator]();
      expect((await pages.next()).value).to.have.length(5_000);
      await pages.return?.();
    }
    expect(await stored(portfolioId)).to.have.length(5_002);
  });

  it('wait for each other, and end when the portfolio is gone', async () => {
    const portfolioId = await newPortfolio();
    const made = await Promise.all([1, 2, 3].map(() => record(portfolioId, { add: [purchase()] })));
    expect(made.flat()).to.have.length(3);
    const row = await knex('portfolios').where({ id: portfolioId }).first();
    expect([row.books_version, row.transaction_count]).to.deep.equal([4, 3]);
    await portfolios.remove({ id: portfolioId, confirm: () => undefined });
    const late: unknown = await record(portfolioId, { add: [purchase()] }).catch((error: unknown) => error);
    expect(late).to.include({ code: 'portfolio_not_found' });
  });

  it('of how the books are kept void every mark and raise the version of the books', async () => {
    const portfolioId = await newPortfolio();
    const add = [purchase()];
    await record(portfolioId, { add });
    await putMarks(portfolioId, add);
    const confirm = (): void => undefined;
    const named = await portfolios.update({
      id: portfolioId,
      confirm,
      changes: { name: 'other', method: 'fifo' },
    });
    expect([named.version, named.booksVersion]).to.deep.equal([2, 2]);
    expect(await knex('ledger_marks').where({ portfolio_id: portfolioId })).to.have.length(1);
    for (const changes of [{ method: 'uk_pool' }, { timeZone: 'Asia/Tokyo' }] as const) {
      await putMarks(portfolioId, add);
      const { booksVersion } = (await portfolios.find(portfolioId))!;
      const kept = await portfolios.update({ id: portfolioId, confirm, changes });
      expect(kept.booksVersion).to.equal(booksVersion + 1);
      expect(await knex('ledger_marks').where({ portfolio_id: portfolioId })).to.have.length(0);
    }
  });

  it('no user has more portfolios than one may have, however fast they are made', async () => {
    const id = uuidv7();
    await knex('users').insert({ id, username: 'ann', email: 'ann@example.com', password_hash: 'x' });
    const fields = { name: 'mine', baseCurrency: 'usd', method: 'fifo', timeZone: 'UTC' } as const;
    const made = await Promise.allSettled(Array.from({ length: 6 }, () => portfolios.insert(id, fields, 2)));
    expect(made.filter(({ status }) => status === 'fulfilled')).to.have.length(2);
    expect((await portfolios.page({ userId: id, offset: 0, limit: 10 })).total).to.equal(2);
  });
});
