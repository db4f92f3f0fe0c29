/** Attacks with tokens: forged, altered, misused and misplaced ones, at the real application. Whatever is wrong, the answer is 401. */
import { generateKeyPairSync } from 'node:crypto';
import { expect } from 'chai';
import jwt from 'jsonwebtoken';
import { startAccessApi, type AccessApi } from '../support/access.ts';
import {
  as,
  claimsOf,
  goodHeader,
  kidOf,
  newKey,
  newPerson,
  sendRaw,
  sign,
  signAnything,
  statusOf,
  type Person,
} from '../support/attack.ts';
import { testSecret } from '../support/stand-in-access.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const publicPem = rsa.publicKey.export({ type: 'spki', format: 'pem' }).toString();
const base64url = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

describe('attacks with tokens', () => {
  let api: AccessApi;
  let joe: Person;
  let ann: Person;

  before(async () => {
    api = await startAccessApi({ environment: { RATE_LIMIT_ADDRESS: '1000000' } });
  });
  beforeEach(async () => {
    [joe, ann] = [await newPerson(api, 'joe'), await newPerson(api, 'ann')];
  });
  after(() => api.end());

  /** Statuses of requests with a token in each place that takes one. */
  async function tried(token: string): Promise<number[]> {
    const nowhere = as(api, '');
    const requested = await Promise.all([
      as(api, token)('GET', '/users/me'),
      as(api, token)('GET', '/users'),
      nowhere('GET', '/users/me', { headers: { 'x-api-key': token } }),
      nowhere('GET', `/jobs/${joe.id}/events?ticket=${encodeURIComponent(token)}`),
    ]);
    return requested.map(({ status }) => status);
  }
  const shut = [401, 401, 401, 401];
  const admin = (): object => claimsOf(joe, { role: 'admin' });
  const swapped = (header: object, payload: object, signature: string): string =>
    [base64url(header), base64url(payload), signature].join('.');

  it('what the forgeries are made of would be let in: by header, and as an API key', async () => {
    expect(await tried(signAnything(goodHeader, claimsOf(joe)))).to.deep.equal([200, 403, 200, 401]);
  });

  for (const alg of [
    'none',
    'None',
    'NONE',
    'nOnE',
    '',
    'null',
    null,
    undefined,
    0,
    false,
    [],
    ['none'],
    {},
    'none\0',
  ]) {
    it(`alg ${JSON.stringify(alg)} is refused without a signature, with an empty one and with a real one`, async () => {
      const { kid } = goodHeader;
      const header = { alg, typ: 'JWT', kid };
      const [, , real] = joe.token.split('.');
      for (const token of [
        swapped(header, admin(), ''),
        swapped(header, admin(), real!),
        `${base64url(header)}.${base64url(admin())}`,
        `${base64url({ alg, typ: 'JWT' })}.${base64url(admin())}.`,
      ])
        expect(await tried(token)).to.deep.equal(shut);
    });
  }

  const confusions: [string, () => string][] = [
    [
      'RS256 signed by HMAC with a public key',
      () => signAnything({ ...goodHeader, alg: 'RS256' }, admin(), publicPem),
    ],
    ['HS256 signed by HMAC with a public key', () => signAnything(goodHeader, admin(), publicPem)],
    [
      'RS256 signed by HMAC with the real secret',
      () => signAnything({ ...goodHeader, alg: 'RS256' }, admin()),
    ],
    [
      'ES256 signed by HMAC with the real secret',
      () => signAnything({ ...goodHeader, alg: 'ES256' }, admin()),
    ],
    [
      'hs256 in small letters with the real secret',
      () => signAnything({ ...goodHeader, alg: 'hs256' }, admin()),
    ],
    ['RS256 with a key of the attacker', () => sign(admin(), { algorithm: 'RS256' }, rsa.privateKey)],
    ['PS256 with a key of the attacker', () => sign(admin(), { algorithm: 'PS256' }, rsa.privateKey)],
    ['ES256 with a key of the attacker', () => sign(admin(), { algorithm: 'ES256' }, ec.privateKey)],
    ['an ES256 signature of zeros', () => swapped({ ...goodHeader, alg: 'ES256' }, admin(), 'A'.repeat(86))],
    ['HS256 with the kid as secret', () => signAnything(goodHeader, admin(), kidOf(testSecret))],
    ['HS256 with an empty secret', () => signAnything(goodHeader, admin(), '')],
  ];
  for (const [what, forge] of confusions) {
    it(`${what} is refused`, async () => {
      expect(await tried(forge())).to.deep.equal(shut);
    });
  }

  it('a token that is altered anywhere, by one character, is refused', async () => {
    const ends = new Set([0, joe.token.length - 1]);
    for (let at = 0; at < joe.token.length; at += 1) {
      const isNearDot = joe.token[at - 1] === '.' || joe.token[at + 1] === '.' || joe.token[at] === '.';
      if (at % 7 > 0 && !isNearDot && !ends.has(at)) continue;
      for (const other of ['A', 'B', '_', '=', '.']) {
        if (joe.token[at] === other) continue;
        const altered = joe.token.slice(0, at) + other + joe.token.slice(at + 1);
        expect((await as(api, altered)('GET', '/users/me')).status, `${other} at ${at}`).to.equal(401);
      }
    }
    expect((await as(api, joe.token)('GET', '/users/me')).status).to.equal(200);
  });

  it('a token that is cut, lengthened, doubled or put together of two is refused', async () => {
    const [head, payload, signature] = joe.token.split('.');
    const [, annPayload, annSignature] = ann.token.split('.');
    const tokens = [
      ...[1, 2, 5, 43, 44, 45].map((count) => joe.token.slice(0, -count)),
      ...['=', '==', '.', '.x', 'A', '%00', '\t.', ',', ';', '"'].map((more) => joe.token + more),
      ...[`${head}.${annPayload}.${signature}`, `${head}.${payload}.${annSignature}`, `${head}.${payload}`],
      ...[
        `${head}..${signature}`,
        `.${payload}.${signature}`,
        `..${signature}`,
        '..',
        '.',
        'null',
        'undefined',
        '[]',
      ],
      ...[
        `${joe.token}.${joe.token}`,
        `${joe.token}, ${joe.token}`,
        `${joe.token} ${ann.token}`,
        `"${joe.token}"`,
      ],
      ...[
        joe.token.toUpperCase(),
        Buffer.from(joe.token).reverse().toString(),
        Buffer.from(joe.token).toString('base64'),
      ],
    ];
    for (const token of tokens) expect(await tried(token), token.slice(-60)).to.deep.equal(shut);
  });

  const kids: Record<string, unknown> = {
    'a path': '../../../../../../dev/null',
    'a file URL': 'file:///dev/null',
    SQL: "x' union select 'secret' -- ",
    'a command': '| sleep 10',
    __proto__: '__proto__',
    constructor: 'constructor',
    'a method of maps': 'get',
    nothing: undefined,
    null: null,
    'an empty text': '',
    'a number': 0,
    'a list': [kidOf(testSecret)],
    'an object': { toString: kidOf(testSecret) },
    '1,000 characters': 'k'.repeat(1_000),
    'the right one in capitals': kidOf(testSecret).toUpperCase(),
    'the right one and more': `${kidOf(testSecret)}\0`,
    'the right one with a blank': ` ${kidOf(testSecret)}`,
  };
  for (const [what, kid] of Object.entries(kids)) {
    it(`a kid that is ${what} is refused, also with the real signature`, async () => {
      const header = { ...goodHeader, kid };
      for (const secret of ['', testSecret, 'secret', JSON.stringify(kid ?? '')])
        expect(await tried(signAnything(header, admin(), secret))).to.deep.equal(shut);
    });
  }

  const jwk = rsa.publicKey.export({ format: 'jwk' });
  const headers: Record<string, object> = {
    'its own key (jwk)': { jwk: { ...jwk, kid: goodHeader.kid } },
    'a symmetric key of its own (jwk)': { jwk: { kty: 'oct', k: base64url('mine') } },
    'a key set elsewhere (jku)': { jku: 'http://127.0.0.1:9/jwks.json' },
    'a certificate elsewhere (x5u)': { x5u: 'http://127.0.0.1:9/cert.pem' },
    'a certificate of its own (x5c)': { x5c: [base64url('mine')] },
    'an unencoded payload (b64)': { b64: false, crit: ['b64'] },
    'an extension that must be understood (crit)': { crit: ['exp'], exp: 9_999_999_999 },
    'compression (zip)': { zip: 'DEF' },
  };
  for (const [what, more] of Object.entries(headers)) {
    it(`a token that brings ${what} is refused`, async () => {
      for (const alg of ['HS256', 'RS256', 'none']) {
        const header = { ...goodHeader, ...more, alg };
        expect(await tried(signAnything(header, admin(), 'mine'))).to.deep.equal(shut);
      }
      const options = { algorithm: 'RS256', header: { alg: 'RS256', ...more } } as const;
      expect(await tried(sign(admin(), options, rsa.privateKey))).to.deep.equal(shut);
    });
  }

  it('a signature in JSON serialisation, encryption (JWE) and a token in a token are refused', async () => {
    const [head, payload, signature] = joe.token.split('.');
    const flat = { protected: head, payload, signature };
    const tokens = [
      JSON.stringify(flat),
      base64url(flat),
      JSON.stringify({ payload, signatures: [{ protected: head, signature }] }),
      [base64url({ alg: 'dir', enc: 'A256GCM' }), '', 'AAAA', 'AAAA', 'AAAA'].join('.'),
      signAnything({ ...goodHeader, cty: 'JWT' }, joe.token),
      signAnything(goodHeader, [claimsOf(joe)]),
      signAnything(goodHeader, 'no JSON at all'),
      signAnything(goodHeader, 'null'),
      signAnything('no JSON at all', claimsOf(joe)),
    ];
    for (const token of tokens) expect(await tried(token), token.slice(0, 40)).to.deep.equal(shut);
  });

  // Of when the test runs: the file may have been loaded minutes before.
  const timesAt = (now: number): [string, object][] => [
    ['that expired a second ago', { iat: now - 600, exp: now - 1 }],
    ['that expired within the clock skew', { iat: now - 600, exp: now - 4 }],
    ['that expired long ago', { iat: now - 6_000, exp: now - 600 }],
    ['that is issued in a minute', { iat: now + 60, exp: now + 600 }],
    ['that is issued in a hundred years', { iat: now + 3_155_760_000, exp: now + 3_155_760_600 }],
    ['that is not good before tomorrow', { nbf: now + 86_400 }],
    ['whose times are in milliseconds', { iat: now * 1000, exp: now * 1000 + 600_000 }],
    ['that was issued at no time', { iat: undefined }],
    ['whose time of issue is a text', { iat: String(now) }],
    ['of another issuer', { iss: 'coinpool' }],
    ['of several issuers', { iss: ['pricepool', 'coinpool'] }],
    ['for several users', { sub: ['a', 'b'] }],
    ['of a role beyond all', { role: 'root' }],
    ['of a list of roles', { role: ['admin'] }],
    ['of a future generation that is no whole number', { gen: 1e309 }],
    ['of no session', { sid: undefined }],
    ['with scopes of its own', { scopes: ['admin'] }],
    [
      'for a key that is none',
      { key: '01934c2a-0000-7000-8000-000000000001', sid: undefined, scopes: ['admin'] },
    ],
    ['for another use', { use: 'refresh' }],
  ];
  for (const [index, [what]] of timesAt(0).entries()) {
    it(`a token ${what} is refused, though the real secret signed it`, async () => {
      const different = timesAt(Math.floor(Date.now() / 1000))[index]?.[1];
      expect(await tried(signAnything(goodHeader, claimsOf(joe, different)))).to.deep.equal(shut);
    });
  }

  it('a token of a size beyond ours is refused, also when its signature is right', async () => {
    for (const size of [2_048, 8_000]) {
      const huge = signAnything(goodHeader, claimsOf(joe, { more: 'x'.repeat(size) }));
      expect((await as(api, huge)('GET', '/users/me')).status).to.equal(401);
      expect((await as(api, 'x'.repeat(size))('GET', '/users/me')).status).to.equal(401);
      expect((await as(api, '.'.repeat(size))('GET', '/users/me')).status).to.equal(401);
    }
  });

  it('credentials are good for what they were made for and for nothing else', async () => {
    const { key } = await newKey(api, joe.token, { scopes: ['jobs:write'] });
    const ticket: string = (await as(api, joe.token)('POST', '/auth/stream-ticket')).body.data.ticket;
    // Tokens are longer than any secret that these routes take.
    const refusals = ['validation_failed', 'refresh_invalid', 'reset_invalid'];
    for (const wrong of [joe.token, ticket, key]) {
      const refresh = await as(api, '')('POST', '/auth/refresh', { body: { refresh_token: wrong } });
      expect(refresh.body.error.code).to.be.oneOf(refusals);
    }
    const body = { password: 'another horse 1' };
    for (const wrong of [joe.token, ticket, key, joe.refreshToken]) {
      const reset = await as(api, '')('POST', '/auth/password/reset', { body: { ...body, token: wrong } });
      expect(reset.body.error.code).to.be.oneOf(refusals);
    }
    expect((await tried(ticket)).slice(0, 3)).to.deep.equal([401, 401, 401]);
    expect(await tried(joe.refreshToken)).to.deep.equal(shut);
    for (const wrong of [joe.token, key, joe.refreshToken]) expect((await tried(wrong))[3]).to.equal(401);
    for (const path of ['/users/me', '/jobs', `/jobs/${joe.id}`, '/crypto/cache/stats'])
      expect((await as(api, '')('GET', `${path}?ticket=${ticket}`)).status, path).to.equal(401);
    expect((await as(api, '')('POST', `/auth/stream-ticket?ticket=${ticket}`)).status).to.equal(401);
  });

  it("another's refresh token gives tokens of its owner, whatever token comes beside it", async () => {
    const body = { refresh_token: ann.refreshToken };
    const answer = await as(api, joe.token)('POST', '/auth/refresh', { body });
    expect(answer.body.data.user.id).to.equal(ann.id);
    expect((jwt.decode(answer.body.data.token) as jwt.JwtPayload).sub).to.equal(ann.id);
  });

  it('a token in a cookie, a body or the query lets nobody in', async () => {
    const nobody = as(api, '');
    for (const name of ['token', 'access_token', 'jwt', 'authorization', 'Authorization', 'bearer']) {
      expect((await nobody('GET', `/users/me?${name}=${joe.token}`)).status).to.equal(401);
      expect(
        (await nobody('GET', '/users/me', { headers: { cookie: `${name}=${joe.token}` } })).status,
      ).to.equal(401);
      const body = { [name]: joe.token, username: 'another-name' };
      expect((await nobody('PUT', '/users/me', { body })).status).to.equal(401);
    }
  });

  const lines: [string, (token: string, other: string) => string[], number][] = [
    ['bearer in small letters', (token) => [`authorization: bearer ${token}`], 200],
    ['blanks around the token', (token) => [`Authorization: Bearer   ${token}  `], 200],
    ['no scheme', (token) => [`Authorization: ${token}`], 401],
    ['another scheme', (token) => [`Authorization: Basic ${token}`], 401],
    ['no blank', (token) => [`Authorization: Bearer${token}`], 401],
    ['a tab for the blank', (token) => [`Authorization: Bearer\t${token}`], 401],
    ['two schemes', (token) => [`Authorization: Bearer Bearer ${token}`], 401],
    ['a comma', (token) => [`Authorization: Bearer x, Bearer ${token}`], 401],
    [
      'a bad header before the good one',
      (token) => ['Authorization: Bearer x', `Authorization: Bearer ${token}`],
      401,
    ],
    ['a hundred headers', (token) => Array.from({ length: 20 }, () => `Authorization: Bearer ${token}`), 200],
    ['a bad token and a good key', (token) => ['Authorization: Bearer x', `X-Api-Key: ${token}`], 401],
    ['two keys', (token, other) => [`X-Api-Key: ${token}`, `X-Api-Key: ${other}`], 401],
    ['the header of a proxy', (token) => [`Proxy-Authorization: Bearer ${token}`], 401],
    [
      'a header that names a user',
      () => ['X-User-Id: 1', 'X-Forwarded-User: root', 'Remote-User: root'],
      401,
    ],
  ];
  for (const [what, linesOf, status] of lines) {
    it(`${what} in the headers is answered ${status}`, async () => {
      const head = [
        'GET /api/v1/users/me HTTP/1.1',
        'Host: x',
        'Connection: close',
        ...linesOf(joe.token, ann.token),
      ];
      const text = await sendRaw(api.port, `${head.join('\r\n')}\r\n\r\n`);
      expect(statusOf(text)).to.equal(status);
      if (status === 200) expect(text).to.include(joe.id).and.not.include(ann.id);
    });
  }
});
