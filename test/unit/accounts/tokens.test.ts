import { createHash } from 'node:crypto';
import { expect } from 'chai';
import jwt from 'jsonwebtoken';
import { createTokens, type TokenUse } from '../../../src/features/accounts/tokens.ts';
import { UnauthenticatedError } from '../../../src/domain/errors.ts';

const secret = 'a secret for tests, long enough for it';
const older = 'an older secret for tests, long enough';
const userId = '01934c2a-0000-7000-8000-000000000001';
const sessionId = '01934c2a-0000-7000-8000-000000000002';
const user = { userId, role: 'user', generation: 3, sessionId } as const;
const kid = createHash('sha256').update(`pricepool-kid:${secret}`).digest('hex').slice(0, 12);

function tokensAt(start: number, secrets: { secret: string; previousSecret?: string } = { secret }) {
  const clock = { time: start, now: () => clock.time };
  const tokens = createTokens({ ...secrets, expiresInSeconds: 60, ticketExpiresInSeconds: 30, clock });
  return { clock, tokens };
}

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof UnauthenticatedError) return error.code;
    throw error;
  }
  return 'accepted';
}

describe('tokens', () => {
  const start = Date.parse('2026-01-01T00:00:00Z');

  it('says who an issued token speaks for, at the first look and from memory', () => {
    const { tokens } = tokensAt(start);
    const token = tokens.issue(user);
    expect(tokens.verify(token, 'access')).to.deep.equal({ ...user, keyId: undefined, scopes: undefined });
    expect(tokens.verify(token, 'access')).to.equal(tokens.verify(token, 'access'));
  });

  it('carries issuer, subject, role, session, generation and expiry', () => {
    const { tokens } = tokensAt(start);
    expect(jwt.decode(tokens.issue(user))).to.deep.equal({
      iss: 'pricepool',
      sub: userId,
      role: 'user',
      gen: 3,
      sid: sessionId,
      use: 'access',
      iat: start / 1000,
      exp: start / 1000 + 60,
    });
  });

  it('refuses a token once it has expired, whether or not it is remembered', () => {
    const { tokens, clock } = tokensAt(start);
    const [remembered, unseen] = [tokens.issue(user), tokens.issue({ ...user, role: 'admin' })];
    tokens.verify(remembered, 'access');
    clock.time = start + 59_999;
    expect(codeOf(() => tokens.verify(remembered, 'access'))).to.equal('accepted');
    clock.time = start + 60_000;
    expect(codeOf(() => tokens.verify(remembered, 'access'))).to.equal('token_expired');
    expect(codeOf(() => tokens.verify(unseen, 'access'))).to.equal('token_expired');
  });

  it('takes tokens of the secret before, and signs with the new one', () => {
    const before = tokensAt(start, { secret: older }).tokens.issue(user);
    const { tokens } = tokensAt(start, { secret, previousSecret: older });
    expect(tokens.verify(before, 'access').userId).to.equal(userId);
    const now = tokens.issue(user);
    expect(tokensAt(start).tokens.verify(now, 'access').userId).to.equal(userId);
    expect(codeOf(() => tokensAt(start).tokens.verify(before, 'access'))).to.equal('token_invalid');
  });

  describe('tickets', () => {
    it('speak for the session or the key that they were made with, and for streams alone', () => {
      const { tokens } = tokensAt(start);
      const person = tokens.verify(tokens.issue(user), 'access');
      const key = { ...person, sessionId: undefined, keyId: sessionId, scopes: ['jobs:write'] as const };
      for (const holder of [person, key]) {
        const ticket = tokens.issueTicket(holder);
        expect(tokens.verify(ticket, 'stream')).to.deep.equal(holder);
        expect(codeOf(() => tokens.verify(ticket, 'access'))).to.equal('token_invalid');
      }
      expect(codeOf(() => tokens.verify(tokens.issue(user), 'stream'))).to.equal('token_invalid');
    });

    it('expire after a time of their own', () => {
      const { tokens, clock } = tokensAt(start);
      const ticket = tokens.issueTicket(tokens.verify(tokens.issue(user), 'access'));
      clock.time = start + 30_000;
      expect(codeOf(() => tokens.verify(ticket, 'stream'))).to.equal('token_expired');
    });
  });

  const claims = {
    sub: userId,
    role: 'admin',
    gen: 0,
    sid: sessionId,
    use: 'access',
    iss: 'pricepool',
    iat: start / 1000,
    exp: start / 1000 + 60,
  };
  const without = (...names: string[]): object =>
    Object.fromEntries(Object.entries(claims).filter(([name]) => !names.includes(name)));
  const sign = (payload: object, options: jwt.SignOptions = {}): string =>
    jwt.sign(payload, secret, { keyid: kid, ...options });

  it('would take what the forgeries are made of', () => {
    expect(codeOf(() => tokensAt(start).tokens.verify(sign(claims), 'access'))).to.equal('accepted');
  });

  const forgeries: Record<string, () => string> = {
    'no token': () => 'rubbish',
    'an empty token': () => '',
    'another secret': () => jwt.sign(claims, 'another secret that is long enough', { keyid: kid }),
    'no signature (alg none)': () => jwt.sign(claims, '', { algorithm: 'none', keyid: kid }),
    HS384: () => sign(claims, { algorithm: 'HS384' }),
    HS512: () => sign(claims, { algorithm: 'HS512' }),
    'another issuer': () => sign({ ...claims, iss: 'somebody' }),
    'an unknown role': () => sign({ ...claims, role: 'root' }),
    'no subject': () => sign(without('sub')),
    'a subject that is no UUID': () => sign({ ...claims, sub: 'joe' }),
    'no expiry': () => sign(without('exp')),
    'no time of issue': () => jwt.sign(without('iat'), secret, { keyid: kid, noTimestamp: true }),
    'a time of issue that is to come': () => sign({ ...claims, iat: claims.iat + 60 }),
    'no session': () => sign(without('sid')),
    'a key instead of a session': () => sign({ ...without('sid'), key: sessionId, scopes: ['admin'] }),
    'no generation': () => sign(without('gen')),
    'a generation that is no number': () => sign({ ...claims, gen: '99' }),
    'no use': () => sign(without('use')),
    'no kid': () => jwt.sign(claims, secret),
    'an unknown kid': () => sign(claims, { keyid: '000000000000' }),
    'a kid that is a path': () => sign(claims, { keyid: '../../../../dev/null' }),
    'a kid that names a property of every object': () => sign(claims, { keyid: '__proto__' }),
    'an altered payload': () => {
      const [head, , signature] = tokensAt(start).tokens.issue(user).split('.');
      return [head, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.');
    },
    'a signature cut short': () => sign(claims).slice(0, -4),
    'no signature': () => sign(claims).replace(/[^.]*$/, ''),
    'a text of 10 kB': () => sign({ ...claims, more: 'x'.repeat(10_000) }),
  };
  const uses: TokenUse[] = ['access', 'stream'];
  for (const [what, forge] of Object.entries(forgeries)) {
    it(`refuses ${what}`, () => {
      const { tokens } = tokensAt(start);
      for (const use of uses) expect(codeOf(() => tokens.verify(forge(), use))).to.equal('token_invalid');
    });
  }
});
