/** Files that are wrong in every way that the product promises to tell: by row and field, and nothing half done. */
import { expect } from 'chai';
import type { Portfolio } from '../../../src/features/portfolios/ledger/portfolio.ts';
import { v7 as uuidv7 } from 'uuid';
import { createJobQueries } from '../../../src/features/jobs/queries/jobs.ts';
import { createTransactionsImport } from '../../../workers/processors/portfolios/import-transactions.ts';
import { jobContext } from '../../support/job-context.ts';
import { openImports, type ImportBench, type ImportReported } from '../../support/import-run.ts';

const columns = {
  time: 'When',
  type: 'What',
  receivedSymbol: 'In',
  receivedQuantity: 'Much',
  sentSymbol: 'Out',
  sentQuantity: 'Many',
  value: 'Worth',
  valueCurrency: 'Cur',
  note: 'Note',
};
const types = { got: 'transfer_in', sent: 'transfer_out', bought: 'buy', swapped: 'swap' };
const options = { format: 'generic', mappingJson: JSON.stringify({ columns, types }) };
const header = 'When,What,In,Much,Out,Many,Worth,Cur,Note';
const good = '2021-01-01 10:00:00,got,BTC,2,,,1000,USD,first';
const tomorrow = new Date(Date.now() + 86_400_000).toISOString().slice(0, 19).replace('T', ' ');

const digits = 'has more than 20 digits before or 18 after the point';

/** A row under the header and a good row, and what is told of it. */
const badRows: readonly (readonly [string, string, { column: string | null; reason: string }])[] = [
  [
    'a quantity of zero',
    '2021-01-02 10:00:00,got,BTC,0,,,1,USD,',
    { column: 'Much', reason: 'is required for a transfer_in' },
  ],
  [
    'a quantity of 40 digits',
    `2021-01-02 10:00:00,got,BTC,${'1'.repeat(40)},,,1,USD,`,
    { column: 'Much', reason: `"${'1'.repeat(40)}" ${digits}` },
  ],
  [
    '40 digits behind the point',
    `2021-01-02 10:00:00,got,BTC,0.${'1'.repeat(38)},,,1,USD,`,
    { column: 'Much', reason: `"0.${'1'.repeat(38)}" ${digits}` },
  ],
  ['1e400', '2021-01-02 10:00:00,got,BTC,1e400,,,1,USD,', { column: 'Much', reason: `"1e400" ${digits}` }],
  [
    'a time to come',
    `${tomorrow},got,BTC,1,,,1,USD,`,
    { column: 'When', reason: 'must not be in the future' },
  ],
  [
    'a time before Bitcoin',
    '2008-12-31 10:00:00,got,BTC,1,,,1,USD,',
    { column: 'When', reason: 'must not be before 2009-01-03' },
  ],
  [
    'more than is held',
    '2021-01-02 10:00:00,sent,,,BTC,3,1,USD,',
    { column: null, reason: 'takes 3 bitcoin, but only 2 is available at that time' },
  ],
  [
    'an asset that nobody knows',
    '2021-01-02 10:00:00,got,NOSUCH,1,,,1,USD,',
    { column: 'In', reason: '"NOSUCH" is not a known asset; choose one with "symbols"' },
  ],
  [
    'a swap for a currency',
    '2021-01-02 10:00:00,swapped,BTC,1,USD,100,,,',
    { column: 'What', reason: 'says swap, but its legs are those of a buy' },
  ],
  [
    'a value in what is no currency',
    '2021-01-02 10:00:00,got,BTC,1,,,1,QQQ,',
    { column: 'Cur', reason: '"QQQ" is not a currency' },
  ],
  [
    'a value in a currency without a rate',
    '2021-01-02 10:00:00,got,BTC,1,,,1,SEK,',
    { column: 'Worth', reason: 'is in sek, and no rate is known for 2021-01-02 to convert it' },
  ],
  [
    'a market value that is not known',
    '2021-01-02 10:00:00,got,BTC,1,,,,,',
    { column: 'Worth', reason: 'no price of bitcoin is known for that day; give the value' },
  ],
  [
    'a formula for a number',
    '2021-01-02 10:00:00,got,BTC,=1+1,,,1,USD,',
    { column: 'Much', reason: '"=1+1" is not a number written like 1234.56' },
  ],
  ['too few cells', '2021-01-02 10:00:00,got,BTC', { column: null, reason: 'has 3 cells, the header has 9' }],
];

describe('an import of', () => {
  let bench: ImportBench;
  let portfolio: Portfolio;

  before(async () => {
    bench = await openImports();
    for (const asset of ['bitcoin', 'ethereum', 'ripple'])
      await bench.closes(asset, 'usd', { '2022-01-01': 1_000 });
  });
  after(() => bench.close());
  beforeEach(async () => {
    portfolio = await bench.portfolio();
  });

  const bring = (file: string | Buffer): Promise<ImportReported> => bench.bring(portfolio, file, options);
  const failure = (file: string | Buffer): Promise<string> =>
    bring(file).then(
      () => 'none',
      (error: unknown) => (error as Error).message,
    );

  async function notes(): Promise<(string | null)[]> {
    const { transactions } = await bench.transactions.page({
      portfolioId: portfolio.id,
      filter: {},
      offset: 0,
      limit: 100,
    });
    return transactions.map(({ note }) => note);
  }

  for (const [what, row, problem] of badRows) {
    it(`${what} tells line, column and reason, and keeps the good row`, async () => {
      const reported = await bring([header, good, row, ''].join('\n'));
      expect(reported.problems).to.deep.equal([{ line: 3, ...problem }]);
      expect(reported).to.include({ problem_count: 1, added: 1, rows: 2 });
      expect(await notes()).to.deep.equal(['first']);
    });

    it(`${what} keeps nothing when asked to`, async () => {
      const file = [header, good, row, ''].join('\n');
      const reported = await bench.bring(portfolio, file, { ...options, onError: 'abort' });
      expect(reported).to.include({ problem_count: 1, added: 0, written: false });
      expect(await notes()).to.deep.equal([]);
    });
  }

  it('a negative quantity takes what the type says, without its sign', async () => {
    const reported = await bring([header, good, '2021-01-02 10:00:00,sent,,,BTC,-1,1,USD,', ''].join('\n'));
    expect(reported).to.include({ problem_count: 0, added: 2 });
  });

  const text = (end: string): string => [header, good.replace('first', 'Zürich'), ''].join(end);
  const marked = (encoding: 'utf16le' | 'utf8', content: string): Buffer =>
    Buffer.from(`\ufeff${content}`, encoding);
  for (const [what, file, encoding] of [
    ['UTF-8', Buffer.from(text('\n')), 'utf-8'],
    ['UTF-8 with a mark', marked('utf8', text('\r\n')), 'utf-8'],
    ['UTF-16, little end first', marked('utf16le', text('\r\n')), 'utf-16le'],
    ['UTF-16, big end first', marked('utf16le', text('\n')).swap16(), 'utf-16be'],
    ['Latin-1', Buffer.from(text('\n'), 'latin1'), 'windows-1252'],
    ['carriage returns for line ends', Buffer.from(text('\r')), 'utf-8'],
  ] as const) {
    it(`${what} is read, and its encoding told`, async () => {
      expect(await bring(file)).to.include({ encoding, added: 1, problem_count: 0 });
      expect(await notes()).to.deep.equal(['Zürich']);
    });
  }

  it('cells with line ends in quotes makes them blanks, and goes on counting lines', async () => {
    const file = [header, good.replace('first', '"one\ntwo"'), '2021,got,BTC,1,,,1,USD,', ''].join('\n');
    const reported = await bring(file);
    expect(reported.problems).to.have.length(1);
    expect(reported.problems[0]).to.include({ line: 4, column: 'When' });
    expect(await notes()).to.deep.equal(['one two']);
  });

  it('a formula in a text keeps it as text', async () => {
    const formula = '=HYPERLINK("http://example.com")';
    await bring([header, good.replace('first', `"${formula.replaceAll('"', '""')}"`), ''].join('\n'));
    expect(await notes()).to.deep.equal([formula]);
  });

  for (const [what, file, message] of [
    [
      'a quote that is never closed',
      [header, good, good.replace('first', '"open'), good, ''].join('\n'),
      'file_unreadable: The file cannot be read from line 3: a quoted cell starts here and is never closed',
    ],
    [
      'a quote that swallows the rest of a long file',
      [header, good, good.replace('first', '"open'), ...Array<string>(3_000).fill(good), ''].join('\n'),
      'file_unreadable: The file cannot be read from line 3: the row is longer than 65536 characters; a quote may not be closed',
    ],
    [
      'a column that is named twice',
      [`${header},Much`, `${good},1`, ''].join('\n'),
      'header_not_valid: The mapping does not match the file: columns.receivedQuantity: is in the header twice; give the number of the column',
    ],
    [
      'a header without the columns of the mapping',
      ['a,b', '1,2', ''].join('\n'),
      'header_not_valid: The mapping does not match the file: columns.time: is not in the header',
    ],
  ] as const) {
    it(`${what} fails as a whole`, async () => {
      expect(await failure(file)).to.satisfy((reported: string) => reported.startsWith(message), message);
      expect(await notes()).to.deep.equal([]);
    });
  }

  it('thousands of swaps that feed each other with nothing held tells each by itself, and keeps what fits', async () => {
    const swaps = 4_000;
    const at = (n: number): string =>
      new Date(Date.UTC(2022, 0, 1) + n * 1_000).toISOString().slice(0, 19).replace('T', ' ');
    const rows = Array.from({ length: swaps }, (_, n) => {
      const [sent, taken] = n % 2 === 0 ? ['BTC', 'ETH'] : ['ETH', 'BTC'];
      return `${at(n)},swapped,${taken},1,${sent},1,1,USD,`;
    });
    rows.push(
      `${at(swaps)},got,BTC,1,,,1,USD,first`,
      `${at(swaps + 1)},swapped,ETH,1,BTC,1,1,USD,second`,
      `${at(swaps + 2)},sent,,,ETH,1,1,USD,third`,
      `${at(swaps + 3)},sent,,,ETH,1,1,USD,too much`,
    );
    const reported = await bring([header, ...rows, ''].join('\n'));
    expect(reported).to.include({ rows: swaps + 4, refused: swaps + 1, problem_count: swaps + 1, added: 3 });
    expect(reported.problems).to.deep.equal(
      Array.from({ length: 1_000 }, (_, n) => ({
        line: n + 2,
        column: null,
        reason: `takes 1 ${n % 2 === 0 ? 'bitcoin' : 'ethereum'}, but only 0 is available at that time`,
      })),
    );
    expect(await notes()).to.deep.equal(['third', 'second', 'first']);
  });

  it('a swap that is refused tells what relied on it, through any number of assets', async () => {
    const rows = [
      '2022-01-01 11:00:00,got,DOT,1,,,1,USD,kept',
      '2022-01-01 12:00:00,swapped,ETH,1,BTC,3,1,USD,',
      '2022-01-01 13:00:00,swapped,XRP,1,ETH,1,1,USD,',
      '2022-01-01 14:00:00,sent,,,XRP,1,1,USD,',
      '2022-01-01 15:00:00,sent,,,DOT,1,1,USD,kept too',
    ];
    expect((await bring([header, ...rows, ''].join('\n'))).problems).to.deep.equal([
      { line: 3, column: null, reason: 'takes 3 bitcoin, but only 0 is available at that time' },
      { line: 4, column: null, reason: 'takes 1 ethereum, but only 0 is available at that time' },
      { line: 5, column: null, reason: 'takes 1 ripple, but only 0 is available at that time' },
    ]);
    expect(await notes()).to.deep.equal(['kept too', 'kept']);
  });

  it('a report whose header names a column twice fails as a whole', async () => {
    const file = 'txid,refid,time,type,subtype,aclass,asset,amount,fee,balance,fee\n';
    const outcome = await bench.bring(portfolio, file).catch((error: unknown) => (error as Error).message);
    expect(outcome).to.equal('header_not_valid: The header names a column twice: header: fee');
  });

  it('something without a header says which there are', async () => {
    const outcome = await bench.bring(portfolio, 'a,b\n1,2\n').catch((error: unknown) => error);
    expect((outcome as Error).message).to.match(/^header_not_found: .*coinbase, binance, kraken/);
  });

  it('more rows than allowed keeps nothing', async () => {
    const rows = Array.from({ length: 200_001 }, () => '2021,x,,,,,,,');
    expect(await failure([header, ...rows, ''].join('\n'))).to.equal(
      'too_many_rows: The file has more than 200000 rows',
    );
  });

  it('10,000 bad rows counts them all, and tells the first 1,000', async () => {
    const rows = Array.from({ length: 10_000 }, () => '2021,got,BTC,1,,,1,USD,');
    const reported = await bring([header, ...rows, good, ''].join('\n'));
    expect(reported).to.include({ problem_count: 10_000, added: 1 });
    expect(reported.problems).to.have.length(1_000);
    expect(reported.problems[999]).to.include({ line: 1_001 });
  });

  describe('a file that is not stored as it was uploaded', () => {
    const row = '2022-01-01 12:00:00,got,BTC,1,,,1,USD,here\n';
    const file = `${header}\n${row.repeat(16_000)}`;

    for (const [what, damage] of [
      ['lacks its first piece', 'delete from import_chunks where import_id = ? and number = 0'],
      ['lacks its last piece', 'delete from import_chunks where import_id = ? and number = 2'],
      ['lacks all of it', 'delete from import_chunks where import_id = ?'],
      [
        'holds another byte',
        'update import_chunks set bytes = set_byte(bytes, 100, 50) where import_id = ? and number = 1',
      ],
    ] as const) {
      it(`fails when it ${what}, and brings nothing`, async () => {
        const importId = await bench.upload(portfolio, file, options);
        const { rowCount } = await bench.knex.raw<{ rowCount: number }>(damage, [importId]);
        expect(rowCount).to.be.greaterThan(0);
        const { state, error } = await bench.run(portfolio, importId);
        expect({ state, code: error?.code }).to.deep.equal({ state: 'failed', code: 'file_incomplete' });
        expect(await notes()).to.deep.equal([]);
      });
    }

    it('has the outcome of another worker that settled it meanwhile', async () => {
      const importId = await bench.upload(portfolio, `${header}\n${row}`, options);
      const { find } = bench.deps.imports;
      const imports = {
        ...bench.deps.imports,
        find: async (...place: Parameters<typeof find>) => {
          const record = await find(...place);
          if (record?.settledAt === null) await bench.run(portfolio, importId);
          return record;
        },
      };
      const run = createTransactionsImport({ ...bench.deps, imports });
      const submission = { portfolioId: portfolio.id, currency: 'usd', importId, isDryRun: false };
      const work = { name: 'transactions.import', workKey: `again-${importId}` } as const;
      const jobs = createJobQueries(bench.knex);
      const job = await jobs.insert({ ...work, id: uuidv7(), userId: bench.userId, submission, total: 100 });
      await run({ ...submission, workKey: work.workKey }, jobContext());
      const { state, resultJson } = (await jobs.find(job!.id))!;
      expect(state).to.equal('completed');
      expect(JSON.parse(resultJson!)).to.include({ import_id: importId, added: 1 });
      expect(await notes()).to.deep.equal(['here']);
    });
  });
});
