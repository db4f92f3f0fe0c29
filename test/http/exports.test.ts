/** Exports as a client gets them, and that an export of transactions comes in again as it was. */
import { parse } from 'csv-parse/sync';
import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import { createBookReading } from '../../src/features/portfolios/queries/book-reading.ts';
import { createExportQueries } from '../../src/features/portfolios/queries/exports.ts';
import { createLedgerQueries } from '../../src/features/portfolios/queries/ledgers.ts';
import { createPortfolioQueries } from '../../src/features/portfolios/queries/portfolios.ts';
import type { Portfolio } from '../../src/features/portfolios/ledger/portfolio.ts';
import { recordChange } from '../../src/features/portfolios/queries/write-transactions.ts';
import { oneUnit } from '../../src/features/portfolios/ledger/amount.ts';
import {
  contentOf,
  type RecordedTransaction,
} from '../../src/features/portfolios/ledger/recorded-transaction.ts';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { createPortfolioOperations } from '../../src/features/portfolios/portfolio-service.ts';
import { createWriteLocks } from '../../src/features/portfolios/transactions/transaction-service.ts';
import { createBookReader } from '../../src/features/portfolios/book-reader.ts';
import { createBooksUpdate } from '../../workers/processors/portfolios/books.ts';
import { createThreadPool } from '../../workers/runtime/thread-pool.ts';
import { createReplays } from '../../workers/threads/replay-ledger.ts';
import { openImports, type ImportBench } from '../support/import-run.ts';
import { startApi, type TestApi } from './support/ports.ts';

const ownerId = '01934c2a-0000-7000-8000-000000000001';
const columns =
  'id,executed_at,type,received_asset,received_quantity,sent_asset,sent_quantity,value,fee_asset,fee_quantity,fee_value,currency,note,fingerprint';
const rows = [
  ',2020-01-01T10:00:00Z,buy,bitcoin,2,,,20000,,,12.5,usd,first,',
  ',2020-01-01T10:00:00Z,buy,bitcoin,0.000000000000000001,,,1,,,,usd,,',
  `,2020-02-01T10:00:00.123Z,swap,ethereum,10,bitcoin,0.5,6000.000000000000000001,bitcoin,0.001,12,usd,"'=HYPERLINK(""http://example.com""),\nand more",`,
  ',2020-03-01T10:00:00Z,transfer_in,dot-imposter,5,,,0,,,,usd,-1 is no number here,abc',
  ',2020-04-01T10:00:00Z,reward,ethereum,0.1,,,15,,,,usd,@home,',
  ",2020-12-31T23:30:00Z,sell,,,ethereum,4,3000,,,3,usd,''=twice,",
  ',2021-01-01T00:30:00Z,sell,,,bitcoin,1,29000,,,,usd,,',
  ',2021-05-01T10:00:00Z,fee,,,ethereum,0.01,20,,,,usd,,',
  ',2021-06-01T10:00:00Z,transfer_out,,,ethereum,1,2000,ethereum,0.01,20,usd,,',
];

describe('an export', () => {
  let bench: ImportBench;
  let api: TestApi;
  const threads = createThreadPool();
  const replays = createReplays(threads);
  let portfolio: Portfolio;

  before(async () => {
    bench = await openImports();
    const { knex } = bench;
    await knex('users').insert({ id: ownerId, username: 'o', email: 'o@example.com', password_hash: 'x' });
    const portfolios = createPortfolioOperations({
      portfolios: createPortfolioQueries(knex),
      withWriteLock: createWriteLocks(),
      updateBooks: () => undefined,
    });
    const books = createBookReader({
      reading: createBookReading(knex),
      channel: { listen: () => () => undefined },
      requestUpdate: () => Promise.resolve(),
      clock: systemClock,
      log: silentLogger(),
    });
    api = await startApi({ portfolios, books, exports: createExportQueries(knex) });
    portfolio = await newPortfolio('Europe/Berlin');
    const reported = await bench.bring(portfolio, [columns, ...rows, ''].join('\r\n'));
    expect(reported.problems).to.deep.equal([]);
    await updateBooks(portfolio);
  });
  after(async () => {
    await threads.close();
    await api.close(0);
    await bench.close();
  });

  const newPortfolio = (timeZone = 'UTC'): Promise<Portfolio> =>
    createPortfolioQueries(bench.knex).insert(
      ownerId,
      { name: 'mine', baseCurrency: 'usd', method: 'fifo', timeZone },
      100,
    );

  async function updateBooks({ id: portfolioId }: Portfolio): Promise<void> {
    const signal = new AbortController().signal;
    const channel = { publish: () => Promise.resolve() };
    const ledgers = createLedgerQueries(bench.knex);
    await createBooksUpdate({ ledgers, replays, channel, log: silentLogger() })(
      { portfolioId },
      {
        jobId: '1',
        addedAt: Date.now(),
        start: 1,
        isLastAttempt: true,
        signal,
        waitSignal: signal,
        callSignal: signal,
        releaseDeduplication: () => Promise.resolve(),
      },
    );
  }

  const get = (query = '', of = portfolio): Promise<Response> =>
    api.call('GET', `/api/v1/portfolios/${of.id}/export${query}`);
  const records = (csv: string): Record<string, string>[] => parse(csv, { columns: true });

  async function contents(of: Portfolio): Promise<unknown[]> {
    const found: unknown[] = [];
    for await (const page of createExportQueries(bench.knex).transactions(of.id))
      for (const each of page) {
        const { sequence, import_id: importId, ...content } = contentOf(each);
        expect([typeof sequence, typeof importId]).to.deep.equal(['number', 'string']);
        found.push({ id: each.id, fingerprint: each.fingerprint, ...content });
      }
    return found;
  }

  it('of transactions is a CSV to be saved, in which no text is a formula and every number is a number', async () => {
    const response = await get();
    expect(response.headers.get('content-type')).to.equal('text/csv; charset=utf-8');
    expect(response.headers.get('content-disposition')).to.equal(
      `attachment; filename="transactions-${portfolio.id}.csv"`,
    );
    const csv = await response.text();
    expect(csv.split('\r\n', 1)[0]).to.equal(columns);
    const reported = records(csv);
    expect(reported).to.have.length(rows.length);
    expect(reported.map(({ note }) => note)).to.deep.equal([
      'first',
      '',
      `'=HYPERLINK("http://example.com"), and more`,
      `'-1 is no number here`,
      `'@home`,
      `''=twice`,
      '',
      '',
      '',
    ]);
    expect(reported[1]).to.include({ received_quantity: '0.000000000000000001', value: '1', fee_value: '' });
    expect(reported[2]).to.include({ fee_asset: 'bitcoin', fee_quantity: '0.001', fee_value: '12' });
  });

  it('comes into another portfolio as it was, to the last digit and note, and into its own not at all', async () => {
    const csv = await (await get()).text();
    const other = await newPortfolio();
    const reported = await bench.bring(other, csv);
    expect(reported).to.include({ format: 'pricepool', added: rows.length, problem_count: 0 });
    expect(await contents(other)).to.deep.equal(await contents(portfolio));
    expect(await (await get('', other)).text()).to.equal(csv);
    expect(await bench.bring(other, csv)).to.include({ added: 0, duplicates: rows.length });
    expect(await bench.bring(portfolio, csv)).to.include({ added: 0, duplicates: rows.length });
  });

  it('of what was written by hand comes into another portfolio, and into its own not at all', async () => {
    const own = await newPortfolio();
    const purchase: RecordedTransaction = {
      id: uuidv7(),
      type: 'buy',
      at: Date.UTC(2020, 0, 1),
      sequence: 0,
      received: { asset: 'bitcoin', quantity: oneUnit },
      sent: null,
      value: oneUnit,
      fee: null,
      note: null,
      isMarketValue: false,
      isMarketFee: false,
      importId: null,
      fingerprint: null,
    };
    await bench.knex.transaction((trx) =>
      recordChange(trx, {
        portfolioId: own.id,
        limit: 10,
        by: {},
        add: [purchase, { ...purchase, id: uuidv7() }],
      }),
    );
    const csv = await (await get('', own)).text();
    expect(await bench.bring(own, csv)).to.include({ added: 0, duplicates: 2, problem_count: 0 });
    const other = await newPortfolio();
    expect(await bench.bring(other, csv)).to.include({ added: 2, duplicates: 0, problem_count: 0 });
  });

  it('as JSON has the same rows', async () => {
    const response = await get('?format=json');
    expect(response.headers.get('content-type')).to.equal('application/json; charset=utf-8');
    const { kind, data } = (await response.json()) as { kind: string; data: Record<string, unknown>[] };
    expect(kind).to.equal('transactions');
    expect(data).to.have.length(rows.length);
    expect(data[3]).to.include({ note: '-1 is no number here', value: '0', fee_asset: null });
  });

  it('of realised gains tells each lot of a year of the portfolio’s days, losses as negative numbers', async () => {
    const all = records(await (await get('?kind=realised')).text());
    const sold = all.filter(({ is_fee: isFee }) => isFee === 'false');
    // 23:30 UTC on 31 December is the next year in Berlin.
    const of2020 = records(await (await get('?kind=realised&year=2020')).text());
    const of2021 = records(await (await get('?kind=realised&year=2021')).text());
    expect(of2020).to.have.length(2);
    expect(of2020.length + of2021.length).to.equal(all.length);
    // What was taken elsewhere is no gain; only the fee of that was spent.
    expect(sold.filter(({ disposed_at: at }) => at?.startsWith('2021-06-01'))).to.deep.equal([]);
    const [swap] = sold;
    // 0.5 of 2 that cost 20012.5.
    expect(swap).to.include({
      asset: 'bitcoin',
      quantity: '0.5',
      proceeds: '6000.000000000000000001',
      cost_basis: '5003.125',
      gain: '996.875000000000000001',
      currency: 'usd',
      acquired_at: '2020-01-01T10:00:00.000Z',
      disposed_at: '2020-02-01T10:00:00.123Z',
    });
    const sale = all.find(({ asset, quantity }) => asset === 'ethereum' && quantity === '4')!;
    expect(sale['proceeds']).to.equal('2997');
    expect(Number(sale['gain'])).to.be.closeTo(2997 - (6012 * 4) / 10, 1e-9);
  });

  it('of positions tells what is held, and what was given away', async () => {
    const reported = records(await (await get('?kind=positions')).text());
    expect(reported.map(({ asset, quantity }) => [asset, quantity])).to.deep.equal([
      ['bitcoin', '0.499000000000000001'],
      ['dot-imposter', '5'],
      ['ethereum', '5.08'],
    ]);
    // Of the ten that were swapped for, 5.02 went; the reward has come since.
    expect(Number(reported[2]?.['cost_basis'])).to.be.closeTo((6012 * 4.98) / 10 + 15, 1e-9);
  });

  it('has every row, however many there are', async () => {
    const large = await newPortfolio();
    const sales = Array.from({ length: 2_001 }, (_, n) => {
      const at = new Date(Date.UTC(2020, 0, 2) + n * 60_000).toISOString();
      return `,${at},sell,,,bitcoin,0.001,10,,,,usd,,`;
    });
    const purchase = ',2020-01-01T00:00:00Z,buy,bitcoin,3,,,20000,,,,usd,,';
    const { problems } = await bench.bring(large, [columns, purchase, ...sales, ''].join('\r\n'));
    expect(problems).to.deep.equal([]);
    await updateBooks(large);
    for (const [kind, count] of [
      ['transactions', 2_002],
      ['realised', 2_001],
    ] as const) {
      const reported = records(await (await get(`?kind=${kind}`, large)).text());
      expect(new Set(reported.map((row) => row['id'] ?? row['transaction_id'])), kind).to.have.property(
        'size',
        count,
      );
    }
  });

  it('of an empty portfolio has a header, or an empty list', async () => {
    const empty = await newPortfolio();
    expect(await (await get('', empty)).text()).to.equal(`${columns}\r\n`);
    expect(await (await get('?format=json', empty)).json()).to.deep.equal({ kind: 'transactions', data: [] });
  });

  it('answers HEAD with its headers alone, and refuses what has no meaning', async () => {
    const head = await api.call('HEAD', `/api/v1/portfolios/${portfolio.id}/export`);
    expect(head.status).to.equal(200);
    expect(await head.text()).to.equal('');
    expect((await get('?year=2020')).status).to.equal(422);
    expect((await get('?kind=everything')).status).to.equal(422);
    const stranger = await bench.portfolio();
    expect((await get('', stranger)).status).to.equal(404);
  });

  it('of derived rows is whole though the books are kept otherwise between the portfolio and them', async () => {
    const other = await newPortfolio();
    await bench.bring(other, [columns, ...rows, ''].join('\n'));
    await updateBooks(other);
    for (const [kind, timeZone] of [
      ['realised', 'Europe/Berlin'],
      ['positions', 'Asia/Tokyo'],
    ] as const) {
      let isChanged = false;
      const { portfolios, books } = api.deps;
      const get: typeof portfolios.get = async (...requested) => {
        const found = await portfolios.get(...requested);
        if (isChanged) return found;
        isChanged = true;
        const update = { id: other.id, confirm: () => undefined, changes: { timeZone } };
        await createPortfolioQueries(bench.knex).update(update);
        await updateBooks(other);
        return found;
      };
      const changing = await startApi({
        portfolios: { ...portfolios, get },
        books,
        exports: createExportQueries(bench.knex),
      });
      try {
        const query = `kind=${kind}${kind === 'realised' ? '&year=2020' : ''}`;
        const response = await changing.call('GET', `/api/v1/portfolios/${other.id}/export?${query}`);
        // Two of 2020 in Berlin, as above: in UTC there are three.
        expect(records(await response.text())).to.have.length(kind === 'realised' ? 2 : 3);
      } finally {
        await changing.close(0);
      }
    }
  });

  it('is cut off when transactions change meanwhile', async () => {
    const other = await newPortfolio();
    await bench.bring(other, [columns, rows[0], ''].join('\n'));
    const changing = createExportQueries(bench.knex);
    const cut = await startApi({
      portfolios: api.deps.portfolios,
      exports: {
        ...changing,
        async *transactions(id) {
          yield* changing.transactions(id);
          await bench.bring(other, [columns, rows[3], ''].join('\n'));
        },
      },
    });
    try {
      const response = await cut.call('GET', `/api/v1/portfolios/${other.id}/export`);
      const outcome = await response.text().then(
        () => 'whole',
        () => 'cut',
      );
      expect(outcome).to.equal('cut');
    } finally {
      await cut.close(0);
    }
  });
});
