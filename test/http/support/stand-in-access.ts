/** Accounts and access for tests that are about something else. */
import type { AccountService } from '../../../src/features/accounts/account-service.ts';
import { createAuthenticator } from '../../../src/features/accounts/authenticator.ts';
import { createTokens } from '../../../src/features/accounts/tokens.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { UnauthenticatedError } from '../../../src/domain/errors.ts';

/** What the tests of the HTTP side sign with. */
export const testSecret = 'a secret for tests, long enough for it';

/** Something that a test does not use: whoever touches it learns that. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- it is what the caller needs
function unused<T extends object>(name: string): T {
  return new Proxy({} as T, {
    get: () => () => Promise.reject(new Error(`${name} is no part of this test`)),
  });
}

/** Tokens are real, and nothing is revoked; there are no accounts behind them. */
export function standInAccess(): AccountService {
  const tokens = createTokens({
    secret: testSecret,
    expiresInSeconds: 60,
    ticketExpiresInSeconds: 60,
    clock: systemClock,
  });
  const keys = {
    find: () => {
      throw new UnauthenticatedError('The API key is not valid', 'key_invalid');
    },
    knows: () => false,
    dailyQuotaOf: () => undefined,
  };
  return {
    tokens,
    authenticator: createAuthenticator({
      tokens,
      keys,
      revocations: { covers: () => false, isKnown: () => true },
    }),
    allowances: {
      take: (policy) => ({ policy, remaining: policy.limit, resetSeconds: 60 }),
      isSpent: () => false,
    },
    usage: {
      request: () => undefined,
      job: () => undefined,
      calls: () => undefined,
      flush: () => Promise.resolve(),
      close: () => Promise.resolve(),
    },
    accounts: unused('accounts'),
    sessions: unused('sessions'),
    apiKeys: unused('API keys'),
    audit: unused('the audit log'),
    usageReports: unused('usage'),
    streamAccess: {
      isRevoked: () => false,
      onRevoked: () => undefined,
      issueTicket: (viewer) => ({
        ticket: tokens.issueTicket(viewer),
        expiresInSeconds: tokens.ticketExpiresInSeconds,
      }),
    },
    revocations: unused('revocations'),
  };
}
