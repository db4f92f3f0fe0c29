import { expect } from 'chai';
import { createRevocations, type Revocations } from '../../../src/accounts/revocations.ts';
import type { Principal } from '../../../src/auth/principal.ts';
import type { Revocation } from '../../../db/queries/revocations.ts';
import type { RevocationChannel } from '../../../src/events/revocations.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLogger } from '../../../src/lib/logger.ts';
import { startAccessApi, type AccessApi } from '../../http/support/access.ts';
import { waitFor } from '../../support/wait-for.ts';

const userId = '01934c2a-0000-7000-8000-000000000001';
const sessionId = '01934c2a-0000-7000-8000-000000000002';
const keyId = '01934c2a-0000-7000-8000-000000000003';
const person: Principal = {
  userId,
  role: 'user',
  generation: 2,
  sessionId,
  keyId: undefined,
  scopes: undefined,
};
const key: Principal = { ...person, sessionId: undefined, keyId, scopes: ['prices:read'] };

const inAnHour = (): number => Date.now() + 3_600_000;

/** A Redis that carries nothing. */
const deaf: RevocationChannel = {
  publish: () => Promise.reject(new Error('Redis is away')),
  listen: () => undefined,
};

describe('revocations', () => {
  const open: Revocations[] = [];

  function collect(recent: () => Promise<readonly Revocation[]>, channel = deaf): Revocations {
    const queries = { recent, purge: () => Promise.resolve(0) };
    const revocations = createRevocations({ queries, channel, clock: systemClock, log: silentLogger() });
    open.push(revocations);
    return revocations;
  }

  afterEach(() => {
    for (const each of open.splice(0)) each.close();
  });

  it('cover a session, a key, and the generations of a user before the present one', async () => {
    const revocations = collect(() => Promise.resolve([]));
    await revocations.whenKnown(1_000);
    expect([person, key].map((each) => revocations.covers(each))).to.deep.equal([false, false]);
    const expiresAt = inAnHour();
    await revocations.announce([{ kind: 'user', subject: userId, generation: 2, expiresAt }]);
    expect(revocations.covers(person)).to.equal(false);
    await revocations.announce([{ kind: 'key', subject: keyId, generation: null, expiresAt }]);
    expect([person, key].map((each) => revocations.covers(each))).to.deep.equal([false, true]);
    await revocations.announce([{ kind: 'user', subject: userId, generation: 3, expiresAt }]);
    expect(revocations.covers(person)).to.equal(true);
    // A late message of an earlier generation takes nothing back.
    await revocations.announce([{ kind: 'user', subject: userId, generation: 1, expiresAt }]);
    expect(revocations.covers(person)).to.equal(true);
    expect(revocations.covers({ ...person, generation: 3 })).to.equal(false);
    await revocations.announce([{ kind: 'session', subject: sessionId, generation: null, expiresAt }]);
    expect(revocations.covers({ ...person, generation: 3 })).to.equal(true);
  });

  it('are not known until Postgres has been read, and are then', async () => {
    let isAway = true;
    const revocations = collect(() =>
      isAway ? Promise.reject(new Error('Postgres is away')) : Promise.resolve([]),
    );
    await revocations.whenKnown(50);
    expect(revocations.isKnown()).to.equal(false);
    isAway = false;
    await waitFor(() => revocations.isKnown(), { what: 'the first look that succeeds' });
  });

  it('are forgotten when nothing is left that they could end', async () => {
    const revocations = collect(() => Promise.resolve([]));
    const expiresAt = Date.now() - 1;
    await revocations.announce([{ kind: 'session', subject: sessionId, generation: null, expiresAt }]);
    await waitFor(() => !revocations.covers(person), { what: 'the forgetting' });
  });

  describe('over the fleet', () => {
    let api: AccessApi;

    before(async () => {
      api = await startAccessApi();
    });

    after(async () => {
      await api.end();
    });

    /** A process that hears nothing over Redis. */
    const beside = (): Revocations =>
      collect(async (seconds?: number) => {
        const { createRevocationQueries } = await import('../../../db/queries/revocations.ts');
        return await createRevocationQueries(api.knex).recent(seconds);
      });

    it('reach a process without Redis within two seconds', async () => {
      const { id } = await api.access.users.insert(
        { username: 'joe', email: 'joe@example.com', passwordHash: 'none', role: 'user' },
        {},
      );
      const other = beside();
      await other.whenKnown(2_000);
      await api.access.sessions.endAll({ userId: id, by: {} });
      const ended = { ...person, userId: id, generation: 0 };
      expect(api.access.revocations.covers(ended)).to.equal(true);
      await waitFor(() => other.covers(ended), { what: 'the revocation', timeoutMs: 2_000 });
      const late = beside();
      await late.whenKnown(2_000);
      expect(late.covers(ended)).to.equal(true);
    });
  });
});
