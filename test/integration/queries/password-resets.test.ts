import { expect } from 'chai';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { openDatabase } from '../../../db/connection.ts';
import { createUserQueries, type UserQueries } from '../../../src/features/accounts/queries/users.ts';
import { hashOfSecret, newSecret } from '../../../src/features/accounts/secrets.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

describe('passwords in the database', () => {
  let database: TestDatabase;
  let knex: Knex;
  let queries: UserQueries;
  let userId: string;
  const by = { address: '192.0.2.7', requestId: 'r1' };

  before(async () => {
    database = await createTestDatabase();
    knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 8 });
    queries = createUserQueries(knex, { revocationSeconds: 900 });
  });
  beforeEach(async () => (userId = await newUser()));
  after(async () => {
    await knex.destroy();
    await database.drop();
  });

  async function newUser(): Promise<string> {
    const id = uuidv7();
    const name = `u-${id}`;
    await knex('users').insert({ id, username: name, email: `${name}@example.com`, password_hash: 'old' });
    await knex('sessions').insert({ id: uuidv7(), user_id: id, expires_at: new Date(Date.now() + 60_000) });
    return id;
  }

  async function newReset(expiresInSeconds = 60): Promise<Buffer> {
    const hash = hashOfSecret(newSecret('reset'));
    await queries.storeReset({ userId, hash, expiresInSeconds, by });
    return hash;
  }

  const passwordOf = async (id: string): Promise<string | undefined> =>
    (await queries.find(id))?.passwordHash;
  const openSessions = (): Promise<unknown[]> =>
    knex('sessions').where({ user_id: userId }).whereNull('ended_at');
  const eventTypes = async (): Promise<string[]> =>
    (await knex('audit_events').where({ user_id: userId }).orderBy('id')).map(
      (row: { type: string }) => row.type,
    );

  it('are changed, which ends every session and reset, but no key', async () => {
    const reset = await newReset();
    const key = {
      id: uuidv7(),
      user_id: userId,
      name: 'k',
      prefix: 'ppk_',
      hash: hashOfSecret(uuidv7()),
      scopes: [],
    };
    await knex('api_keys').insert(key);
    const revocations = await queries.changePassword({ userId, oldHash: 'old', passwordHash: 'new', by });
    expect(revocations).to.have.length(1);
    expect(revocations?.[0]).to.include({ kind: 'user', subject: userId, generation: 1 });
    expect(await passwordOf(userId)).to.equal('new');
    expect(await openSessions()).to.have.length(0);
    expect(await queries.isResetLive(reset)).to.equal(false);
    expect((await knex('api_keys').where({ id: key.id }).first()) as object).to.include({ revoked_at: null });
    expect(await eventTypes()).to.deep.equal(['password.reset_requested', 'password.changed']);
  });

  it('are not changed by whoever compared with an older one', async () => {
    const changes = ['a', 'b'].map((passwordHash) =>
      queries.changePassword({ userId, oldHash: 'old', passwordHash, by }),
    );
    const done = (await Promise.all(changes)).filter((each) => each !== undefined);
    expect(done).to.have.length(1);
    expect(await queries.changePassword({ userId, oldHash: 'old', passwordHash: 'c', by })).to.equal(
      undefined,
    );
    expect(await passwordOf(userId)).to.be.oneOf(['a', 'b']);
  });

  it('are reset once, by one of those who redeem at the same time', async () => {
    const [reset, other] = [await newReset(), await newReset()];
    const attempts = Array.from({ length: 6 }, (_, i) =>
      queries.redeemReset({ hash: i % 2 === 0 ? reset : other, passwordHash: `new-${i}`, by }),
    );
    const outcomes = await Promise.all(attempts);
    const winner = outcomes.findIndex((each) => each !== undefined);
    expect(outcomes.filter((each) => each !== undefined)).to.have.length(1);
    expect(outcomes[winner]).to.include({ userId });
    expect(outcomes[winner]?.revocations).to.have.length(1);
    expect(await passwordOf(userId)).to.equal(`new-${winner}`);
    expect(await openSessions()).to.have.length(0);
    for (const hash of [reset, other])
      expect(await queries.redeemReset({ hash, passwordHash: 'late', by })).to.equal(undefined);
    expect((await eventTypes()).filter((type) => type === 'password.reset')).to.have.length(1);
  });

  it('are not reset by what is unknown or expired', async () => {
    const expired = await newReset(-1);
    for (const hash of [expired, hashOfSecret('made up')]) {
      expect(await queries.isResetLive(hash)).to.equal(false);
      expect(await queries.redeemReset({ hash, passwordHash: 'new', by })).to.equal(undefined);
    }
    expect(await passwordOf(userId)).to.equal('old');
  });

  it('have one reset at a time, the newest', async () => {
    const resets: Buffer[] = [];
    for (let i = 0; i < 5; i++) resets.push(await newReset());
    const live = await Promise.all(resets.map((hash) => queries.isResetLive(hash)));
    expect(live).to.deep.equal([false, false, false, false, true]);
    const others = await Promise.all(Array.from({ length: 6 }, () => newReset()));
    const liveOthers = await Promise.all(others.map((hash) => queries.isResetLive(hash)));
    expect(liveOthers.filter(Boolean)).to.have.length(1);
  });

  it('of deleted accounts cannot be had, changed or reset', async () => {
    const reset = await newReset();
    await knex('users').where({ id: userId }).update({ deleted_at: new Date() });
    expect(await queries.find(userId)).to.equal(undefined);
    expect(await queries.changePassword({ userId, oldHash: 'old', passwordHash: 'new', by })).to.equal(
      undefined,
    );
    expect(await queries.redeemReset({ hash: reset, passwordHash: 'new', by })).to.equal(undefined);
    await queries.rehash(userId, 'old', 'new');
    const stored = queries.storeReset({ userId, hash: hashOfSecret('x'), expiresInSeconds: 60, by });
    expect(await stored.catch((error: unknown) => error)).to.include({ code: 'user_not_found' });
    expect((await knex('users').where({ id: userId }).first()) as object).to.include({
      password_hash: 'old',
    });
  });

  it('are hashed again without ending anything, unless they have changed', async () => {
    await queries.rehash(userId, 'old', 'stronger');
    expect(await passwordOf(userId)).to.equal('stronger');
    await queries.rehash(userId, 'old', 'late');
    expect(await passwordOf(userId)).to.equal('stronger');
    expect(await openSessions()).to.have.length(1);
  });

  it('are changed together with their audit event, or not at all', async () => {
    const unstorable = { ...by, requestId: 'zero \0 byte' };
    const failed = await queries
      .changePassword({ userId, oldHash: 'old', passwordHash: 'new', by: unstorable })
      .catch((error: unknown) => error);
    expect(failed).to.be.instanceOf(Error);
    expect(await passwordOf(userId)).to.equal('old');
    expect(await openSessions()).to.have.length(1);
  });
});
