/** The job of an import over real tables: what each format brings, that twice is once, and that it is all or nothing. */
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import type { Portfolio } from '../../../src/features/portfolios/ledger/portfolio.ts';
import { formatAmount } from '../../../src/features/portfolios/ledger/amount.ts';
import { openImports, type ImportBench } from '../../support/import-run.ts';

const lines = (...rows: string[]): string => `${rows.join('\n')}\n`;

const coinbase = lines(
  '"You can use this transaction report to inform your likely tax obligations."',
  '',
  'ID,Timestamp,Transaction Type,Asset,Quantity Transacted,Price Currency,Price at Transaction,Subtotal,Total (inclusive of fees and/or spread),Fees and/or Spread,Notes',
  'a2,2022-03-26 06:45:27 UTC,Send,BTC,-0.5,EUR,€40000,-€20000,-€20000,€0.00,Sent 0.5 BTC',
  'a1,2022-03-25 06:45:27 UTC,Buy,BTC,1,EUR,€40000,€40000.00,€40010.00,€10.00,Bought 1 BTC for 40010 EUR',
  'a0,2022-03-24 06:45:27 UTC,Deposit,EUR,100,EUR,€1,€100,€100,€0.00,',
);
const binance = lines(
  'User_ID,UTC_Time,Account,Operation,Coin,Change,Remark',
  '1,2021-05-01 10:00:01,Spot,Buy,ETH,0.1,""',
  '1,2021-05-01 10:00:01,Spot,Fee,ETH,-0.001,""',
  '1,2021-05-01 10:00:01,Spot,Transaction Related,EUR,-250,""',
  '1,2021-05-02 00:00:00,Earn,Simple Earn Flexible Interest,ETH,0.0005,""',
);
const kraken = lines(
  'txid,refid,time,type,subtype,aclass,asset,amount,fee,balance',
  'L1,T1,2021-01-01 10:00:00,trade,,currency,ZUSD,-100.0000,0.2600,899.74',
  'L2,T1,2021-01-01 10:00:00,trade,,currency,XXBT,0.0025,0,0.0025',
  'L8,R5,2021-02-09 10:00:00,staking,,currency,DOT28.S,0.01,0,2.009',
);
const mapping = {
  columns: {
    time: 'When',
    type: 'What',
    receivedSymbol: 'In',
    receivedQuantity: 'Much',
    value: 'Worth',
    valueCurrency: 'Cur',
  },
  types: { got: 'transfer_in', sold: 'sell' },
};
const generic = lines('When,What,In,Much,Worth,Cur', '2021-01-01 10:00:00,got,BTC,2,1000,USD');

describe('an import', () => {
  let bench: ImportBench;
  let portfolio: Portfolio;

  before(async () => {
    bench = await openImports();
    await bench.closes('bitcoin', 'usd', {
      '2022-03-25': 44_000,
      '2022-03-26': 44_000,
      '2021-05-01': 60_000,
    });
    await bench.closes('bitcoin', 'eur', {
      '2022-03-25': 40_000,
      '2022-03-26': 40_000,
      '2021-05-01': 50_000,
    });
    await bench.closes('ethereum', 'usd', { '2021-05-01': 2_900, '2021-05-02': 3_000 });
    await bench.closes('polkadot', 'usd', { '2021-02-09': 20 });
  });
  after(() => bench.close());
  beforeEach(async () => {
    portfolio = await bench.portfolio();
    bench.enqueued.length = 0;
  });

  async function held(of: Portfolio = portfolio): Promise<string[]> {
    const found: string[] = [];
    for await (const page of bench.transactions.inOrder(of.id))
      for (const { type, at, received, sent, value, fee } of page) {
        const leg = (sign: string, side: typeof received): string =>
          side === null ? '' : ` ${sign}${formatAmount(side.quantity)} ${side.asset}`;
        const paid = fee === null ? '' : ` fee ${fee.asset ?? 'cash'} ${formatAmount(fee.value)}`;
        const day = new Date(at).toISOString().slice(0, 10);
        found.push(`${day} ${type}${leg('+', received)}${leg('-', sent)} for ${formatAmount(value)}${paid}`);
      }
    return found;
  }

  it('of Coinbase converts values by the stated rate of the day', async () => {
    const reported = await bench.bring(portfolio, coinbase);
    expect(reported).to.include({ format: 'coinbase', encoding: 'utf-8', written: true, rows: 3 });
    expect(reported).to.include({ added: 2, duplicates: 0, refused: 0, problem_count: 0 });
    expect(reported.skipped).to.deep.equal([{ reason: 'cash is not tracked', count: 1 }]);
    expect(await held()).to.deep.equal([
      '2022-03-25 buy +1 bitcoin for 44000 fee cash 11',
      '2022-03-26 transfer_out -0.5 bitcoin for 22000',
    ]);
    expect(reported.rates[0]).to.include({ from: 'eur', to: 'usd', days: 2, lowest: 1.1 });
    expect(reported.resolved['BTC']).to.include({ id: 'bitcoin', name: 'Bitcoin', others: 0, by: 'list' });
    expect(bench.enqueued).to.deep.equal([portfolio.id]);
  });

  it('of Binance joins rows of a trade, and takes market values where none are stated', async () => {
    expect(await bench.bring(portfolio, binance)).to.include({
      format: 'binance',
      added: 2,
      problem_count: 0,
    });
    expect(await held()).to.deep.equal([
      '2021-05-01 buy +0.1 ethereum for 300 fee ethereum 2.9',
      '2021-05-02 reward +0.0005 ethereum for 1.5',
    ]);
    const rows: unknown = await bench
      .knex('transactions')
      .where({ portfolio_id: portfolio.id })
      .orderBy('executed_at')
      .select('type', 'is_market_value', 'is_market_fee');
    expect(rows).to.deep.equal([
      { type: 'buy', is_market_value: false, is_market_fee: true },
      { type: 'reward', is_market_value: true, is_market_fee: false },
    ]);
  });

  it('of Kraken takes the largest asset with a symbol, and tells that there are others', async () => {
    const reported = await bench.bring(portfolio, kraken);
    expect(reported).to.include({ format: 'kraken', added: 2, problem_count: 0 });
    expect(reported.resolved['DOT']).to.include({ id: 'polkadot', others: 1 });
    expect(await held()).to.deep.equal([
      '2021-01-01 buy +0.0025 bitcoin for 100 fee cash 0.26',
      '2021-02-09 reward +0.01 polkadot for 0.2',
    ]);
  });

  it('of any CSV is read by its mapping', async () => {
    const options = { format: 'generic', mappingJson: JSON.stringify(mapping) };
    expect(await bench.bring(portfolio, generic, options)).to.include({ format: 'generic', added: 1 });
    expect(await held()).to.deep.equal(['2021-01-01 transfer_in +2 bitcoin for 1000']);
  });

  it('adds nothing the second time', async () => {
    for (const file of [coinbase, binance, kraken]) await bench.bring(portfolio, file);
    const before = await held();
    for (const file of [coinbase, binance, kraken]) {
      const reported = await bench.bring(portfolio, file);
      expect(reported).to.include({ added: 0, duplicates: reported.transactions, problem_count: 0 });
    }
    expect(await held()).to.deep.equal(before);
  });

  it('shows in a dry run what it would do, and does nothing', async () => {
    const reported = await bench.bring(portfolio, coinbase, { isDryRun: true });
    expect(reported).to.include({ dry_run: true, written: false, added: 2, problem_count: 0 });
    expect(reported.samples).to.have.length(2);
    expect(reported.samples![0]).to.include({
      type: 'transfer_out',
      executed_at: '2022-03-26T06:45:27.000Z',
    });
    expect(await held()).to.deep.equal([]);
    expect(bench.enqueued).to.deep.equal([]);
  });

  it('takes an asset as the user says, and remembers it', async () => {
    const symbolsJson = JSON.stringify({ dot: 'dot-imposter' });
    const reported = await bench.bring(portfolio, kraken, { symbolsJson });
    expect(reported.resolved['DOT']).to.include({ id: 'dot-imposter', name: 'Dot Imposter', by: 'request' });
    expect(reported.problems).to.deep.equal([
      {
        line: 4,
        column: 'amount',
        reason: 'no price of dot-imposter is known for that day; give the value',
      },
    ]);
    const again = await bench.bring(await bench.portfolio(), kraken);
    expect(again.resolved['DOT']).to.include({ id: 'dot-imposter', by: 'remembered' });
    const other = { symbolsJson: JSON.stringify({ DOT: 'polkadot' }) };
    const requested = await bench.bring(await bench.portfolio(), kraken, other);
    expect(requested.resolved['DOT']).to.include({ id: 'polkadot', by: 'request' });
    await bench.knex('symbol_choices').delete();
  });

  it('refuses what was not held then, row by row, and what depends on it', async () => {
    const rows = lines(
      'txid,refid,time,type,subtype,aclass,asset,amount,fee,balance',
      'L1,T1,2021-01-01 10:00:00,trade,,currency,ZUSD,-100,0,0',
      'L2,T1,2021-01-01 10:00:00,trade,,currency,XXBT,1,0,0',
      'L3,T2,2021-01-02 10:00:00,trade,,currency,XXBT,-2,0,0',
      'L4,T2,2021-01-02 10:00:00,trade,,currency,ZUSD,300,0,0',
      'L5,T3,2021-01-03 10:00:00,trade,,currency,XXBT,-1,0,0',
      'L6,T3,2021-01-03 10:00:00,trade,,currency,ZUSD,150,0,0',
    );
    const reported = await bench.bring(portfolio, rows);
    expect(reported).to.include({ added: 2, refused: 1 });
    expect(reported.problems).to.deep.equal([
      { line: 4, column: null, reason: 'takes 2 bitcoin, but only 1 is available at that time' },
    ]);
    const strict = await bench.portfolio();
    expect(await bench.bring(strict, rows, { onError: 'abort' })).to.include({
      added: 0,
      refused: 1,
      written: false,
    });
    expect(await held(strict)).to.deep.equal([]);
  });

  it('refuses a chain of swaps of which the first has nothing to give, however long it is', async () => {
    await bench.closes('bitcoin', 'usd', { '2021-03-01': 50_000 });
    await bench.closes('ripple', 'usd', { '2021-03-01': 0.5 });
    const rows = Array.from({ length: 80 }, (_, n) => {
      const time = new Date(Date.UTC(2021, 2, 1) + n * 120_000).toISOString().slice(0, 19).replace('T', ' ');
      const [sent, taken] = n % 2 === 0 ? ['XXBT', 'XXRP'] : ['XXRP', 'XXBT'];
      return [
        `A${n},T${n},${time},trade,,currency,${sent},-1,0,0`,
        `B${n},T${n},${time},trade,,currency,${taken},1,0,0`,
      ];
    });
    const header = 'txid,refid,time,type,subtype,aclass,asset,amount,fee,balance';
    const reported = await bench.bring(portfolio, lines(header, ...rows.flat()));
    expect(reported).to.include({ transactions: 80, added: 0, refused: 80, problem_count: 80 });
    expect(await held()).to.deep.equal([]);
  });

  it('that is still being uploaded is not there yet', async () => {
    const id = uuidv7();
    await bench.imports.open({ id, portfolioId: portfolio.id, userId: bench.userId });
    await bench.imports.addChunk(id, 0, Buffer.from(coinbase));
    expect(await bench.imports.find(id, portfolio.id)).to.equal(undefined);
    expect((await bench.imports.list(portfolio.id, { offset: 0, limit: 10 })).total).to.equal(0);
  });

  it('is forgotten when it is old: dry runs and what never ended wholly, of others the result', async () => {
    const dry = await bench.upload(portfolio, coinbase, { isDryRun: true });
    const done = await bench.upload(portfolio, coinbase);
    for (const id of [dry, done]) await bench.run(portfolio, id);
    const never = await bench.upload(portfolio, coinbase);
    const past = bench.knex.raw("now() - interval '2 hours'");
    await bench.knex('imports').update({ created_at: past });
    await bench.knex('imports').whereNotNull('settled_at').update({ settled_at: past });
    await bench.imports.purge(3 * 3_600);
    expect(await bench.imports.find(never, portfolio.id)).to.not.equal(undefined);
    await bench.imports.purge(3_600);
    for (const id of [dry, never]) expect(await bench.imports.find(id, portfolio.id)).to.equal(undefined);
    expect(await bench.imports.find(done, portfolio.id)).to.include({ added: 2, resultJson: null });
    expect(await bench.imports.chunk(never, 0)).to.equal(undefined);
  });

  it('leaves what the portfolio has covered', async () => {
    const buy = (id: string, time: string, sign: '' | '-'): string[] => [
      `${id}a,${id},${time},trade,,currency,XXBT,${sign}1,0,0`,
      `${id}b,${id},${time},trade,,currency,ZUSD,${sign === '' ? '-' : ''}100,0,0`,
    ];
    const header = 'txid,refid,time,type,subtype,aclass,asset,amount,fee,balance';
    await bench.bring(
      portfolio,
      lines(header, ...buy('A', '2021-01-01 10:00:00', ''), ...buy('B', '2021-03-01 10:00:00', '-')),
    );
    const sale = lines(header, ...buy('C', '2021-02-01 10:00:00', '-'));
    expect((await bench.bring(portfolio, sale)).problems).to.deep.equal([
      { line: 2, column: null, reason: 'takes 1 bitcoin, but only 0 is available at that time' },
    ]);
    expect(await held()).to.have.length(2);
  });

  it('of a job that runs again after its end is what it was', async () => {
    const id = await bench.upload(portfolio, coinbase);
    const first = await bench.run(portfolio, id);
    await bench.knex('jobs').delete();
    const second = await bench.run(portfolio, id);
    expect(second.resultJson).to.equal(first.resultJson);
    expect(await held()).to.have.length(2);
    expect(await bench.knex('import_chunks').where({ import_id: id })).to.deep.equal([]);
  });

  it('that runs twice at the same time is done once, and both tell the same', async () => {
    const id = await bench.upload(portfolio, coinbase);
    const ran = await Promise.all([bench.run(portfolio, id), bench.run(portfolio, id)]);
    const reported = (await bench.imports.find(id, portfolio.id))?.resultJson ?? '{}';
    expect(JSON.parse(reported)).to.include({ added: 2, duplicates: 0 });
    for (const { resultJson } of ran) expect(resultJson).to.equal(reported);
    expect(await held()).to.have.length(2);
  });

  it('that is cancelled has done nothing', async () => {
    const id = await bench.upload(portfolio, coinbase);
    const aborted = AbortSignal.abort(new Error('ending'));
    const outcome = await bench.run(portfolio, id, { waitSignal: aborted }).catch((error: unknown) => error);
    expect((outcome as Error).message).to.include('stopped');
    expect(await held()).to.deep.equal([]);
    const found = await bench.imports.find(id, portfolio.id);
    expect(found?.settledAt).to.equal(null);
  });

  it('leaves one row in the audit trail', async () => {
    const reported = await bench.bring(portfolio, coinbase);
    const { changes } = await bench.transactions.changes({ portfolioId: portfolio.id, offset: 0, limit: 10 });
    expect(changes).to.have.length(1);
    expect(changes[0]).to.include({ action: 'imported', transactionId: null, actorId: bench.userId });
    expect(changes[0]!.after).to.deep.equal({ import_id: reported.import_id, transactions: 2 });
  });

  it('exported for real comes in once (COINBASE_EXPORT)', async function () {
    const path = process.env.COINBASE_EXPORT;
    if (path === undefined) return this.skip();
    const own = await bench.portfolio('eur');
    const reported = await bench.bring(own, readFileSync(path));
    expect(reported).to.include({ format: 'coinbase', rows: 8 });
    expect(await bench.bring(own, readFileSync(path))).to.include({ added: 0, duplicates: reported.added });
  });
});
