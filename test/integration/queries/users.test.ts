/** Accounts in a real Postgres: each change with its event, its revocations, and what it must not let happen. */
import { expect } from 'chai';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { openDatabase } from '../../../db/connection.ts';
import {
  createUserQueries,
  type Account,
  type UserQueries,
} from '../../../src/features/accounts/queries/users.ts';
import { AppError } from '../../../src/domain/errors.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

const by = { actorId: uuidv7(), address: '192.0.2.7', requestId: 'r-1' };
const passwordHash = '$2b$04$notarealhash';

describe('user queries', () => {
  let database: TestDatabase;
  let knex: Knex;
  let users: UserQueries;

  before(async () => {
    database = await createTestDatabase();
    knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 8 });
    users = createUserQueries(knex, { revocationSeconds: 900 });
  });
  beforeEach(async () => {
    for (const table of ['password_resets', 'refresh_tokens', 'sessions', 'api_keys', 'users'])
      await knex(table).delete();
  });
  after(async () => {
    await knex.destroy();
    await database.drop();
  });

  const add = (username: string, role: 'user' | 'admin' = 'user'): Promise<Account> =>
    users.insert({ username, email: `${username}@example.com`, passwordHash, role }, by);

  const eventsOf = (userId: string): Promise<object[]> =>
    knex('audit_events').where({ user_id: userId }).orderBy('id').select('type', 'actor_id', 'detail');

  async function openSession(userId: string): Promise<string> {
    const id = uuidv7();
    await knex('sessions').insert({ id, user_id: userId, expires_at: new Date(Date.now() + 60_000) });
    return id;
  }

  async function addKey(userId: string): Promise<string> {
    const id = uuidv7();
    const hash = Buffer.from(id);
    await knex('api_keys').insert({ id, user_id: userId, name: 'k', prefix: 'ppk_', hash, scopes: [] });
    return id;
  }

  const askReset = (userId: string): Promise<unknown> =>
    knex('password_resets').insert({
      hash: Buffer.from(uuidv7()),
      user_id: userId,
      expires_at: new Date(Date.now() + 60_000),
    });

  const liveResets = (userId: string): Promise<unknown[]> =>
    knex('password_resets').where({ user_id: userId }).whereNull('used_at');

  async function codeOf(change: Promise<unknown>): Promise<string> {
    const error = await change.then(
      () => new Error('it was let through'),
      (refusal: unknown) => refusal,
    );
    return error instanceof AppError ? error.code : String(error);
  }

  it('store an account with its event, and find it again', async () => {
    const joe = await add('Joe');
    expect(await users.find(joe.id)).to.deep.equal(joe);
    expect(await users.findByEmail('joe@example.com')).to.deep.equal(joe);
    expect(joe).to.deep.include({ username: 'Joe', role: 'user', generation: 0, passwordHash });
    expect(joe.createdAt).to.be.instanceOf(Date);
    expect(await eventsOf(joe.id)).to.deep.equal([
      { type: 'account.registered', actor_id: by.actorId, detail: { role: 'user' } },
    ]);
  });

  it('say in the log that an account was made at a shell', async () => {
    const request = { username: 'ops', email: 'ops@example.com', passwordHash, role: 'admin' } as const;
    const { id } = await users.insert(request, { via: 'command' });
    expect(await eventsOf(id)).to.deep.equal([
      { type: 'account.registered', actor_id: null, detail: { role: 'admin', via: 'command' } },
    ]);
  });

  it('record nothing of an account that was refused', async () => {
    await add('joe');
    const [before] = await knex('audit_events').count();
    expect(await codeOf(add('JOE'))).to.equal('account_taken');
    expect((await knex('audit_events').count())[0]).to.deep.equal(before);
  });

  it('list accounts by pages, the newest first, without those that were deleted', async () => {
    const made: Account[] = [];
    for (const name of ['one', 'two', 'three', 'four']) made.push(await add(name));
    await users.remove({ id: made[2]!.id, by });
    const { accounts, total } = await users.page({ offset: 1, limit: 2 });
    expect(accounts.map(({ username }) => username)).to.deep.equal(['two', 'one']);
    expect(total).to.equal(3);
  });

  it('change names without a word of them in the log, and end no session', async () => {
    const { id } = await add('joe');
    await openSession(id);
    const { account, revocations } = await users.update({ id, changes: { username: 'jo.e' }, by });
    expect(account).to.deep.include({ username: 'jo.e', email: 'joe@example.com', generation: 0 });
    expect(revocations).to.deep.equal([]);
    expect((await eventsOf(id)).at(-1)).to.deep.equal({
      type: 'account.updated',
      actor_id: by.actorId,
      detail: { fields: ['username'] },
    });
    expect(await knex('sessions').whereNull('ended_at')).to.have.length(1);
  });

  it('end the password resets of an e-mail that is left, and of nobody else', async () => {
    const [joe, ann] = [await add('joe'), await add('ann')];
    await askReset(joe.id);
    await askReset(ann.id);
    await users.update({ id: joe.id, changes: { username: 'joseph' }, by });
    expect(await liveResets(joe.id)).to.have.length(1);
    await users.update({ id: joe.id, changes: { email: 'new@example.com' }, by });
    expect(await liveResets(joe.id)).to.have.length(0);
    expect(await liveResets(ann.id)).to.have.length(1);
  });

  it('change and record nothing when nothing differs', async () => {
    const joe = await add('joe');
    const changes = { username: 'joe', email: 'joe@example.com', role: 'user' } as const;
    expect(await users.update({ id: joe.id, changes, by })).to.deep.equal({ account: joe, revocations: [] });
    expect(await eventsOf(joe.id)).to.have.length(1);
  });

  it('refuse a name that somebody has, and keep everything as it was', async () => {
    const joe = await add('joe');
    await add('ann');
    const changes = { username: 'ANN', email: 'free@example.com', role: 'admin' } as const;
    expect(await codeOf(users.update({ id: joe.id, changes, by }))).to.equal('account_taken');
    expect(await users.find(joe.id)).to.deep.equal(joe);
    expect(await eventsOf(joe.id)).to.have.length(1);
    expect(await knex('revocations').where({ subject: joe.id })).to.deep.equal([]);
  });

  it('end all sessions with a change of role, and say from what to what', async () => {
    const { id } = await add('joe');
    const session = await openSession(id);
    const key = await addKey(id);
    const { account, revocations } = await users.update({ id, changes: { role: 'admin' }, by });
    expect(account).to.deep.include({ role: 'admin', generation: 1 });
    expect(revocations).to.have.length(1);
    expect(revocations[0]).to.deep.include({ kind: 'user', subject: id, generation: 1 });
    expect(revocations[0]!.expiresAt).to.be.greaterThan(Date.now() + 800_000);
    expect((await eventsOf(id)).at(-1)).to.deep.equal({
      type: 'account.role_changed',
      actor_id: by.actorId,
      detail: { from: 'user', to: 'admin' },
    });
    expect(await knex('sessions').where({ id: session }).first()).to.include({ end_reason: 'role_changed' });
    expect(await knex('api_keys').where({ id: key }).whereNull('revoked_at')).to.have.length(1);
  });

  it('delete an account with its sessions, keys and resets, and find it no more', async () => {
    const { id, email } = await add('joe');
    const [session, key] = [await openSession(id), await addKey(id)];
    await askReset(id);
    const { deletedAt, revocations } = await users.remove({ id, by });
    const [row] = await knex('users').where({ id });
    expect(row.deleted_at).to.deep.equal(deletedAt);
    expect(revocations.map(({ kind, subject }) => [kind, subject])).to.deep.equal([
      ['user', id],
      ['key', key],
    ]);
    expect(await knex('sessions').where({ id: session }).whereNull('ended_at')).to.deep.equal([]);
    expect(await knex('api_keys').where({ id: key }).whereNull('revoked_at')).to.deep.equal([]);
    expect(await liveResets(id)).to.deep.equal([]);
    expect([await users.find(id), await users.findByEmail(email)]).to.deep.equal([undefined, undefined]);
    expect((await eventsOf(id)).at(-1)).to.deep.include({ type: 'account.deleted' });
    expect(await codeOf(users.remove({ id, by }))).to.equal('user_not_found');
    expect(await codeOf(users.update({ id, changes: { role: 'admin' }, by }))).to.equal('user_not_found');
  });

  it('hold the names of a deleted account', async () => {
    const { id } = await add('joe');
    await users.remove({ id, by });
    expect(await codeOf(add('Joe'))).to.equal('account_taken');
  });

  it('keep the last admin, whether he is to be demoted or deleted', async () => {
    const { id } = await add('root', 'admin');
    const former = await add('former', 'admin');
    await users.remove({ id: former.id, by });
    expect(await codeOf(users.update({ id, changes: { role: 'user' }, by }))).to.equal('last_admin');
    expect(await codeOf(users.remove({ id, by }))).to.equal('last_admin');
    await add('second', 'admin');
    expect((await users.update({ id, changes: { role: 'user' }, by })).account.role).to.equal('user');
  });

  it('keep one admin of many who demote and delete each other at once', async () => {
    for (let round = 0; round < 10; round++) {
      await knex('users').delete();
      const admins: Account[] = [];
      for (const name of ['one', 'two', 'three', 'four']) admins.push(await add(name, 'admin'));
      const ends = await Promise.all(
        admins.map(({ id }, index) =>
          codeOf(
            index % 2 === 0 ? users.remove({ id, by }) : users.update({ id, changes: { role: 'user' }, by }),
          ),
        ),
      );
      expect(ends.filter((code) => code === 'last_admin')).to.have.length(1);
      const left = await knex('users').where({ role: 'admin' }).whereNull('deleted_at');
      expect(left).to.have.length(1);
    }
  });

  it('say that Postgres is away', async () => {
    const gone = openDatabase({ database: { host: '127.0.0.1', port: 1, ssl: false }, poolSize: 2 });
    const lost = createUserQueries(gone, { revocationSeconds: 900 });
    const id = uuidv7();
    const account = { username: 'joe', email: 'joe@example.com', passwordHash, role: 'user' } as const;
    const questions: Promise<unknown>[] = [
      lost.insert(account, by),
      lost.find(id),
      lost.findByEmail('joe@example.com'),
      lost.page({ offset: 0, limit: 1 }),
      lost.update({ id, changes: { username: 'joe' }, by }),
      lost.remove({ id, by }),
    ];
    for (const code of await Promise.all(questions.map(codeOf)))
      expect(code).to.equal('database_unavailable');
    await gone.destroy();
  });
});
