/** Every wrong request of the list is a clear 4xx that names the field, and nothing of it reaches the desk. */
import { request } from 'node:http';
import { expect } from 'chai';
import { startApi, type TestApi } from './support/ports.ts';

interface Refusal {
  readonly status: number;
  /** Absent where no field is to blame. */
  readonly field?: string;
  readonly code?: string;
}

interface Case extends Refusal {
  readonly what: string;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly path?: string;
}

const ids = (count: number): string[] => Array.from({ length: count }, (_each, index) => `coin-${index}`);
const bulk = '/api/v1/crypto/bulk';
const portfolio = '/api/v1/crypto/portfolio';
const good = { coins: ['bitcoin'] };
const unprocessable = { status: 422, code: 'validation_failed' };
const holding = (quantity: unknown) => ({ holdings: [{ coin: 'bitcoin', quantity }] });

const cases: Case[] = [
  { what: 'no body', ...unprocessable, field: 'coins' },
  { what: 'no coins', body: {}, ...unprocessable, field: 'coins' },
  { what: 'an empty list', body: { coins: [] }, ...unprocessable, field: 'coins' },
  { what: '251 coins', body: { coins: ids(251) }, ...unprocessable, field: 'coins' },
  { what: '60,000 coins', body: { coins: ids(60_000) }, ...unprocessable, field: 'coins' },
  { what: 'a duplicate', body: { coins: ['a', 'b', 'c', 'b'] }, ...unprocessable, field: 'coins[3]' },
  { what: 'a duplicate in upper case', body: { coins: ['a', ' A '] }, ...unprocessable, field: 'coins[1]' },
  { what: 'an empty string', body: { coins: ['a', ''] }, ...unprocessable, field: 'coins[1]' },
  { what: 'blanks', body: { coins: ['   '] }, ...unprocessable, field: 'coins[0]' },
  { what: '../', body: { coins: ['../'] }, ...unprocessable, field: 'coins[0]' },
  { what: 'a comma', body: { coins: ['a,b'] }, ...unprocessable, field: 'coins[0]' },
  { what: 'a 10 kB id', body: { coins: ['x'.repeat(10_240)] }, ...unprocessable, field: 'coins[0]' },
  { what: 'a number as coin', body: { coins: [7] }, ...unprocessable, field: 'coins[0]' },
  { what: 'null as coin', body: { coins: [null] }, ...unprocessable, field: 'coins[0]' },
  { what: 'coins as text', body: { coins: 'bitcoin' }, ...unprocessable, field: 'coins' },
  { what: 'a list as body', body: ['bitcoin'], ...unprocessable, field: 'body' },
  { what: 'an unknown field', body: { ...good, coinz: 1 }, ...unprocessable, field: 'coinz' },
  {
    what: 'a constructor field',
    body: '{"coins":["a"],"constructor":{}}',
    ...unprocessable,
    field: 'constructor',
  },
  { what: 'a bad currency', body: { ...good, currency: 'zzz' }, ...unprocessable, field: 'currency' },
  { what: 'a currency of a wrong type', body: { ...good, currency: 1 }, ...unprocessable, field: 'currency' },
  ...[0, -1, 0.5, 61, 1e9, 'NaN', '5', null, [5]].map((timeout) => ({
    what: `timeout ${JSON.stringify(timeout)}`,
    body: { ...good, timeout },
    ...unprocessable,
    field: 'timeout',
  })),
  { what: 'timeout 1e999', body: '{"coins":["a"],"timeout":1e999}', ...unprocessable, field: 'timeout' },
  { what: 'timeout NaN', body: '{"coins":["a"],"timeout":NaN}', status: 400, code: 'malformed_request' },
  { what: 'broken JSON', body: '{"coins":["a",', status: 400, code: 'malformed_request' },
  ...['null', '1', 'true', '"bitcoin"'].map((body) => ({
    what: `${body} as body`,
    body,
    ...unprocessable,
    field: 'body',
  })),
  {
    what: '__proto__',
    body: '{"coins":["a"],"__proto__":{"admin":true}}',
    status: 400,
    code: 'malformed_request',
  },
  {
    what: 'a body that is not compressed as it says',
    body: good,
    headers: { 'content-encoding': 'gzip' },
    status: 400,
  },
  { what: 'an unknown compression', body: good, headers: { 'content-encoding': 'zap' }, status: 415 },
  { what: 'a wrong content type', body: good, headers: { 'content-type': 'text/plain' }, status: 415 },
  {
    what: 'a form',
    body: 'coins=a',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    status: 415,
  },
  { what: 'a body of 2 MB', body: { coins: ['x'.repeat(2 ** 21)] }, status: 413, code: 'body_too_large' },
  {
    what: 'a blank idempotency key',
    body: good,
    headers: { 'idempotency-key': 'a b' },
    status: 422,
    field: 'Idempotency-Key',
  },
  {
    what: 'a long idempotency key',
    body: good,
    headers: { 'idempotency-key': 'k'.repeat(256) },
    status: 422,
    field: 'Idempotency-Key',
  },
  { what: 'no token', body: good, headers: { authorization: '' }, status: 401, code: 'unauthenticated' },
  {
    what: 'a forged token',
    body: good,
    headers: { authorization: 'Bearer x.y.z' },
    status: 401,
    code: 'token_invalid',
  },
  { what: 'neither coins nor holdings', path: portfolio, body: {}, ...unprocessable, field: 'coins' },
  {
    what: 'coins and holdings',
    path: portfolio,
    body: { ...good, ...holding('1') },
    ...unprocessable,
    field: 'coins',
  },
  {
    what: 'no quantity',
    path: portfolio,
    body: holding(undefined),
    ...unprocessable,
    field: 'holdings[0].quantity',
  },
  ...[
    '-1',
    '1e3',
    'NaN',
    '',
    '1,5',
    '.5',
    '0x10',
    '1'.repeat(21),
    `0.${'1'.repeat(19)}`,
    -1,
    1e21,
    1e-19,
    0.1 + 0.2,
    2 ** 53,
    true,
  ].map((quantity) => ({
    what: `quantity ${JSON.stringify(quantity)}`,
    path: portfolio,
    body: holding(quantity),
    ...unprocessable,
    field: 'holdings[0].quantity',
  })),
  {
    what: 'an unknown field of a holding',
    path: portfolio,
    body: { holdings: [{ coin: 'a', quantity: '1', price: 1 }] },
    ...unprocessable,
    field: 'holdings[0].price',
  },
  {
    what: '10,001 holdings',
    path: portfolio,
    body: { holdings: Array.from({ length: 10_001 }, () => ({ coin: 'a', quantity: '1' })) },
    ...unprocessable,
    field: 'holdings',
  },
  {
    what: 'holdings of 251 coins',
    path: portfolio,
    body: { holdings: ids(251).map((coin) => ({ coin, quantity: '1' })) },
    ...unprocessable,
    field: 'holdings',
  },
];

interface ProblemBody {
  success: boolean;
  message: string;
  error: { code: string; detail: string; fields?: { field: string; message: string }[] };
  request_id: string;
}

describe('bad input', () => {
  let api: TestApi;

  before(async () => {
    api = await startApi();
  });

  after(async () => {
    await api.close(0);
  });

  for (const { what, path = bulk, status, field, code, ...request } of cases) {
    it(`${path.split('/').at(-1) ?? ''} with ${what} is ${status}${field === undefined ? '' : ` naming ${field}`}`, async () => {
      const response = await api.call('POST', path, request);
      const problem = (await response.json()) as ProblemBody;
      expect(response.status, JSON.stringify(problem)).to.equal(status);
      expect(problem.success).to.equal(false);
      expect(problem.request_id).to.equal(response.headers.get('x-request-id'));
      if (code !== undefined) expect(problem.error.code).to.equal(code);
      if (field !== undefined) expect(problem.error.fields?.map((each) => each.field)).to.include(field);
      expect(JSON.stringify(problem)).to.have.length.below(4_000);
      expect(api.clientJobs.submitted).to.deep.equal([]);
    });
  }

  const queries: [string, string, string][] = [
    ['GET', '/api/v1/crypto/..%2F..%2Fetc', 'coinId'],
    ['GET', `/api/v1/crypto/${'x'.repeat(10_000)}`, 'coinId'],
    ['GET', '/api/v1/crypto/bitcoin?currency=zzz', 'query.currency'],
    ['GET', '/api/v1/crypto/bitcoin?currency=usd&currency=eur', 'query.currency'],
    ['GET', '/api/v1/crypto/bitcoin?limit=1', 'query.limit'],
    ...['0', '251', '-1', '1.5', 'NaN', '', '1e2'].map((limit): [string, string, string] => [
      'GET',
      `/api/v1/crypto/popular?limit=${limit}`,
      'query.limit',
    ]),
    ['GET', '/api/v1/jobs?page=0', 'query.page'],
    ['GET', '/api/v1/jobs?state=lost', 'query.state'],
  ];
  for (const [method, path, field] of queries) {
    it(`${method} ${path.slice(0, 60)} is 422 naming ${field}`, async () => {
      const response = await api.call(method, path);
      const problem = (await response.json()) as ProblemBody;
      expect(response.status).to.equal(422);
      expect(problem.error.fields?.map((each) => each.field)).to.deep.equal([field]);
      expect(api.quotes.reads).to.deep.equal([]);
    });
  }

  it('names the wrong fields of all parts of a request at once', async () => {
    const response = await api.call('GET', '/api/v1/crypto/a%2Cb?currency=zzz');
    const { error } = (await response.json()) as ProblemBody;
    expect(error.fields?.map((each) => each.field)).to.deep.equal(['coinId', 'query.currency']);
  });

  it('refuses a body of 16 MB while it is still being sent, and takes the rest off the wire', async () => {
    const headers = { authorization: `Bearer ${api.token}`, 'content-type': 'application/json' };
    const upload = request(api.base + bulk, { method: 'POST', headers });
    const [sent, status] = await Promise.all([
      new Promise<string>((resolve) => upload.once('finish', () => resolve('all of it'))),
      new Promise<number | undefined>((resolve) => {
        upload.once('response', (response) => resolve(response.resume().statusCode));
      }),
      // Far more than the system buffers between two sockets: it is sent only if it is read.
      Promise.resolve(upload.end(Buffer.alloc(2 ** 24, 'x'))),
    ]);
    expect({ sent, status }).to.deep.equal({ sent: 'all of it', status: 413 });
    expect((await api.call('GET', '/health/live')).status).to.equal(200);
    expect(api.clientJobs.submitted).to.deep.equal([]);
  });

  it('refuses a chunked body as soon as it is too long', async () => {
    const headers = { authorization: `Bearer ${api.token}`, 'content-type': 'application/json' };
    const upload = request(api.base + bulk, { method: 'POST', headers });
    const status = new Promise<number | undefined>((resolve) => {
      upload.once('response', (response) => resolve(response.resume().statusCode));
    });
    const finished = new Promise((resolve) => upload.once('finish', resolve));
    for (let sent = 0; sent < 256; sent += 1) upload.write(Buffer.alloc(65_536, 'x'));
    upload.end();
    await finished;
    expect(await status).to.equal(413);
    expect(api.clientJobs.submitted).to.deep.equal([]);
  });
});
