/** Attacks with requests that no honest client sends: bodies that explode, prototypes, doubled keys, odd heads and odd paths. */
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { startAccessApi, type AccessApi } from '../support/access.ts';
import { as, newPerson, password, sendRaw, statusOf, type Body, type Person } from '../support/attack.ts';
import { withDeadline } from '../../../src/platform/concurrency/deadline.ts';

describe('attacks with requests', () => {
  let api: AccessApi;
  let joe: Person;
  let ann: Person;

  before(async () => {
    api = await startAccessApi({
      environment: { RATE_LIMIT_ADDRESS: '1000000', REGISTRATIONS_PER_HOUR: '1000' },
    });
  });
  beforeEach(async () => {
    [joe, ann] = [await newPerson(api, 'joe'), await newPerson(api, 'ann')];
  });
  after(() => api.end());

  const rowOf = (id: string): Promise<Body> => api.knex('users').where({ id }).first();
  const post = (
    path: string,
    body: string | Buffer,
    headers: Record<string, string> = {},
  ): Promise<Response> =>
    fetch(`${api.base}/api/v1${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${joe.token}`, ...headers },
      body,
      signal: AbortSignal.timeout(5_000),
    });
  const raw = (lines: readonly string[], body = ''): Promise<string> =>
    sendRaw(api.port, `${[...lines, 'Host: example', 'Connection: close'].join('\r\n')}\r\n\r\n${body}`);

  /** Within this time (ms) an answer comes, on a busy machine too. */
  const soonMs = 15_000;
  const megabyte = 2 ** 20;
  const bombs: [string, () => string, number[]][] = [
    ['1 MB of opening brackets', () => '['.repeat(megabyte - 1), [400]],
    ['lists 100,000 deep', () => '['.repeat(100_000) + ']'.repeat(100_000), [400, 422]],
    ['objects 100,000 deep', () => '{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000), [400, 422]],
    [
      'lists 100,000 deep in a field',
      () => `{"coins":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
      [400, 422],
    ],
    ['a number of 1 MB', () => `{"coins":["bitcoin"],"timeout":${'9'.repeat(megabyte - 100)}}`, [422]],
    ['a text of 1 MB', () => `{"coins":["${'x'.repeat(megabyte - 100)}"]}`, [422]],
    ['a text of 1 MB of escapes', () => `{"coins":["${'\\u0000'.repeat(170_000)}"]}`, [422]],
    ['100,000 elements', () => `{"coins":[${'"a",'.repeat(100_000)}"a"]}`, [422]],
    ['100,000 empty lists', () => `{"coins":[${'[],'.repeat(100_000)}[]]}`, [422]],
    [
      '50,000 unknown fields',
      () => `{${Array.from({ length: 50_000 }, (_, n) => `"f${n}":1`).join()}}`,
      [422],
    ],
    ['a field with a name of 1 MB', () => `{"${'x'.repeat(megabyte - 100)}":1}`, [422]],
    ['more than 1 MB', () => `{"coins":["${'x'.repeat(megabyte)}"]}`, [413]],
  ];
  for (const [what, bodyOf, expected] of bombs) {
    it(`a body of ${what} is answered ${expected.join(' or ')}, with a short answer and soon`, async () => {
      for (const path of ['/crypto/bulk', '/auth/login', '/auth/register', '/api-keys']) {
        const response = await withDeadline(post(path, bodyOf()), soonMs, what);
        const text = await response.text();
        expect(response.status, text.slice(0, 300)).to.be.oneOf(
          expected.includes(422) ? [400, 422] : expected,
        );
        expect(text).to.have.length.below(8_000);
      }
      expect(api.clientJobs.submitted).to.deep.equal([]);
    });
  }

  it('a body that is small packed and large unpacked is answered 413', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * megabyte, ' '));
    expect(bomb).to.have.length.below(100_000);
    for (const path of ['/crypto/bulk', '/auth/login']) {
      expect((await post(path, bomb, { 'content-encoding': 'gzip' })).status).to.equal(413);
      const twice = await post(path, gzipSync(bomb), { 'content-encoding': 'gzip, gzip' });
      expect(twice.status).to.be.oneOf([400, 413, 415]);
    }
    expect(
      (await post('/crypto/bulk', bomb.subarray(0, 1_000), { 'content-encoding': 'gzip' })).status,
    ).to.equal(400);
  });

  it('bodies in other charsets and types are read as JSON in UTF-8 or refused', async () => {
    const body = `{"username":"${joe.name}x"}`;
    const types = [
      'text/plain',
      'application/xml',
      'multipart/form-data; boundary=x',
      'application/x-www-form-urlencoded',
    ];
    for (const type of [...types, 'text/html', 'application/jsonp', 'application/json, text/plain', ''])
      expect((await post('/api-keys', body, { 'content-type': type })).status, type).to.equal(415);
    // Some are known to the decoder; what comes of them meets the schema like any other text.
    for (const charset of ['utf-7', 'utf-32', 'nonsense', '../../x'])
      expect(
        (await post('/api-keys', body, { 'content-type': `application/json; charset=${charset}` })).status,
      ).to.be.oneOf([415, 422]);
    expect((await post('/api-keys', Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]))).status).to.be.oneOf([
      400, 422,
    ]);
  });

  const pollutions: string[] = [
    '{"__proto__":{"polluted":1,"role":"admin"}}',
    '{"\\u005f_proto__":{"polluted":1,"role":"admin"}}',
    '{"constructor":{"prototype":{"polluted":1,"role":"admin"}}}',
    '{"prototype":{"polluted":1}}',
    '{"username":{"__proto__":{"polluted":1}}}',
    '{"coins":[{"__proto__":{"polluted":1}}]}',
    '{"coins":{"__proto__":{"polluted":1},"length":1,"0":"bitcoin"}}',
    '{"holdings":[{"coin":"bitcoin","quantity":"1","__proto__":{"polluted":1}}]}',
    '{"holdings":[{"coin":"bitcoin","quantity":{"__proto__":{"polluted":1}}}]}',
    '[{"__proto__":{"polluted":1}}]',
    '{"__defineGetter__":1,"__lookupSetter__":1,"polluted":1}',
  ];
  it('a prototype in a body is refused, and no object of this process has got anything of it', async () => {
    const paths = [
      '/crypto/bulk',
      '/crypto/portfolio',
      '/auth/register',
      '/auth/login',
      '/auth/refresh',
      '/api-keys',
    ];
    for (const body of pollutions) {
      for (const path of [...paths, '/auth/password', '/auth/password/reset', '/auth/password/forgot'])
        expect((await post(path, body)).status, `${path} ${body}`).to.be.oneOf([400, 422]);
      expect((await as(api, joe.token)('PUT', '/users/me', { body })).status).to.be.oneOf([400, 422]);
    }
    expectClean();
    expect((await rowOf(joe.id)).role).to.equal('user');
  });

  it('a prototype in a query is refused, and no object of this process has got anything of it', async () => {
    const queries = [
      '__proto__[polluted]=1',
      '__proto__.polluted=1',
      'constructor[prototype][polluted]=1',
      '__proto__=1',
    ];
    for (const query of [
      ...queries,
      'page[__proto__][polluted]=1',
      '%5F_proto__[polluted]=1',
      'hasOwnProperty=1',
    ]) {
      for (const path of ['/jobs', '/crypto/popular', '/crypto/bitcoin', '/usage'])
        expect((await as(api, joe.token)('GET', `${path}?${query}`)).status, `${path}?${query}`).to.equal(
          422,
        );
    }
    for (const id of ['__proto__', 'constructor', 'toString', 'hasOwnProperty'])
      for (const path of ['/jobs', '/users'])
        expect((await as(api, joe.token)('GET', `${path}/${id}`)).status).to.equal(404);
    expectClean();
  });

  function expectClean(): void {
    expect(({} as Body).polluted).to.equal(undefined);
    expect(({} as Body).role).to.equal(undefined);
    expect(([] as Body).polluted).to.equal(undefined);
    expect((Object as Body).polluted ?? (Function.prototype as Body).polluted).to.equal(undefined);
  }

  it('of a key that comes twice the last one counts, for what is checked as for what is done', async () => {
    const name = `${joe.name}-last`;
    const change = (body: string) => as(api, joe.token)('PUT', '/users/me', { body });
    expect((await change(`{"username":"${ann.name}","username":"${name}"}`)).status).to.equal(200);
    expect((await rowOf(joe.id)).username).to.equal(name);
    expect((await change(`{"username":"good-name","username":"not good"}`)).status).to.equal(422);
    expect((await change(`{"role":"user","role":"admin"}`)).status).to.equal(403);
    const email = `"email":"${joe.email}","email":"${ann.email}"`;
    const login = await as(api, '')('POST', '/auth/login', {
      body: `{${email},"password":"x","password":"${password}"}`,
    });
    expect(login.body.data.user.id).to.equal(ann.id);
    for (const query of ['page=1&page=2', 'state=queued&state=failed', 'limit=1&limit=1'])
      expect((await as(api, joe.token)('GET', `/jobs?${query}`)).status).to.equal(422);
  });

  it('a name or an e-mail that looks like or folds to that of another is refused', async () => {
    const letters: [string, string][] = [
      ['a', 'а'],
      ['o', 'о'],
      ['e', 'е'],
      ['i', 'ı'],
      ['k', '\u212a'],
      ['s', 'ſ'],
      ['n', 'ｎ'],
    ];
    const tricks = ['\u200b', '\u00ad', '\u202e', '\u0301', '\u0000'].map((mark) => `ann${mark}`);
    for (const name of [...letters.map(([, other]) => `victim${other}`), ...tricks]) {
      const body = { username: name, email: `fresh-${ann.name}@example.com`, password };
      expect((await as(api, '')('POST', '/auth/register', { body })).status, name).to.equal(422);
      const other = { username: `f${ann.name}`, email: `${name}@example.com`, password };
      expect((await as(api, '')('POST', '/auth/register', { body: other })).status, name).to.equal(422);
      const login = { email: `${name}@example.com`, password };
      expect((await as(api, '')('POST', '/auth/login', { body: login })).status, name).to.equal(422);
    }
  });

  it('the name or e-mail of another in other cases and blanks is taken', async () => {
    const cases = (text: string): string[] => [
      text.toUpperCase(),
      ` ${text}\t`,
      text[0]!.toUpperCase() + text.slice(1),
    ];
    for (const username of cases(ann.name)) {
      const body = { username, email: `fresh-${ann.name}@example.com`, password };
      expect((await as(api, '')('POST', '/auth/register', { body })).status, username).to.equal(409);
    }
    for (const email of cases(ann.email)) {
      const body = { username: `f${ann.name}`, email, password };
      expect((await as(api, '')('POST', '/auth/register', { body })).status, email).to.equal(409);
    }
  });

  const good = () => `Authorization: Bearer ${joe.token}`;
  const splits: [string, () => string[]][] = [
    [
      'an encoded line break in the path',
      () => ['GET /api/v1/jobs/%0d%0aSet-Cookie:%20evil=1 HTTP/1.1', good()],
    ],
    [
      'an encoded line break in the query',
      () => ['GET /api/v1/jobs?page=1%0d%0aSet-Cookie:evil=1 HTTP/1.1', good()],
    ],
    [
      'a line break in X-Request-Id',
      () => ['GET / HTTP/1.1', 'X-Request-Id: abcdefgh%0d%0aSet-Cookie: evil=1'],
    ],
    ['a lone line feed in a header', () => ['GET / HTTP/1.1', 'X-Request-Id: abcdefgh\nSet-Cookie: evil=1']],
    [
      'a lone carriage return in a header',
      () => ['GET / HTTP/1.1', 'X-Request-Id: abcdefgh\rSet-Cookie: evil=1'],
    ],
    ['a line break in Origin', () => ['GET / HTTP/1.1', 'Origin: https://a%0d%0aSet-Cookie: evil=1']],
    ['a folded header', () => ['GET / HTTP/1.1', 'X-Request-Id: abcdefgh', ' Set-Cookie: evil=1']],
    ['a path that is another host', () => ['GET //evil.example/%0d%0aLocation:%20x HTTP/1.1']],
  ];
  for (const [what, lines] of splits) {
    it(`${what} gets no header of its own into the answer`, async () => {
      const text = await raw(lines());
      expect(statusOf(text)).to.be.within(400, 499);
      const [head = ''] = text.split('\r\n\r\n');
      expect(head)
        .not.to.match(/^(set-cookie|location)/im)
        .and.not.match(/[^\r]\n/);
      expect(text.match(/HTTP\/1\.1 /g)).to.have.length(1);
    });
  }

  const smuggled = 'GET /api/v1/users/me HTTP/1.1\r\nHost: x\r\n\r\n';
  for (const [what, lines] of [
    ['two lengths', ['Content-Length: 0', `Content-Length: ${smuggled.length}`]],
    ['a length and chunks', [`Content-Length: ${smuggled.length}`, 'Transfer-Encoding: chunked']],
    ['chunks in another spelling', ['Content-Length: 4', 'Transfer-Encoding: xchunked']],
    ['chunks before something else', ['Transfer-Encoding: chunked, identity']],
    ['a blank before the colon', ['Content-Length : 4']],
  ] as const) {
    it(`a request hidden in another by ${what} is not answered`, async () => {
      const text = await raw(
        ['POST /api/v1/auth/login HTTP/1.1', 'Content-Type: application/json', ...lines],
        smuggled,
      );
      expect(text.match(/HTTP\/1\.1 /g)).to.have.length(1);
      expect(statusOf(text)).to.be.within(400, 499);
    });
  }

  it('heads that are too large or too many are answered 431, too long URLs 414, and the server lives', async () => {
    const many = Array.from({ length: 3_000 }, (_, n) => `X-${n}: 1`);
    for (const lines of [[`X-Large: ${'a'.repeat(20_000)}`], [`Cookie: ${'a=b; '.repeat(4_000)}`], many])
      expect(statusOf(await raw(['GET /health/live HTTP/1.1', ...lines]))).to.equal(431);
    expect(statusOf(await raw([`GET /${'a'.repeat(20_000)} HTTP/1.1`]))).to.equal(414);
    const forwarded = `X-Forwarded-For: ${'1.1.1.1, '.repeat(1_500)}1.1.1.1`;
    expect(statusOf(await raw(['GET /health/live HTTP/1.1', forwarded]))).to.equal(200);
  });

  const paths: [string, number[]][] = [
    ...[
      '//api/v1/users',
      '/api//v1/users',
      '/api/v1//users',
      '/api/v1/./users',
      '/api/v1/x/../users',
      '/api/v1/..;/users',
    ],
    ...[
      '/api/v1/%2e%2e/v1/users',
      '/api/v1/users%00',
      '/api/v1/users%2f',
      '/api/v1/users;a=b',
      '/api/v1/users.json',
    ],
    ...[
      '/API/V1/USERS/',
      '/api/v1/users%20',
      '/api/v1/users%09',
      '/api/v1/%75sers%2fme',
      '/api/v1\\users',
      '/%2e%2e/etc/passwd',
    ],
    ...[
      '/api/v1/admin/..%2fusers',
      '/api/v1/users/..%2f..%2fadmin%2fconfig',
      '/api/v1/users/me/..',
      '/health/../api/v1/users',
    ],
    ...[
      '/api/v1/users/%ff',
      '/api/v1/users/%',
      '/api/v1/users/%zz',
      '/api/v1/jobs/%c0%ae%c0%ae',
      '/api/v1/jobs/a%2fevents',
    ],
    ...[
      '/.env',
      '/.git/config',
      '/package.json',
      '/static/../src/main.ts',
      '/docs/..%2fpackage.json',
      '*',
      '/__proto__',
    ],
  ].map((path): [string, number[]] => [path, [400, 401, 403, 404, 405, 422]]);
  for (const [path, expected] of paths) {
    it(`the path ${path} opens nothing to nobody, and to a user nothing for admins`, async () => {
      for (const lines of [[], [good()]]) {
        for (const method of ['GET', 'DELETE']) {
          const text = await raw([`${method} ${path} HTTP/1.1`, ...lines]);
          expect(statusOf(text), text).to.be.oneOf(expected);
        }
      }
      expect((await rowOf(joe.id)).deleted_at).to.equal(null);
    });
  }

  it('an admin path stays one in capitals, with a slash behind it, by HEAD and in absolute form', async () => {
    for (const url of [
      '/api/v1/USERS',
      '/api/v1/users/',
      '/Api/V1/Admin/Config',
      'http://x/api/v1/users',
      '//x/api/v1/users',
    ])
      for (const method of ['GET', 'HEAD'])
        expect(statusOf(await raw([`${method} ${url} HTTP/1.1`, good()])), url).to.be.oneOf([403, 404]);
  });

  it('methods beyond those of a route are answered 405 or 400, and TRACE sends no header back', async () => {
    for (const method of ['TRACE', 'PATCH', 'PROPFIND', 'LINK', 'PURGE', 'CONNECT', 'get', 'FOO']) {
      const text = await raw([`${method} /api/v1/users/me HTTP/1.1`, good()]);
      expect(statusOf(text), method).to.be.oneOf([0, 400, 405]);
      expect(text).not.to.include(joe.token);
    }
  });
});
