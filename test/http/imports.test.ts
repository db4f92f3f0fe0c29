/** Uploads of reports: the real application and database, with a stand-in for the queue. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import type { Portfolio } from '../../src/features/portfolios/ledger/portfolio.ts';
import { createPortfolioQueries } from '../../src/features/portfolios/queries/portfolios.ts';
import { directoryOver } from '../../src/features/assets/asset-directory.ts';
import { createAssetIndex, searchable } from '../../src/features/assets/asset-index.ts';
import { createPortfolioOperations } from '../../src/features/portfolios/portfolio-service.ts';
import { createWriteLocks } from '../../src/features/portfolios/transactions/transaction-service.ts';
import { workKeyOf } from '../../src/features/jobs/job-service.ts';
import { openImports, type ImportBench, type ImportReported } from '../support/import-run.ts';
import { waitFor } from '../support/wait-for.ts';
import { startApi, type TestApi } from './support/ports.ts';

const ownerId = '01934c2a-0000-7000-8000-000000000001';
const kraken = [
  'txid,refid,time,type,subtype,aclass,asset,amount,fee,balance',
  'L1,T1,2021-01-01 10:00:00,trade,,currency,ZUSD,-100.0000,0,0',
  'L2,T1,2021-01-01 10:00:00,trade,,currency,XXBT,0.0025,0,0.0025',
  '',
].join('\n');

interface Problem {
  readonly message: string;
  readonly error: {
    readonly code: string;
    readonly fields?: readonly { readonly field: string; readonly message: string }[];
  };
}

describe('the upload of a report', () => {
  let bench: ImportBench;
  let api: TestApi;
  let portfolio: Portfolio;
  let path: string;
  const knownKeys = new Set<string>();

  before(async () => {
    bench = await openImports();
    await bench
      .knex('users')
      .insert({ id: ownerId, username: 'owner', email: 'owner@example.com', password_hash: 'x' });
    const portfolios = createPortfolioOperations({
      portfolios: createPortfolioQueries(bench.knex),
      withWriteLock: createWriteLocks(),
      updateBooks: () => undefined,
    });
    const bitcoin = { id: 'bitcoin', symbol: 'btc', name: 'Bitcoin', rank: 1 };
    const asset = searchable({ ...bitcoin, image: null, active: true, platformsJson: '{}' });
    const index = createAssetIndex([asset]);
    api = await startApi({ portfolios, imports: bench.imports, assets: directoryOver(() => index) });
    const submit = api.clientJobs.submit.bind(api.clientJobs);
    api.clientJobs.submit = async (request) => {
      const job = await submit(request);
      const key = request.idempotency?.key;
      const isKnown = key !== undefined && knownKeys.has(key);
      if (key !== undefined) knownKeys.add(key);
      // The job of a key that is known is that of the first submission.
      return isKnown ? job : { ...job, workKey: workKeyOf(request.name, request.submission) };
    };
    const fields = { name: 'mine', baseCurrency: 'usd', method: 'fifo', timeZone: 'UTC' } as const;
    portfolio = await createPortfolioQueries(bench.knex).insert(ownerId, fields, 100);
    path = `/api/v1/portfolios/${portfolio.id}/import`;
  });
  after(async () => {
    await api.close(0);
    await bench.close();
  });
  beforeEach(async () => {
    api.clientJobs.submitted.length = 0;
    knownKeys.clear();
    await bench.knex('imports').delete();
  });

  function form(file: string | Buffer | undefined, fields: Readonly<Record<string, string>> = {}): FormData {
    const made = new FormData();
    for (const [name, value] of Object.entries(fields)) made.set(name, value);
    if (file !== undefined)
      made.set('file', new Blob([new Uint8Array(Buffer.from(file))], { type: 'text/csv' }), 'ledgers.csv');
    return made;
  }

  async function post(body: FormData | string | Buffer, headers: Record<string, string> = {}, query = '') {
    const response = await fetch(`${api.base}${path}${query}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${api.token}`, ...headers },
      body,
    });
    return { status: response.status, json: (await response.json()) as Problem };
  }

  const csv = { 'content-type': 'text/csv' };
  const left = async (): Promise<number> => {
    const { rows } = await bench.knex.raw<{ rows: [{ n: number }] }>(
      'select (select count(*) from imports) + (select count(*) from import_chunks) as n',
    );
    return rows[0].n;
  };

  function submission() {
    const [request] = api.clientJobs.submitted;
    return request!.submission as unknown as { importId: string; isDryRun: boolean; portfolioId: string };
  }

  it('as a form is stored and submitted; the job then reads it', async () => {
    const fields = { dry_run: 'true', symbols: '{"XBT":"bitcoin"}', on_error: 'abort' };
    expect((await post(form(kraken, fields))).status).to.equal(202);
    const { importId, ...rest } = submission();
    expect(rest).to.deep.equal({ portfolioId: portfolio.id, currency: 'usd', isDryRun: true });
    expect(await bench.imports.find(importId, portfolio.id)).to.include({
      fileName: 'ledgers.csv',
      onError: 'abort',
      format: 'auto',
      bytes: kraken.length,
      encoding: 'utf-8',
    });
    const { resultJson } = await bench.run(portfolio, importId);
    expect(JSON.parse(resultJson!) as ImportReported).to.include({
      format: 'kraken',
      added: 1,
      dry_run: true,
    });
  });

  it('takes fields that come behind the file', async () => {
    const body = form(kraken);
    body.set('format', 'kraken');
    expect((await post(body)).status).to.equal(202);
    expect(await bench.imports.find(submission().importId, portfolio.id)).to.include({ format: 'kraken' });
  });

  it('as a bare file takes its wishes from the query', async () => {
    const { status } = await post(kraken, csv, '?dry_run=true&format=kraken');
    expect(status).to.equal(202);
    expect(submission().isDryRun).to.equal(true);
    expect(await bench.imports.find(submission().importId, portfolio.id)).to.include({ format: 'kraken' });
  });

  it('of many pieces comes together again', async () => {
    const rows = Array.from({ length: 30_000 }, (_, n) => `L${n},T1,2021-01-01 10:00:00,x,,c,Ü,1,0,0`);
    const file = Buffer.from(rows.join('\n'));
    expect((await post(form(file))).status).to.equal(202);
    const { importId } = submission();
    const pieces: Buffer[] = [];
    for (let n = 0; ; n++) {
      const piece = await bench.imports.chunk(importId, n);
      if (piece === undefined) break;
      pieces.push(piece);
    }
    expect(pieces.length).to.be.greaterThan(3);
    expect(Buffer.concat(pieces).equals(file)).to.equal(true);
  });

  /** Has a statement on a table fail as if an administrator ended the connection; returns how to end that. */
  async function failing(table: string, when: string): Promise<() => Promise<void>> {
    await bench.knex.raw(`create function end_connection() returns trigger language plpgsql as $$ begin
        raise exception 'terminating connection due to administrator command' using errcode = '57P01';
      end $$`);
    await bench.knex.raw(`create trigger fails ${when} execute function end_connection()`);
    return async () => {
      await bench.knex.raw(`drop trigger fails on ${table}`);
      await bench.knex.raw('drop function end_connection');
    };
  }

  describe('whose last piece Postgres does not take', () => {
    let recover: () => Promise<void>;
    const file = Buffer.from(
      `${kraken}${'L9,T9,2021-01-01 10:00:00,deposit,,currency,ZUSD,1,0,0\n'.repeat(12_000)}`,
    );
    beforeEach(async () => {
      const last = 'when (length(new.bytes) < 262144)';
      recover = await failing('import_chunks', `before insert on import_chunks for each row ${last}`);
    });
    afterEach(() => recover());

    for (const [what, send] of [
      ['a bare file', () => post(file, csv)],
      ['a form', () => post(form(file))],
      ['a bare file of one piece', () => post(kraken, csv)],
      ['a form of one piece', () => post(form(kraken))],
    ] as const) {
      it(`is not accepted as ${what}, and leaves nothing`, async () => {
        const { status, json } = await send();
        expect(status, JSON.stringify(json)).to.equal(503);
        expect(json.error.code).to.equal('database_unavailable');
        expect(api.clientJobs.submitted).to.deep.equal([]);
        expect(await left()).to.equal(0);
      });
    }
  });

  it('that is refused while Postgres does not delete it is deleted once it does', async () => {
    const recover = await failing('imports', 'before delete on imports for each row');
    expect((await post(zip, csv)).status).to.equal(422);
    expect(await left()).to.be.greaterThan(0);
    await recover();
    await waitFor(async () => (await left()) === 0, { what: 'the end of what had come' });
  });

  const zip = Buffer.concat([Buffer.from('504b030414000000', 'hex'), Buffer.alloc(5_000)]);
  const plain = 'must be a plain field, not a file';
  const refusals: readonly (readonly [string, () => FormData, string, string])[] = [
    [
      'a zip that is called a CSV',
      () => form(zip),
      'file',
      'is a zip archive or a spreadsheet (xlsx), not a CSV file',
    ],
    [
      'bytes that are no text',
      () => form(Buffer.from('a,b\n1,\0')),
      'file',
      'contains bytes that are not text',
    ],
    ['an empty file', () => form(''), 'file', 'is empty'],
    ['no file', () => form(undefined, { format: 'auto' }), 'file', 'is required'],
    ['a file as a plain field', () => form(undefined, { file: kraken }), 'file', 'must be sent as a file'],
    ['an unknown field', () => form(kraken, { speed: 'fast' }), 'speed', 'is not a known field'],
    ['an unknown format', () => form(kraken, { format: 'xml' }), 'format', 'must be one of auto'],
    ['a mapping that is no JSON', () => form(kraken, { mapping: '{' }), 'mapping', 'must be JSON'],
    [
      'a mapping that lacks a column',
      () => form(kraken, { mapping: '{"columns":{"time":"a"},"types":{}}' }),
      'mapping.columns.type',
      'must be the name of a column',
    ],
    ['generic without a mapping', () => form(kraken, { format: 'generic' }), 'mapping', 'is required'],
    [
      'a symbol that is to stand for nothing',
      () => form(kraken, { symbols: '{"XBT":"no-such-coin"}' }),
      'symbols.XBT',
      'no-such-coin is not a known asset',
    ],
    ['dry_run that is neither', () => form(kraken, { dry_run: 'maybe' }), 'dry_run', 'must be true or false'],
    [
      'a file in another field',
      () => {
        const body = form(kraken);
        body.set('mapping', new Blob(['{}'], { type: 'application/json' }), 'a.json');
        return body;
      },
      'mapping',
      plain,
    ],
    [
      'two files',
      () => {
        const body = form(kraken);
        body.append('file', new Blob([kraken], { type: 'text/csv' }), 'b.csv');
        return body;
      },
      'file',
      'must be one file',
    ],
  ];
  for (const [what, body, field, message] of refusals) {
    it(`with ${what} is refused by field, and leaves nothing`, async () => {
      const { status, json } = await post(body());
      expect(status).to.equal(422);
      const found = json.error.fields?.find((each) => each.field === field);
      expect(found?.message, JSON.stringify(json)).to.include(message);
      expect(api.clientJobs.submitted).to.deep.equal([]);
      expect(await left()).to.equal(0);
    });
  }

  it('with a field that is too long, or too many of them, is refused', async () => {
    expect((await post(form(kraken, { mapping: 'x'.repeat(70_000) }))).status).to.equal(413);
    const many = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`f${n}`, '']));
    expect((await post(form(kraken, many))).status).to.equal(413);
    expect(await left()).to.equal(0);
  });

  it('of another type, or as a form that is none, is refused', async () => {
    expect((await post('{}', { 'content-type': 'application/json' })).status).to.equal(415);
    expect((await post('x', { 'content-type': 'multipart/form-data' })).status).to.equal(400);
    expect(
      (await post('--a\r\nnonsense', { 'content-type': 'multipart/form-data; boundary=a' })).status,
    ).to.equal(400);
    expect(await left()).to.equal(0);
  });

  it('to a portfolio of somebody else is not read', async () => {
    const stranger = await bench.portfolio();
    const response = await fetch(`${api.base}/api/v1/portfolios/${stranger.id}/import`, {
      method: 'POST',
      headers: { authorization: `Bearer ${api.token}` },
      body: form(kraken),
    });
    expect(response.status).to.equal(404);
    expect(await left()).to.equal(0);
  });

  it('sent again under its idempotency key is thrown away', async () => {
    const key = { 'idempotency-key': 'once' };
    await post(form(kraken), key);
    const { importId } = submission();
    const kept = await left();
    expect(kept).to.equal(2);
    await post(form(kraken), key);
    const [first, second] = api.clientJobs.submitted;
    expect(second!.idempotency).to.deep.equal(first!.idempotency);
    await waitFor(async () => (await left()) === kept, { what: 'the end of the second upload' });
    expect(await bench.imports.find(importId, portfolio.id)).to.include({ settledAt: null });
    await post(form(`${kraken}\n`), key);
    expect(api.clientJobs.submitted[2]!.idempotency!.bodyHash).to.not.equal(first!.idempotency!.bodyHash);
  });

  describe('that is too large', () => {
    interface Client {
      readonly socket: Socket;
      readonly text: () => string;
    }

    function client(): Client {
      const socket = connect(Number(new URL(api.base).port), '127.0.0.1');
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      socket.on('error', () => undefined);
      return { socket, text: () => text };
    }

    const head = (...more: string[]): string =>
      [`POST ${path} HTTP/1.1`, 'Host: a', `Authorization: Bearer ${api.token}`, ...more, '', ''].join(
        '\r\n',
      );

    it('by its own word is refused before it comes', async () => {
      const { socket, text } = client();
      socket.write(head('Content-Type: text/csv', 'Content-Length: 1000000000'));
      await once(socket, 'close');
      expect(text())
        .to.match(/^HTTP\/1\.1 413 /)
        .and.match(/^Connection: close$/im);
      expect(text()).to.include('file_too_large');
      expect(await left()).to.equal(0);
    });

    for (const [what, type, begin] of [
      ['a bare file', 'text/csv', ''],
      [
        'a form',
        'multipart/form-data; boundary=b',
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\nContent-Type: text/csv\r\n\r\n',
      ],
    ] as const) {
      it(`is cut off as ${what} that never ends, with an answer that can be read`, async function () {
        this.timeout(120_000);
        const { socket, text } = client();
        socket.write(head(`Content-Type: ${type}`, 'Transfer-Encoding: chunked'));
        const piece = 'a,b,c,d,e,f,g,h\n'.repeat(4_096);
        const chunk = (data: string): string => `${data.length.toString(16)}\r\n${data}\r\n`;
        if (begin !== '') socket.write(chunk(begin));
        let sent = 0;
        const closed = once(socket, 'close');
        while (!socket.destroyed && socket.writable && sent < 1_000_000_000 && text() === '') {
          sent += piece.length;
          if (!socket.write(chunk(piece)))
            await Promise.race([once(socket, 'drain').catch(() => undefined), closed]);
        }
        await closed;
        expect(text()).to.match(/^HTTP\/1\.1 413 /);
        expect(text()).to.include('file_too_large');
        // What lies between is in the buffers of both sides.
        expect(sent).to.be.lessThan(200_000_000);
        await waitFor(async () => (await left()) === 0, { what: 'the end of what had come' });
      });
    }

    it('or breaks off leaves nothing', async () => {
      const { socket } = client();
      socket.write(head('Content-Type: text/csv', 'Content-Length: 1000000'));
      socket.write('a,b\n'.repeat(100_000));
      await waitFor(async () => (await left()) > 1, { what: 'the first pieces' });
      socket.destroy();
      await waitFor(async () => (await left()) === 0, { what: 'the end of what had come' });
      expect(api.clientJobs.submitted).to.deep.equal([]);
    });
  });

  it('is listed with what came of it', async () => {
    await bench.knex('imports').delete();
    const importId = await bench.upload(portfolio, kraken);
    await bench.run(portfolio, importId);
    const get = async (rest: string) => {
      const response = await api.call('GET', `/api/v1/portfolios/${portfolio.id}/imports${rest}`);
      return { status: response.status, data: ((await response.json()) as { data: never }).data };
    };
    const page = (await get('?limit=5')).data as { data: Record<string, unknown>[]; total: number };
    expect(page.total).to.equal(1);
    expect(page.data[0]).to.include({ id: importId, added: 1, file_name: 'report.csv', dry_run: false });
    const one = (await get(`/${importId}`)).data as { result: ImportReported };
    expect(one.result).to.include({ format: 'kraken', added: 1 });
    expect((await get('/01934c2a-0000-7000-8000-0000000000ee')).status).to.equal(404);
    expect((await get('/nonsense')).status).to.equal(404);
  });
});
