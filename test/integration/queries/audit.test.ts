/** The audit log cannot be changed, not even by the owner of its table. */
import { expect } from 'chai';
import knexFactory, { type Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { createAuditQueries, recordEvent } from '../../../src/features/accounts/queries/audit.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

const joe = uuidv7();
const by = { actorId: joe, keyId: uuidv7(), address: '2001:db8::1', requestId: 'r-7' };

describe('the audit log', () => {
  let database: TestDatabase;
  let knex: Knex;
  let audit: ReturnType<typeof createAuditQueries>;

  before(async () => {
    database = await createTestDatabase();
    knex = knexFactory({ client: 'pg', connection: database.url, pool: { min: 0, max: 2 } });
    audit = createAuditQueries(knex);
    await audit.append({ type: 'login.failed', by: { address: '192.0.2.1' } });
    await audit.append({ type: 'login.succeeded', userId: joe, by });
    await audit.append({ type: 'key.created', userId: joe, by, detail: { scopes: ['prices:read'] } });
  });
  after(async () => {
    await knex.destroy();
    await database.drop();
  });

  it('tells the newest first, with who did it and from where', async () => {
    const { events, total } = await audit.list({ offset: 0, limit: 2 });
    expect(total).to.equal(3);
    expect(events.map(({ type }) => type)).to.deep.equal(['key.created', 'login.succeeded']);
    expect(events[0]).to.deep.include({ userId: joe, detail: { scopes: ['prices:read'] }, ...by });
    expect(events[0]!.at).to.be.instanceOf(Date);
    const older = await audit.list({ offset: 2, limit: 2 });
    expect(older.events).to.have.length(1);
    expect(older.events[0]).to.deep.include({
      type: 'login.failed',
      userId: null,
      actorId: null,
      keyId: null,
      requestId: null,
      detail: {},
    });
  });

  it('is filtered by kind and by whom it is about', async () => {
    const page = { offset: 0, limit: 10 };
    const [ofJoe, failures, neither] = await Promise.all([
      audit.list({ userId: joe, ...page }),
      audit.list({ type: 'login.failed', ...page }),
      audit.list({ type: 'login.failed', userId: joe, ...page }),
    ]);
    expect([ofJoe.total, failures.total, neither.total]).to.deep.equal([2, 1, 0]);
    expect(failures.events.map(({ address }) => address)).to.deep.equal(['192.0.2.1']);
  });

  it('belongs to the transaction of what it tells of', async () => {
    const undone = knex.transaction(async (trx) => {
      await recordEvent(trx, { type: 'account.deleted', userId: joe, by });
      throw new Error('undo');
    });
    await undone.catch(() => undefined);
    expect((await audit.list({ type: 'account.deleted', offset: 0, limit: 1 })).total).to.equal(0);
  });

  const attempts: [string, string][] = [
    ['update', "update audit_events set address = 'elsewhere'"],
    ['delete', 'delete from audit_events'],
    ['delete with a condition', "delete from audit_events where type = 'login.failed'"],
    ['truncate', 'truncate audit_events'],
    [
      'upsert',
      `insert into audit_events (id, type) select id, 'forged' from audit_events
        on conflict (id) do update set type = excluded.type`,
    ],
  ];
  for (const [what, sql] of attempts) {
    it(`refuses ${what}, even by the owner of the table`, async () => {
      const before = await knex('audit_events').orderBy('id');
      const [owner] = await knex('pg_tables').where({ tablename: 'audit_events' }).select('tableowner');
      const refusal = await knex.transaction(async (trx) => {
        await trx.raw('set local role ??', [owner.tableowner]);
        return await trx.raw(sql).then(
          () => 'it was done',
          (error: unknown) => String(error),
        );
      });
      expect(refusal).to.include('audit events are final');
      expect(await knex('audit_events').orderBy('id')).to.deep.equal(before);
    });
  }

  it('lets go of what is older than a year', async () => {
    const at = (days: number): Date => new Date(Date.now() - days * 86_400_000);
    const [old, young] = [uuidv7(), uuidv7()];
    await knex('audit_events').insert([
      { id: old, type: 'login.failed', at: at(367) },
      { id: young, type: 'login.failed', at: at(364) },
    ]);
    expect(await knex('audit_events').where({ id: old }).delete()).to.equal(1);
    const refusal = await knex('audit_events')
      .where({ id: young })
      .delete()
      .catch((error: unknown) => String(error));
    expect(refusal).to.include('audit events are final');
  });
});
