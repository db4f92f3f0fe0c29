/**
 * Attacks on and by the log of a real process at level `trace`: secrets found in it, and lines written into it by strangers.
 * Both worked on the system this one descends from.
 */
import { expect } from 'chai';
import knexFactory, { type Knex } from 'knex';
import { newUser } from '../../support/api-client.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';
import { as, sendRaw, statusOf, type Body } from '../support/attack.ts';

const metricsToken = 'metrics-token-of-the-tests';
const secretPassword = 'Xylophone-quartz-93';
const newPassword = 'Zeppelin-umbrella-47';

describe('attacks on the log', () => {
  let stack: Stack;
  let knex: Knex;
  let port: number;

  before(async function () {
    this.timeout(120_000);
    const environment = { LOG_LEVEL: 'trace', METRICS_TOKEN: metricsToken };
    stack = await startStack({ workers: 0, environment });
    port = Number(new URL(stack.apis[0]!.url).port);
    knex = knexFactory({ client: 'pg', connection: stack.databaseUrl, pool: { min: 0, max: 2 } });
  });
  after(async function () {
    this.timeout(120_000);
    await knex.destroy();
    await stack.stop();
  });

  /** Like the `call` of the other tests, to the process. */
  const api = {
    call: (
      method: string,
      path: string,
      { body, headers = {} }: { body?: unknown; headers?: Record<string, string> } = {},
    ) =>
      fetch(stack.apis[0]!.url + path, {
        method,
        headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
  };

  /** The log, once it has the line of a request that is made now. */
  async function logSoFar(): Promise<string> {
    const marker = `/marker-${Math.random().toString(36).slice(2)}`;
    await api.call('GET', marker);
    return waitFor(
      async () => {
        const log = await stack.apis[0]!.log();
        return log.includes(marker) && log.endsWith('\n') && log;
      },
      { what: 'the line of the last request' },
    );
  }

  async function account(): Promise<{ email: string; token: string; refreshToken: string; hash: string }> {
    const name = `joe-${Math.random().toString(36).slice(2)}`;
    const email = `${name}@example.com`;
    const body = { username: name, email, password: secretPassword };
    expect((await as(api, '')('POST', '/auth/register', { body })).status).to.equal(201);
    const login = await as(api, '')('POST', '/auth/login', { body: { email, password: secretPassword } });
    const { token, refresh_token: refreshToken } = login.body.data;
    const row: Body = await knex('users').where({ email }).first();
    return { email, token, refreshToken, hash: row.password_hash };
  }

  it('tokens, keys, tickets and passwords are nowhere in it, wherever a client writes them', async () => {
    const { email, token, refreshToken, hash } = await account();
    const me = as(api, token);
    const ticket: string = (await me('POST', '/auth/stream-ticket')).body.data.ticket;
    const made = await me('POST', '/api-keys', {
      body: { name: 'a key', scopes: ['jobs:write', 'prices:read'] },
    });
    const { key } = made.body.data;
    const job = await me('POST', '/crypto/bulk', { body: { coins: ['bitcoin'] } });
    const { id } = job.body.data;

    const anonymous = as(api, '');
    for (const name of ['ticket', 'token', 'access_token', 'api_key', 'key', 'jwt', 'auth', 'password']) {
      for (const secret of [ticket, token, key]) {
        const events = await api.call('HEAD', `/api/v1/jobs/${id}/events?${name}=${secret}`);
        expect(events.status, name).to.equal(name === 'ticket' && secret === ticket ? 200 : 401);
        await anonymous('GET', `/crypto/bitcoin?${name}=${secret}&currency=zzz`);
        await anonymous('GET', `/crypto/stream/ws?${name}=${secret}`);
        await me('GET', `/users/me?${name}=${secret}`);
        await me('PUT', '/users/me', { body: { [name]: secret } });
      }
    }
    for (const secret of [token, key, ticket]) {
      await as(api, secret)('GET', '/crypto/cache/stats');
      await anonymous('GET', '/crypto/cache/stats', {
        headers: { 'x-api-key': secret, cookie: `token=${secret}` },
      });
      await anonymous('GET', '/jobs', { headers: { 'last-event-id': secret } });
      const upgrade = [
        'GET /api/v1/crypto/stream/ws HTTP/1.1',
        'Host: example',
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
        `Sec-WebSocket-Protocol: pricepool, bearer.${secret}`,
        `Authorization: Basic ${Buffer.from(`joe:${secretPassword}`).toString('base64')}`,
      ];
      expect(statusOf(await sendRaw(port, `${upgrade.join('\r\n')}\r\n\r\n`))).to.be.within(400, 499);
      await sendRaw(port, `GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${secret}\rbroken\r\n\r\n`);
    }
    await api.call('GET', '/metrics', { headers: { authorization: `Bearer ${metricsToken}` } });
    await anonymous('POST', '/auth/login', { body: { email, password: newPassword } });
    await anonymous('POST', '/auth/login', { body: `{"email":"${email}","password":"${secretPassword}"` });
    await anonymous('POST', '/auth/password/forgot', { body: { email } });
    await anonymous('POST', '/auth/password/reset', { body: { token: refreshToken, password: newPassword } });
    const change = { current_password: secretPassword, password: newPassword };
    const refreshed = await anonymous('POST', '/auth/refresh', { body: { refresh_token: refreshToken } });
    const { token: second, refresh_token: secondRefresh } = refreshed.body.data;
    expect((await as(api, second)('POST', '/auth/password', { body: change })).status).to.equal(200);

    const log = await logSoFar();
    expect(log).to.include(`/jobs/${id}/events`);
    const signatureOf = (jwt: string): string => jwt.split('.')[2]!;
    const tokens = [token, ticket, second].map(signatureOf);
    const secrets = [
      key,
      refreshToken,
      secondRefresh,
      secretPassword,
      newPassword,
      hash,
      metricsToken,
      email,
    ];
    for (const secret of [...tokens, ...secrets]) expect(log.includes(secret), secret).to.equal(false);
  });

  it('what a request carried is not in the line of the error that it ran into', async () => {
    const { email, token, refreshToken, hash } = await account();
    const injectFault = 'alter table users add constraint spoiled check (false) not valid';
    const before = await logSoFar();
    const registered = { username: 'hidden-name', email: 'hidden@example.com', password: secretPassword };
    const body = { email, password: secretPassword };
    try {
      await knex.raw(injectFault);
      expect((await as(api, '')('POST', '/auth/register', { body: registered })).status).to.equal(500);
      const change = { current_password: secretPassword, password: newPassword };
      expect((await as(api, token)('POST', '/auth/password', { body: change })).status).to.equal(500);
      await knex.raw('alter table users rename to users_gone');
      expect((await as(api, '')('POST', '/auth/login', { body })).status).to.equal(500);
      const refresh = { refresh_token: refreshToken };
      expect((await as(api, '')('POST', '/auth/refresh', { body: refresh })).status).to.equal(500);
    } finally {
      await knex.raw('alter table if exists users_gone rename to users');
      await knex.raw('alter table users drop constraint if exists spoiled');
    }
    const log = (await logSoFar()).slice(before.length);
    expect(log.match(/"msg":"a request failed"/g)).to.have.length(4);
    const hidden = [
      secretPassword,
      newPassword,
      hash,
      refreshToken,
      email,
      'hidden@example.com',
      'hidden-name',
      '$2b$',
    ];
    for (const secret of hidden) expect(log.includes(secret), secret).to.equal(false);
  });

  const line = '{"level":30,"msg":"request","user":"root","status":200}';
  const forged = encodeURIComponent(line);
  /** Requests that arrive, as they stand on the wire, without the end of their headers. */
  const arriving: [string, string][] = [
    ['an encoded line break and a line in the path', `GET /%0a${forged}%0d%0a${forged} HTTP/1.1`],
    ['quotes in the path', 'GET /","user":"root","x":" HTTP/1.1'],
    ['backslashes in the path', 'GET /\\","user":"root"\\\\ HTTP/1.1'],
    ['a JSON object in the path', `GET /${line} HTTP/1.1`],
    [
      'encoded unicode line separators in the path',
      'GET /%e2%80%a8%7B%22level%22:60%7D%e2%80%a9%c2%85 HTTP/1.1',
    ],
    ['encoded bytes that are no UTF-8 in the path', 'GET /%ff%fe%85%9b31m HTTP/1.1'],
    ['a terminal sequence in the path', 'GET /%1b[2J%1b]0;owned%07 HTTP/1.1'],
    ['an absolute URL', `GET http://example/%0a${forged} HTTP/1.1`],
    ['a line in the query', `GET /?%0a${forged} HTTP/1.1`],
    ['a line in X-Request-Id', `GET / HTTP/1.1\r\nX-Request-Id: ","user":"root","x":"`],
    ['two X-Request-Ids', `GET / HTTP/1.1\r\nX-Request-Id: aaaaaaaaaa\r\nX-Request-Id: "bbbbbbbb`],
    ['a line in User-Agent', `GET / HTTP/1.1\r\nUser-Agent: ${line}`],
    ['a line in X-Forwarded-For', `GET / HTTP/1.1\r\nX-Forwarded-For: ${line}, 127.0.0.1`],
    ['a line in Authorization', `GET /api/v1/jobs HTTP/1.1\r\nAuthorization: Bearer ${line}`],
    ['a line as e-mail', loginAs(`x\\n${line.replaceAll('"', '\\"')}`)],
  ];
  describe('by anonymous requests', () => {
    let statuses: number[];
    let lines: Record<string, unknown>[];

    before(async () => {
      const before = await logSoFar();
      statuses = [];
      for (const [, head] of arriving) {
        const ending = head.includes('\r\n\r\n') ? '' : '\r\nHost: example\r\nConnection: close\r\n\r\n';
        statuses.push(statusOf(await sendRaw(port, head + ending)));
      }
      lines = linesOf((await logSoFar()).slice(before.length)).filter(({ msg }) => msg === 'request');
    });

    it('leaves as many lines as there were requests', () => {
      // The last one is that of the marker.
      expect(lines).to.have.length(arriving.length + 1);
    });

    for (const [at, [what]] of arriving.entries()) {
      it(`with ${what} leaves one line, and nothing in it that reads as ours`, () => {
        expect(statuses[at]).to.be.within(400, 499);
        expect(lines[at]).to.include({ level: 30, status: statuses[at] });
        expect(lines[at]).to.have.all.keys(
          ...[
            'level',
            'time',
            'pid',
            'hostname',
            'name',
            'req',
            'method',
            'path',
            'route',
            'status',
            'ms',
            'msg',
          ],
        );
        expect(lines[at]!['req']).to.match(/^[A-Za-z0-9._-]{8,64}$/);
      });
    }
  });

  const broken: [string, string][] = [
    ['a raw line feed in the path', `GET /\n${line}\n HTTP/1.1`],
    ['a raw carriage return in a header', `GET / HTTP/1.1\r\nX-Request-Id: abc\r${line}`],
    ['a zero byte in the path', `GET /\0${line} HTTP/1.1`],
    ['an escape byte in the path', `GET /\x1b[2J HTTP/1.1`],
    ['a zero byte in User-Agent', `GET / HTTP/1.1\r\nUser-Agent: a\0${line}`],
    ['raw unicode line separators in the path', 'GET /\xe2\x80\xa8{"level":60} HTTP/1.1'],
    ['a quote in the host', `GET http://a"b/%0a${forged} HTTP/1.1`],
    ['a method of its own', `G"ET / HTTP/1.1`],
    ['a protocol of its own', `GET / HTTP/1.1"${line}`],
  ];
  it('an anonymous request with raw control characters is answered 400 and writes nothing', async () => {
    const before = await logSoFar();
    for (const [what, head] of broken) {
      const text = await sendRaw(port, `${head}\r\nHost: example\r\nConnection: close\r\n\r\n`);
      expect(statusOf(text), what).to.equal(400);
      expect(text, what).not.to.include('root');
    }
    expect(linesOf((await logSoFar()).slice(before.length))).to.have.length(1);
  });

  it('every line of it is one JSON object of printable characters', async () => {
    const log = await logSoFar();
    expect(linesOf(log)).to.have.length.above(50);
    expect(log).not.to.match(/[\0-\t\v-\x1f\x7f]/);
  });

  it('the process has lived through it', async () => {
    expect((await (await newUser(stack.apis[0]!.url)).call('GET', '/users/me')).status).to.equal(200);
  });
});

function linesOf(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((each) => each !== '')
    .map((each) => JSON.parse(each) as Record<string, unknown>);
}

function loginAs(email: string): string {
  const body = `{"email":"${email}","password":"x"}`;
  const headers = `Host: example\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`;
  return `POST /api/v1/auth/login HTTP/1.1\r\n${headers}\r\n\r\n${body}`;
}
