import { expect } from 'chai';
import jwt from 'jsonwebtoken';
import { createTokens } from '../../../src/auth/tokens.ts';
import { UnauthenticatedError } from '../../../src/lib/errors.ts';

const secret = 'a secret for tests, long enough for it';
const user = { id: '01934c2a-0000-7000-8000-000000000001', role: 'user' } as const;

function tokensAt(start: number) {
  const clock = { time: start, now: () => clock.time };
  return { clock, tokens: createTokens({ secret, expiresInSeconds: 60, clock }) };
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
    expect(tokens.verify(token)).to.deep.equal({ userId: user.id, role: 'user' });
    expect(tokens.verify(token)).to.equal(tokens.verify(token));
  });

  it('carries issuer, subject, role, expiry and an id of its own', () => {
    const { tokens } = tokensAt(start);
    const [first, second] = [tokens.issue(user), tokens.issue(user)].map(
      (token) => jwt.decode(token) as jwt.JwtPayload,
    );
    expect(first).to.include({
      iss: 'pricepool',
      sub: user.id,
      role: 'user',
      iat: start / 1000,
      exp: start / 1000 + 60,
    });
    expect(first!.jti).to.be.a('string').and.not.equal(second!.jti);
  });

  it('refuses a token once it has expired, whether or not it is remembered', () => {
    const { tokens, clock } = tokensAt(start);
    const [remembered, unseen] = [tokens.issue(user), tokens.issue(user)];
    tokens.verify(remembered);
    clock.time = start + 59_999;
    expect(codeOf(() => tokens.verify(remembered))).to.equal('accepted');
    clock.time = start + 60_000;
    expect(codeOf(() => tokens.verify(remembered))).to.equal('token_expired');
    expect(codeOf(() => tokens.verify(unseen))).to.equal('token_expired');
  });

  const claims = { sub: user.id, role: 'admin', iss: 'pricepool', iat: start / 1000, exp: start / 1000 + 60 };
  const forgeries: Record<string, () => string> = {
    'no token': () => 'rubbish',
    'an empty token': () => '',
    'another secret': () => jwt.sign(claims, 'another secret that is long enough'),
    'no signature (alg none)': () => jwt.sign(claims, '', { algorithm: 'none' }),
    'another algorithm': () => jwt.sign(claims, secret, { algorithm: 'HS512' }),
    'another issuer': () => jwt.sign({ ...claims, iss: 'somebody' }, secret),
    'an unknown role': () => jwt.sign({ ...claims, role: 'root' }, secret),
    'no subject': () => jwt.sign({ role: 'user', iss: 'pricepool', exp: claims.exp }, secret),
    'a subject that is no UUID': () => jwt.sign({ ...claims, sub: 'joe' }, secret),
    'no expiry': () => jwt.sign({ sub: user.id, role: 'user', iss: 'pricepool' }, secret),
    'an altered payload': () => {
      const [head, , signature] = tokensAt(start).tokens.issue(user).split('.');
      return [head, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.');
    },
    'a text of 10 kB': () => jwt.sign({ ...claims, more: 'x'.repeat(10_000) }, secret),
  };
  for (const [what, forge] of Object.entries(forgeries)) {
    it(`refuses ${what}`, () => {
      const { tokens } = tokensAt(start);
      expect(codeOf(() => tokens.verify(forge()))).to.equal('token_invalid');
    });
  }
});
