/**
 * One query number was so large that the process of the system this one descends from died. Here every number that a request
 * can carry, as the OpenAPI document of a real process names them, is given what is no such number.
 */
import { expect } from 'chai';
import type { OpenApiDocument } from '../../../src/platform/http/openapi.ts';
import { newUser } from '../../support/api-client.ts';
import { stackSecret, startStack, type Stack } from '../../support/stack.ts';
import { claimsOf, kidOf, sendRaw, sign, statusOf, type Body } from '../support/attack.ts';

/** As they stand in a query. */
const inQueries = [
  ...[
    '1e309',
    '-1e309',
    '9999999999999999999',
    '99999999999999999999999999999999999999999',
    '9'.repeat(5_000),
  ],
  ...[
    '2147483648',
    '9007199254740993',
    '-1',
    '-0',
    '0',
    '1.5',
    '1e2',
    '0x10',
    '0b1',
    '0o7',
    '1_000',
    '1,5',
    '٣',
  ],
  ...[
    'NaN',
    'Infinity',
    '-Infinity',
    'null',
    'undefined',
    'true',
    '',
    ' ',
    '%00',
    '1%00',
    '1;drop',
    '[]',
    '{}',
    '1n',
  ],
];
/** As they stand in JSON, with the answers they get. */
const inBodies: [string, number][] = [
  ...[
    '1e309',
    '-1e309',
    '9999999999999999999',
    '9'.repeat(5_000),
    '1e-400',
    '-1',
    '0',
    '1e308',
    '0.1e-10',
  ].map((text): [string, number] => [text, 422]),
  ...['null', 'true', '""', '"1e309"', '"0x10"', '[]', '[1]', '{}', '{"valueOf":1}'].map(
    (text): [string, number] => [text, 422],
  ),
  ...['NaN', 'Infinity', '-Infinity', '0x10', '01', '+1', '1.', '.5', '1n', '--1'].map(
    (text): [string, number] => [text, 400],
  ),
];
const uuid = '01934c2a-0000-7000-8000-0000000000aa';

describe('attacks with numbers', () => {
  let stack: Stack;
  let port: number;
  let user: string;
  let userId: string;
  let admin: string;

  before(async function () {
    this.timeout(120_000);
    stack = await startStack({ workers: 0 });
    const client = await newUser(stack.apis[0]!.url);
    user = client.token;
    userId = (await client.call('GET', '/users/me')).body?.data.id;
    port = Number(new URL(stack.apis[0]!.url).port);
    const options = { keyid: kidOf(stackSecret) };
    admin = sign(claimsOf({ id: userId, token: user }, { role: 'admin' }), options, stackSecret);
  });
  after(async function () {
    this.timeout(120_000);
    await stack.stop();
  });

  async function ask(method: string, path: string, body?: string): Promise<number> {
    const headers = { authorization: `Bearer ${admin}`, 'content-type': 'application/json' };
    const signal = AbortSignal.timeout(2_000);
    const sent = body === undefined ? {} : { body };
    const response = await fetch(stack.apis[0]!.url + path, { method, headers, signal, ...sent });
    await response.text();
    return response.status;
  }

  async function documented(): Promise<OpenApiDocument> {
    return (await (await fetch(`${stack.apis[0]!.url}/openapi.json`)).json()) as OpenApiDocument;
  }

  it('every number in a query: anything else than one in its range is answered 422, and the process lives', async () => {
    const found = numbersInQueries(await documented());
    for (const { method, path, name } of found) {
      for (const number of inQueries) {
        const query = number.includes('%') ? number : encodeURIComponent(number);
        expect(await ask(method, `${path}?${name}=${query}`), `${path} ${name}=${number}`).to.equal(422);
      }
      for (const query of [`${name}=1&${name}=2`, `${name}[]=1`, `${name}[a]=1`, `${name}[length]=1`])
        expect(await ask(method, `${path}?${query}`), query).to.equal(422);
    }
    expect(found.map(({ method, path, name }) => `${method} ${path} ${name}`)).to.include.members([
      ...[
        'GET /api/v1/users page',
        'GET /api/v1/users limit',
        'GET /api/v1/jobs page',
        'GET /api/v1/jobs limit',
      ],
      ...[
        'GET /api/v1/crypto/popular limit',
        'GET /api/v1/crypto/search limit',
        'GET /api/v1/crypto/coins page',
        'GET /api/v1/crypto/coins limit',
        'GET /api/v1/admin/audit page',
        'GET /api/v1/admin/usage limit',
      ],
    ]);
    expect(stack.apis[0]!.isRunning()).to.equal(true);
  });

  const fields: [string, string, (number: string) => string][] = [
    ['the timeout of a bulk job', '/crypto/bulk', (n) => `{"coins":["bitcoin"],"timeout":${n}}`],
    ['the timeout of a portfolio', '/crypto/portfolio', (n) => `{"coins":["bitcoin"],"timeout":${n}}`],
    ['the life of a key', '/api-keys', (n) => `{"name":"k","scopes":["jobs:write"],"expires_in_days":${n}}`],
    ['the interval of a stream', '/crypto/stream/portfolio', (n) => `{"coins":["bitcoin"],"interval":${n}}`],
    [
      'the updates of a stream',
      '/crypto/stream/portfolio',
      (n) => `{"coins":["bitcoin"],"max_updates":${n}}`,
    ],
    ['the quota of a key', '/api-keys', (n) => `{"name":"k","scopes":["jobs:write"],"daily_quota":${n}}`],
  ];
  for (const [what, path, bodyOf] of fields) {
    it(`${what}: what is no number in its range is answered 422 or 400, and the process lives`, async () => {
      for (const [number, status] of inBodies)
        expect(await ask('POST', `/api/v1${path}`, bodyOf(number)), number.slice(0, 30)).to.equal(status);
      expect(stack.apis[0]!.isRunning()).to.equal(true);
    });
  }

  it('a risk-free rate: what is no rate in its range is answered 422 or 400', async () => {
    // These are rates; a number below what JSON can hold reads as zero everywhere.
    const taken = new Set(['-1', '0', '1e-400']);
    const path = `/api/v1/portfolios/${uuid}/performance`;
    for (const [number, status] of inBodies) {
      const expected = taken.has(number) ? 404 : status;
      const answered = await ask('POST', path, `{"risk_free_rate":${number}}`);
      expect(answered, number.slice(0, 30)).to.equal(expected);
    }
  });

  it('a quantity: what no exact decimal can be made of is answered 422 or 400', async () => {
    // A number below what JSON can hold reads as zero everywhere.
    const taken = new Set(['0', '1e-400', '0.1e-10']);
    for (const [number, status] of inBodies) {
      if (taken.has(number)) continue;
      const body = `{"holdings":[{"coin":"bitcoin","quantity":${number}}]}`;
      expect(await ask('POST', '/api/v1/crypto/portfolio', body), number.slice(0, 30)).to.equal(status);
    }
    const long = `{"holdings":[{"coin":"bitcoin","quantity":"${'9'.repeat(500_000)}"}]}`;
    expect(await ask('POST', '/api/v1/crypto/portfolio', long)).to.equal(422);
  });

  it('a transaction: what is no exact decimal above zero, or no place, is answered 422 or 400', async () => {
    const created = { authorization: `Bearer ${admin}`, 'content-type': 'application/json' };
    const url = `${stack.apis[0]!.url}/api/v1/portfolios`;
    const made = await fetch(url, { method: 'POST', headers: created, body: '{"name":"numbers"}' });
    const { id } = ((await made.json()) as Body).data;
    const path = `/api/v1/portfolios/${id}/transactions`;
    const bodyOf = (quantity: string, value: string, sequence: string): string =>
      `{"type":"buy","executed_at":"2024-01-31T09:30:00Z","received":{"asset":"bitcoin","quantity":${quantity}},"value":${value},"sequence":${sequence}}`;
    // A number below what JSON can hold reads as zero, which a value and a place may be.
    const zeros = new Set(['0', '1e-400']);
    for (const [number, status] of inBodies) {
      if (number !== '0.1e-10') expect(await ask('POST', path, bodyOf(number, '1', '0'))).to.equal(status);
      if (zeros.has(number)) continue;
      if (number !== '0.1e-10') expect(await ask('POST', path, bodyOf('1', number, '0'))).to.equal(status);
      expect(await ask('POST', path, bodyOf('1', '1', number)), number.slice(0, 30)).to.equal(status);
    }
    const long = `"${'9'.repeat(40)}"`;
    expect(await ask('POST', path, bodyOf(long, '1', '0'))).to.equal(422);
    expect(await ask('POST', path, bodyOf('1', long, '0'))).to.equal(422);
  });

  it('an alert: what is no threshold, hysteresis or window is answered 422 or 400', async () => {
    const bodyOf = (fields: string): string =>
      `{"kind":"change","coin":"bitcoin","direction":"above",${fields}}`;
    const fields: [(number: string) => string, readonly string[]][] = [
      [(n) => `"window":300,"threshold":${n}`, ['-1', '0.1e-10']],
      [(n) => `"window":${n},"threshold":5`, []],
      [(n) => `"window":300,"threshold":5,"hysteresis":{"percent":${n}}`, ['0', '1e-400', '0.1e-10']],
      [(n) => `"window":300,"threshold":5,"hysteresis":{"absolute":${n}}`, ['0', '1e-400', '0.1e-10']],
    ];
    for (const [fieldsOf, taken] of fields) {
      for (const [number, status] of inBodies) {
        if (taken.includes(number)) continue;
        const body = bodyOf(fieldsOf(number));
        expect(await ask('POST', '/api/v1/alerts', body), body.slice(0, 120)).to.equal(status);
      }
    }
  });

  it('every number field that the document knows is attacked above', async () => {
    const known = new Set<string>();
    JSON.stringify(await documented(), (key, value: Body) => {
      const types: unknown[] = Array.isArray(value?.type) ? value.type : [value?.type];
      if (types.includes('number') || types.includes('integer')) known.add(key);
      return value as unknown;
    });
    // A parameter of a query has its type in a schema.
    expect([...known].toSorted()).to.deep.equal([
      'absolute',
      'daily_quota',
      'expires_in_days',
      'interval',
      'max_updates',
      'percent',
      'quantity',
      'risk_free_rate',
      'schema',
      'sequence',
      'threshold',
      'timeout',
      'value',
      'window',
    ]);
  });

  it('days that are none, or too far apart, are answered 422', async () => {
    const days = [
      '0000-01-01',
      '-271821-04-20',
      '99999-12-31',
      '2026-02-30',
      '2026-13-01',
      '1e9',
      '0',
      'now',
      '-infinity',
    ];
    for (const day of days) {
      for (const path of ['/usage', '/admin/usage']) {
        expect(await ask('GET', `/api/v1${path}?from=${day}`), day).to.equal(422);
        expect(await ask('GET', `/api/v1${path}?from=2026-01-01&to=${day}`), day).to.equal(422);
      }
    }
    expect(await ask('GET', '/api/v1/usage?from=9999-12-31')).to.be.oneOf([200, 422]);
    expect(await ask('GET', '/api/v1/usage?to=9999-12-31')).to.be.oneOf([200, 422]);
  });

  it('an event id of any size opens the stream or is refused, and the process lives', async () => {
    const submit = { method: 'POST', body: '{"coins":["bitcoin"]}' };
    const headers = { authorization: `Bearer ${user}`, 'content-type': 'application/json' };
    const response = await fetch(`${stack.apis[0]!.url}/api/v1/crypto/bulk`, { ...submit, headers });
    const { data } = (await response.json()) as Body;
    const ids = [
      '1e309',
      '9'.repeat(60),
      '-1',
      `${'9'.repeat(40)}-${'9'.repeat(40)}`,
      '0-0',
      '18446744073709551615-18446744073709551616',
      'NaN',
      '$',
      '+',
      '1-1 COUNT 1',
    ];
    for (const id of ids) {
      const opened = await fetch(`${stack.apis[0]!.url}/api/v1/jobs/${data.id}/events`, {
        headers: { ...headers, 'last-event-id': id },
        signal: AbortSignal.timeout(2_000),
      });
      expect(opened.status, id).to.equal(200);
      const first = await opened.body!.getReader().read();
      expect(Buffer.from(first.value as Uint8Array).toString(), id).to.match(/hello|reset|retry/);
      await opened.body!.cancel().catch(() => undefined);
    }
    expect(await ask('GET', `/api/v1/jobs/${data.id}`)).to.equal(200);
  });

  it('a wait of any size is none, or a minute at most', async () => {
    for (const wait of ['-1', '0', '1e309', 'NaN', '0x10', '1.5', '""']) {
      const headers = {
        authorization: `Bearer ${user}`,
        'content-type': 'application/json',
        prefer: `wait=${wait}`,
      };
      const url = `${stack.apis[0]!.url}/api/v1/crypto/bulk`;
      const body = '{"coins":["bitcoin"]}';
      const answer = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(2_000) });
      expect(answer.status, wait).to.equal(202);
      await answer.text();
    }
  });

  it('a length of a body that is no length is answered 400', async () => {
    for (const length of ['-1', '1e3', '0x10', '99999999999999999999999', 'NaN', '1, 2', '1.0']) {
      const head = `POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json`;
      const text = await sendRaw(port, `${head}\r\nContent-Length: ${length}\r\n\r\n{}`);
      expect(statusOf(text), length).to.equal(400);
    }
    expect(stack.apis[0]!.isRunning()).to.equal(true);
  });
});

/** Every number that may stand in a query. */
function numbersInQueries({ paths }: OpenApiDocument): { method: string; path: string; name: string }[] {
  // CoinGecko's contract takes what is no number for an absent one: test/http/v3-markets.test.ts.
  const strict = Object.entries(paths).filter(([template]) => !template.startsWith('/api/v3/'));
  const operations = strict.flatMap(([template, methods]) =>
    Object.entries(methods as Record<string, Body>).map(([method, { parameters = [] }]) => ({
      method: method.toUpperCase(),
      path: template.replace(/\{.*?\}/g, uuid),
      parameters: parameters as Body[],
    })),
  );
  return operations.flatMap(({ method, path, parameters }) =>
    parameters
      .filter((each) => each.in === 'query' && ['integer', 'number'].includes(each.schema.type))
      .map(({ name }) => ({ method, path, name: name as string })),
  );
}
