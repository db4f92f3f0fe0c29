import { expect } from 'chai';
import type { UsableKey } from '../../../src/features/accounts/queries/api-keys.ts';
import type { Revocation } from '../../../src/features/accounts/queries/revocations.ts';
import { createApiKeyCache, type ApiKeyCache } from '../../../src/features/accounts/api-key-cache.ts';
import { newSecret } from '../../../src/features/accounts/secrets.ts';
import type { Principal } from '../../../src/domain/principal.ts';
import { AppError } from '../../../src/domain/errors.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';

const secret = newSecret('key');
const adminKey: UsableKey = {
  id: 'key',
  userId: 'user',
  role: 'admin',
  generation: 3,
  scopes: ['admin', 'prices:read'],
  dailyQuota: null,
  expiresAt: null,
};

describe('API keys in use', () => {
  const rings: ApiKeyCache[] = [];
  let now: number;
  /** What the database has; undefined for a key that may not be used. */
  let stored: UsableKey | undefined;
  let lookups: number;
  let touched: string[][];
  let covers: (principal: Principal) => boolean;
  let revoke: (revocation: Pick<Revocation, 'kind' | 'subject'>) => void;
  /** Called while the database is asked, before it answers. */
  let whileRequested: () => void;

  beforeEach(() => {
    now = 1_000_000;
    stored = adminKey;
    lookups = 0;
    touched = [];
    covers = () => false;
    whileRequested = () => undefined;
  });
  afterEach(async () => {
    for (const each of rings.splice(0)) await each.close();
  });

  function openRing(): ApiKeyCache {
    const ring = createApiKeyCache({
      queries: {
        async findUsable() {
          lookups += 1;
          const found = stored;
          await Promise.resolve();
          whileRequested();
          return found;
        },
        touch: (ids) => Promise.resolve(void touched.push([...ids])),
      },
      revocations: {
        covers: (principal) => covers(principal),
        onRevoked(listener) {
          revoke = (revocation) => listener({ ...revocation, generation: null, expiresAt: now });
          return () => (revoke = () => undefined);
        },
      },
      clock: { now: () => now },
      log: silentLogger(),
    });
    rings.push(ring);
    return ring;
  }

  async function codeOf(ring: ApiKeyCache): Promise<string> {
    try {
      await ring.find(secret);
    } catch (error) {
      if (error instanceof AppError) return error.code;
      throw error;
    }
    return 'accepted';
  }

  it('are looked up once, also by those who come together', async () => {
    const ring = openRing();
    const found = await Promise.all([ring.find(secret), ring.find(secret)]);
    expect(found[0]).to.include({ userId: 'user', keyId: 'key', role: 'admin' });
    expect(ring.find(secret)).to.equal(found[0]);
    expect(lookups).to.equal(1);
  });

  it('speak for an admin only with the scope, and only while their owner is one', async () => {
    const ring = openRing();
    expect(await ring.find(secret)).to.include({ role: 'admin' });
    stored = { ...adminKey, role: 'user', generation: 4 };
    revoke({ kind: 'user', subject: 'user' });
    expect(await ring.find(secret)).to.include({ role: 'user', generation: 4 });
    stored = { ...adminKey, scopes: ['prices:read'] };
    expect(await openRing().find(secret)).to.include({ role: 'user' });
  });

  for (const [what, revocation] of [
    ['the key', { kind: 'key', subject: 'key' }],
    ['their owner', { kind: 'user', subject: 'user' }],
  ] as const)
    it(`are not believed from memory once ${what} was ended`, async () => {
      const ring = openRing();
      await ring.find(secret);
      stored = undefined;
      revoke({ kind: 'key', subject: 'another key' });
      revoke({ kind: 'user', subject: 'another user' });
      revoke({ kind: 'session', subject: 'a session' });
      expect(await codeOf(ring)).to.equal('accepted');
      revoke(revocation);
      expect(await codeOf(ring)).to.equal('key_invalid');
      expect(ring.knows(secret)).to.equal(false);
    });

  it('are refused when a revocation covers what the database said a moment ago', async () => {
    const ring = openRing();
    covers = ({ keyId }) => keyId === 'key';
    expect(await codeOf(ring)).to.equal('key_invalid');
  });

  it('are asked for again when something was revoked while the database was asked', async () => {
    const ring = openRing();
    whileRequested = () => revoke({ kind: 'user', subject: 'user' });
    await ring.find(secret);
    whileRequested = () => undefined;
    stored = { ...adminKey, role: 'user' };
    expect(await ring.find(secret)).to.include({ role: 'user' });
    expect(lookups).to.equal(2);
  });

  it('expire also while they are remembered', async () => {
    stored = { ...adminKey, expiresAt: new Date(now + 1_000) };
    const ring = openRing();
    await ring.find(secret);
    now += 999;
    expect(await codeOf(ring)).to.equal('accepted');
    now += 1;
    expect(await codeOf(ring)).to.equal('key_invalid');
  });

  it('are held to the quota that they have now', async () => {
    stored = { ...adminKey, dailyQuota: 5 };
    const ring = openRing();
    await ring.find(secret);
    expect(ring.dailyQuotaOf('key')).to.equal(5);
    stored = adminKey;
    revoke({ kind: 'user', subject: 'user' });
    await ring.find(secret);
    expect(ring.dailyQuotaOf('key')).to.equal(undefined);
  });

  it('are written down as used, once for each time between, the last at the end', async () => {
    const ring = openRing();
    await ring.find(secret);
    await ring.flush();
    await ring.flush();
    expect(touched).to.deep.equal([['key']]);
    await ring.find(secret);
    await ring.close();
    expect(touched).to.deep.equal([['key'], ['key']]);
  });
});
