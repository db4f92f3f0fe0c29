import { expect } from 'chai';
import { createAuthenticator } from '../../../src/features/accounts/authenticator.ts';
import type { Principal } from '../../../src/domain/principal.ts';
import { createTokens } from '../../../src/features/accounts/tokens.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { AppError } from '../../../src/domain/errors.ts';

const userId = '01934c2a-0000-7000-8000-000000000001';
const person = { userId, role: 'user', generation: 1, sessionId: userId } as const;

const tokens = createTokens({
  secret: 'a secret for tests, long enough for it',
  // Made when the file is loaded, which may be long before it is its turn.
  expiresInSeconds: 3_600,
  ticketExpiresInSeconds: 3_600,
  clock: systemClock,
});

const noKeys = {
  find: () => {
    throw new Error('no key was brought');
  },
  knows: () => false,
  dailyQuotaOf: () => undefined,
  flush: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

function authenticatorWith({ covers = false, isKnown = true }) {
  const revocations = { covers: () => covers, isKnown: () => isKnown };
  return createAuthenticator({ tokens, keys: noKeys, revocations });
}

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof AppError) return error.code;
    throw error;
  }
  return 'accepted';
}

describe('the authenticator', () => {
  const bearer = { kind: 'bearer', text: tokens.issue(person) } as const;
  const ticketOf = (principal: Principal) =>
    ({ kind: 'ticket', text: tokens.issueTicket(principal) }) as const;

  it('believes no credential before it knows what was revoked', () => {
    const blind = authenticatorWith({ isKnown: false });
    expect(codeOf(() => blind.authenticate(bearer))).to.equal('credentials_unchecked');
  });

  it('asks at every use whether a token was revoked, also when it is remembered', () => {
    const good = authenticatorWith({});
    const ticket = ticketOf(good.authenticate(bearer) as Principal);
    const bad = authenticatorWith({ covers: true });
    for (const credential of [bearer, ticket]) {
      expect(codeOf(() => good.authenticate(credential))).to.equal('accepted');
      expect(good.isCheap(credential)).to.equal(true);
      expect(codeOf(() => bad.authenticate(credential))).to.equal('token_revoked');
    }
  });

  it('takes a ticket for no access token, and the other way round', () => {
    const good = authenticatorWith({});
    const ticket = ticketOf(good.authenticate(bearer) as Principal);
    expect(codeOf(() => good.authenticate({ ...ticket, kind: 'bearer' }))).to.equal('token_invalid');
    expect(codeOf(() => good.authenticate({ ...bearer, kind: 'ticket' }))).to.equal('token_invalid');
  });
});
