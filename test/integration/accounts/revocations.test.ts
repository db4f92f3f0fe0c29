import { expect } from 'chai';
import { createRevocations, type Revocations } from '../../../src/features/accounts/revocations.ts';
import type { Principal } from '../../../src/domain/principal.ts';
import type { Revocation } from '../../../src/features/accounts/queries/revocations.ts';
import type { RevocationChannel } from '../../../src/features/accounts/revocation-channel.ts';
import { systemClock, type Clock } from '../../../src/platform/concurrency/clock.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
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
  listen: () => () => undefined,
};

describe('revocations', () => {
  const open: Revocations[] = [];

  function collect(
    recent: () => Promise<readonly Revocation[]>,
    clock: Clock = systemClock,
    channel = deaf,
  ): Revocations {
    const queries = { recent, purge: () => Promise.resolve(0) };
    const revocations = createRevocations({ queries, channel, clock, log: silentLogger() });
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

  it('end the admin in a key with the generation of its owner, and not the user in it', async () => {
    const revocations = collect(() => Promise.resolve([]));
    const ofAdmin: Principal = { ...key, role: 'admin', scopes: ['admin'] };
    const demotion = { kind: 'user', subject: userId, generation: 3, expiresAt: inAnHour() } as const;
    expect(revocations.covers(ofAdmin)).to.equal(false);
    await revocations.announce([demotion]);
    expect([ofAdmin, key].map((each) => revocations.covers(each))).to.deep.equal([true, false]);
    expect(revocations.covers({ ...ofAdmin, generation: 3 })).to.equal(false);
    expect(revocations.covers({ ...ofAdmin, userId: keyId })).to.equal(false);
  });

  it('are forgotten when nothing is left that they could end', async () => {
    let now = Date.now();
    let polls = 0;
    const poll = async (): Promise<void> => {
      const before = polls;
      // The second is asked for when the first has been worked up.
      await waitFor(() => polls >= before + 2, { what: 'two looks into Postgres' });
    };
    const revocations = collect(() => Promise.resolve((polls++, [])), { now: () => now });
    await revocations.whenKnown(1_000);
    const late: Principal = { ...person, sessionId: keyId, userId: keyId };
    await revocations.announce([
      { kind: 'session', subject: sessionId, generation: null, expiresAt: now + 1_000 },
      { kind: 'user', subject: userId, generation: 3, expiresAt: now + 1_000 },
      { kind: 'session', subject: keyId, generation: null, expiresAt: now + 60_000 },
    ]);
    const loggedInAgain = { ...person, generation: 3 };
    const elsewhere = { ...person, sessionId: userId };
    const covered = (): boolean[] => [loggedInAgain, elsewhere, late].map((each) => revocations.covers(each));
    await poll();
    expect(covered()).to.deep.equal([true, true, true]);
    now += 1_001;
    await poll();
    expect(covered()).to.deep.equal([false, false, true]);
  });

  it('are looked for far enough back to find those whose transaction ended late', async () => {
    let now = Date.now();
    const requested: (number | undefined)[] = [];
    const recent = (seconds?: number): Promise<readonly Revocation[]> => {
      requested.push(seconds);
      now += 2_000;
      return Promise.resolve([]);
    };
    collect(recent, { now: () => now });
    await waitFor(() => requested.length > 2, { what: 'three looks into Postgres' });
    expect(requested[0]).to.equal(undefined);
    // From the look before on, and as long as a statement may last, which is ten seconds.
    for (const seconds of requested.slice(1)) expect(seconds).to.be.at.least(2 + 10);
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
        const { createRevocationQueries } =
          await import('../../../src/features/accounts/queries/revocations.ts');
        return await createRevocationQueries(api.knex).recent(seconds);
      });

    it('reach a process without Redis within two seconds', async () => {
      const { id } = await api.access.users.insert(
        { username: 'joe', email: 'joe@example.com', passwordHash: 'none', role: 'user' },
        {},
      );
      const other = beside();
      await other.whenKnown(60_000);
      await api.access.sessions.endAll({ userId: id, by: {} });
      const ended = { ...person, userId: id, generation: 0 };
      expect(api.access.revocations.covers(ended)).to.equal(true);
      await waitFor(() => other.covers(ended), { what: 'the revocation', timeoutMs: 15_000 });
      const late = beside();
      await late.whenKnown(60_000);
      expect(late.covers(ended)).to.equal(true);
    });
  });
});
