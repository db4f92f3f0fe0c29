/** What has expired goes, what lives stays, and names of deleted accounts are free again after a while. */
import { expect } from 'chai';
import knexFactory, { type Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { createAuthRetentions } from '../../../src/features/accounts/queries/access-purge.ts';
import { createUserQueries } from '../../../src/features/accounts/queries/users.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

const day = 86_400;
const retention = { nameHoldSeconds: 30 * day, refreshSeconds: 30 * day };
const ago = (days: number): Date => new Date(Date.now() - days * day * 1000);

/** A batch of everything; returns the number of rows. */
async function purgeAccess(knex: Knex, options: typeof retention): Promise<number> {
  let rows = 0;
  for (const batches of Object.values(createAuthRetentions(knex, options)))
    for (const batch of Object.values(batches)) rows += await batch();
  return rows;
}

describe('the purge of accounts and access', () => {
  let database: TestDatabase;
  let knex: Knex;

  before(async () => {
    database = await createTestDatabase();
    knex = knexFactory({ client: 'pg', connection: database.url, pool: { min: 0, max: 2 } });
  });
  beforeEach(async () => {
    for (const table of ['password_resets', 'refresh_tokens', 'sessions', 'revocations', 'api_keys', 'users'])
      await knex(table).delete();
  });
  after(async () => {
    await knex.destroy();
    await database.drop();
  });

  async function addUser(username: string, deletedAt: Date | null = null): Promise<string> {
    const id = uuidv7();
    const email = `${username}@example.com`;
    await knex('users').insert({ id, username, email, password_hash: 'secret', deleted_at: deletedAt });
    return id;
  }

  async function addSession(userId: string, expiresAt: Date): Promise<string> {
    const id = uuidv7();
    await knex('sessions').insert({ id, user_id: userId, expires_at: expiresAt });
    return id;
  }

  const addToken = (sessionId: string, createdAt: Date): Promise<unknown> =>
    knex('refresh_tokens').insert({
      hash: Buffer.from(uuidv7()),
      session_id: sessionId,
      created_at: createdAt,
    });

  it('releases the names of accounts that were deleted long ago, once, and leaves nothing personal', async () => {
    const gone = await addUser('gone', ago(31));
    const held = await addUser('held', ago(29));
    const here = await addUser('here');
    expect(await purgeAccess(knex, retention)).to.equal(1);
    const rows = await knex('users').orderBy('id').select('id', 'username', 'email', 'password_hash');
    expect(rows).to.deep.equal([
      { id: gone, username: `deleted:${gone}`, email: `deleted:${gone}`, password_hash: '' },
      { id: held, username: 'held', email: 'held@example.com', password_hash: 'secret' },
      { id: here, username: 'here', email: 'here@example.com', password_hash: 'secret' },
    ]);
    expect(await purgeAccess(knex, retention)).to.equal(0);
    const users = createUserQueries(knex, { revocationSeconds: 60 });
    const account = { username: 'gone', email: 'gone@example.com', passwordHash: 'x', role: 'user' } as const;
    expect((await users.insert(account, {})).username).to.equal('gone');
  });

  it('deletes sessions a week after they expired, with their tokens', async () => {
    const userId = await addUser('joe');
    const [dead, lately, live] = [
      await addSession(userId, ago(8)),
      await addSession(userId, ago(6)),
      await addSession(userId, ago(-1)),
    ];
    for (const session of [dead, lately, live]) await addToken(session, ago(10));
    expect(await purgeAccess(knex, retention)).to.equal(1);
    expect(await knex('sessions').orderBy('id').pluck('id')).to.deep.equal([lately, live]);
    expect(await knex('refresh_tokens').pluck('session_id')).to.have.members([lately, live]);
  });

  it('deletes tokens of a session that lives on, when nobody can be caught with them any more', async () => {
    const session = await addSession(await addUser('joe'), ago(-1));
    await addToken(session, ago(38));
    await addToken(session, ago(36));
    expect(await purgeAccess(knex, retention)).to.equal(1);
    const [{ created_at: createdAt }] = await knex('refresh_tokens').select('created_at');
    expect(createdAt.getTime()).to.be.greaterThan(ago(37).getTime());
  });

  it('deletes password resets a week after they expired, and revocations that end nothing', async () => {
    const userId = await addUser('joe');
    const reset = (days: number) => ({
      hash: Buffer.from(uuidv7()),
      user_id: userId,
      expires_at: ago(days),
    });
    await knex('password_resets').insert([reset(8), reset(6), reset(-1)]);
    const revocation = (days: number) => ({ kind: 'session', subject: uuidv7(), expires_at: ago(days) });
    await knex('revocations').insert([revocation(0.1), revocation(-0.1)]);
    expect(await purgeAccess(knex, retention)).to.equal(2);
    expect(await knex('password_resets')).to.have.length(2);
    const [left, ...more] = await knex('revocations');
    expect(left.expires_at.getTime()).to.be.greaterThan(Date.now());
    expect(more).to.deep.equal([]);
  });

  it('deletes keys a year after they were revoked or expired, whichever was first', async () => {
    const userId = await addUser('joe');
    const add = async (revokedAt: Date | null, expiresAt: Date | null): Promise<string> => {
      const id = uuidv7();
      const secret = { prefix: 'ppk_', hash: Buffer.from(id), scopes: [] };
      await knex('api_keys').insert({
        ...secret,
        id,
        user_id: userId,
        name: 'bot',
        revoked_at: revokedAt,
        expires_at: expiresAt,
      });
      return id;
    };
    for (const [revokedAt, expiresAt] of [
      [ago(366), null],
      [null, ago(366)],
      [ago(366), ago(300)],
      [ago(366), ago(-10)],
      [ago(300), ago(366)],
    ] as const)
      await add(revokedAt, expiresAt);
    const left = [await add(ago(364), null), await add(null, ago(364)), await add(null, null)];
    expect(await purgeAccess(knex, retention)).to.equal(5);
    expect(await knex('api_keys').orderBy('id').pluck('id')).to.deep.equal(left.sort());
  });

  it('deletes audit events that are older than a year, and no others', async () => {
    const event = (days: number) => ({
      id: uuidv7({ msecs: ago(days).getTime() }),
      type: 'login.failed',
      at: ago(days),
    });
    const [old, young] = [
      [event(367), event(800)],
      [event(364), event(1)],
    ];
    await knex('audit_events').insert([...old, ...young]);
    expect(await purgeAccess(knex, retention)).to.equal(2);
    const left: string[] = await knex('audit_events').pluck('id');
    expect(left).to.include.members(young.map(({ id }) => id));
    expect(left).not.to.include.oneOf(old.map(({ id }) => id));
  });
});
