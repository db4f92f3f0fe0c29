import { expect } from 'chai';
import { createAccounts } from '../../../src/features/accounts/accounts.ts';
import type { UserQueries } from '../../../src/features/accounts/queries/users.ts';
import { hashOfSecret, newSecret } from '../../../src/features/accounts/secrets.ts';
import { RateLimitedError, UnauthenticatedError, type AppError } from '../../../src/domain/errors.ts';
import type { LimitPolicy } from '../../../src/domain/rate-limit.ts';
import type { Revocation } from '../../../src/features/accounts/queries/revocations.ts';

const by = { address: '192.0.2.7', requestId: 'r1' };
const ended: Revocation = { kind: 'user', subject: 'u1', generation: 2, expiresAt: 9 };

type Deps = Parameters<typeof createAccounts>[0];

/** A desk on stand-ins that remember in which order they were used. */
function accountsWith(
  different: { changed?: boolean; live?: boolean; redeemed?: boolean; spent?: string } = {},
) {
  const { changed = true, live = true, redeemed = true, spent } = different;
  const steps: string[] = [];
  const step = <T>(text: string, value: T): Promise<T> => {
    steps.push(text);
    return Promise.resolve(value);
  };
  const account = {
    id: 'u1',
    username: 'ada',
    email: 'ada@example.com',
    passwordHash: 'old',
    role: 'user',
    generation: 1,
    createdAt: new Date(0),
  } as const;
  const users: Pick<UserQueries, 'find' | 'changePassword' | 'isResetLive' | 'redeemReset'> = {
    find: (id) => Promise.resolve(id === 'u1' ? account : undefined),
    changePassword: ({ oldHash, passwordHash }) =>
      step(`change ${oldHash} to ${passwordHash}`, changed ? [ended] : undefined),
    isResetLive: (hash) => step(`look at ${hash.length} bytes`, live),
    redeemReset: ({ passwordHash }) =>
      step(`redeem ${passwordHash}`, redeemed ? { userId: 'u1', revocations: [ended] } : undefined),
  };
  const deps: Deps = {
    users: users as UserQueries,
    passwords: {
      hash: (password, from) => step(`hash for ${typeof from === 'string' ? from : ''}`, `#${password}`),
      matches: (password, hash) => step('compare', password === 'right' && hash === 'old'),
    },
    revocations: { announce: (all) => step(`announce ${all.length}`, undefined) },
    throttle: {
      begin: ({ account, address }) =>
        step(`begin ${account} ${address}`, {
          isKnown: false,
          succeeded: () => step('succeeded', undefined),
        }),
    },
    allowances: {
      take: (policy: LimitPolicy, subject) => {
        steps.push(`take ${policy.name}`);
        expect(subject).not.to.contain('@');
        if (policy.name === spent) throw new RateLimitedError('spent', { retryAfterSeconds: 60 });
        return Promise.resolve({ policy, remaining: 1, resetSeconds: 1 });
      },
    },
    requestMail: ({ email, address, requestId }) => step(`mail ${email} ${address} ${requestId}`, undefined),
  };
  return { accounts: createAccounts(deps), deps, steps };
}

async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  return await work.then(
    () => undefined,
    (error: unknown) => (error as AppError).code,
  );
}

describe('the password desk', () => {
  const change = { userId: 'u1', currentPassword: 'right', password: 'new', by };

  it('changes a password and announces what that ends, after it is stored', async () => {
    const { accounts, steps } = accountsWith();
    await accounts.changePassword(change);
    expect(steps).to.deep.equal([
      'begin ada@example.com 192.0.2.7',
      'compare',
      'succeeded',
      'hash for 192.0.2.7',
      'change old to #new',
      'announce 1',
    ]);
  });

  it('counts a wrong current password like a failed login, and changes nothing', async () => {
    const { accounts, steps } = accountsWith();
    expect(await codeOf(accounts.changePassword({ ...change, currentPassword: 'wrong' }))).to.equal(
      'password_wrong',
    );
    expect(steps).to.deep.equal(['begin ada@example.com 192.0.2.7', 'compare']);
  });

  it('refuses when the password has changed while it was compared', async () => {
    const { accounts, steps } = accountsWith({ changed: false });
    expect(await codeOf(accounts.changePassword(change))).to.equal('password_wrong');
    expect(steps).not.to.include('announce 1');
  });

  it('knows no account that is gone', async () => {
    const { accounts } = accountsWith();
    expect(await codeOf(accounts.changePassword({ ...change, userId: 'u2' }))).to.equal(
      new UnauthenticatedError().code,
    );
  });

  it('has a mail sent', async () => {
    const { accounts, steps } = accountsWith();
    await accounts.requestReset({ email: 'ada@example.com', by });
    expect(steps).to.deep.equal([
      'take reset-address',
      'take reset-account',
      'mail ada@example.com 192.0.2.7 r1',
    ]);
  });

  it('says nothing of the limit of an account, but of that of an address', async () => {
    const ofAccount = accountsWith({ spent: 'reset-account' });
    await ofAccount.accounts.requestReset({ email: 'ada@example.com', by });
    expect(ofAccount.steps).to.deep.equal(['take reset-address', 'take reset-account']);
    const ofAddress = accountsWith({ spent: 'reset-address' });
    const refused = ofAddress.accounts.requestReset({ email: 'ada@example.com', by });
    expect(await codeOf(refused)).to.equal('rate_limited');
    expect(ofAddress.steps).to.deep.equal(['take reset-address']);
  });

  it('refers to the operator where no mail is sent', async () => {
    const { deps } = accountsWith();
    const accounts = createAccounts({ ...deps, requestMail: undefined });
    expect(await codeOf(accounts.requestReset({ email: 'ada@example.com', by }))).to.equal(
      'mail_not_configured',
    );
  });

  it('redeems a token', async () => {
    const { accounts, steps } = accountsWith();
    const token = newSecret('reset');
    await accounts.reset({ token, password: 'new', by });
    expect(steps).to.deep.equal([
      `look at ${hashOfSecret(token).length} bytes`,
      'hash for 192.0.2.7',
      'redeem #new',
      'announce 1',
    ]);
  });

  it('spends no work on a token that is none, nor on one that is dead', async () => {
    const { accounts, steps } = accountsWith({ live: false });
    for (const token of ['', 'ppp_short', newSecret('key'), `${newSecret('reset')}x`]) {
      expect(await codeOf(accounts.reset({ token, password: 'new', by }))).to.equal('reset_invalid');
    }
    expect(steps).to.deep.equal([]);
    expect(await codeOf(accounts.reset({ token: newSecret('reset'), password: 'new', by }))).to.equal(
      'reset_invalid',
    );
    expect(steps).to.deep.equal(['look at 32 bytes']);
  });

  it('refuses a token that somebody else has redeemed meanwhile', async () => {
    const { accounts, steps } = accountsWith({ redeemed: false });
    expect(await codeOf(accounts.reset({ token: newSecret('reset'), password: 'new', by }))).to.equal(
      'reset_invalid',
    );
    expect(steps).not.to.include('announce 1');
  });
});
