/** Postgres behind PgBouncer in transaction mode with its defaults: sessions belong to nobody, and nothing may rely on one. */
import { expect } from 'chai';
import type { Knex } from 'knex';
import pg from 'pg';
import { openDatabase } from '../../../db/connection.ts';
import { migrate } from '../../../db/migrate.ts';
import { databaseTrouble } from '../../../db/schema.ts';
import { newUser } from '../../support/api-client.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { hasPgBouncer, startPgBouncer, type PgBouncer } from '../../support/pgbouncer.ts';
import { services } from '../../support/services.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

/** Fewer than the connections of one process, so that transactions of all processes take turns on them. */
const fewSessions = ['default_pool_size = 4'];
const said = 'Postgres takes no session limits from us';

describe('Postgres behind PgBouncer in transaction mode', function () {
  this.timeout(240_000);
  const opened: Knex[] = [];
  const bouncers: PgBouncer[] = [];

  before(function () {
    // Without Debian's pgbouncer there is nothing to test against.
    if (!hasPgBouncer()) this.skip();
  });
  after(async () => {
    for (const bouncer of bouncers) await bouncer.stop();
  });
  afterEach(async () => {
    for (const knex of opened.splice(0)) await knex.destroy();
  });

  async function bouncer(settings: readonly string[] = fewSessions): Promise<PgBouncer> {
    const started = await startPgBouncer((await services()).databaseUrl, settings);
    bouncers.push(started);
    return started;
  }

  function open(connectionString: string): Knex {
    const knex = openDatabase({ database: { connectionString, ssl: false }, poolSize: 4 });
    opened.push(knex);
    return knex;
  }

  const limitOf = async (knex: Knex): Promise<string> => {
    const { rows } = await knex.raw<{ rows: [{ statement_timeout: string }] }>('show statement_timeout');
    return rows[0].statement_timeout;
  };

  describe('a whole deployment', () => {
    let stack: Stack;
    let empty: TestDatabase;

    before(async () => {
      stack = await startStack({ apis: 0, workers: 0, environment: { UPSTREAM_CALLS_PER_MINUTE: '600' } });
      empty = await createTestDatabase(() => Promise.resolve());
    });
    after(async () => {
      await stack.stop();
      await empty.drop();
    });

    it('migrates, also from two places at once', async () => {
      const url = (await bouncer()).through(empty.url);
      const applied = await Promise.allSettled([migrate(open(url)), migrate(open(url))]);
      // Whoever finds the lock taken says so and has done nothing.
      expect(applied.filter(({ status }) => status === 'fulfilled')).to.not.have.length(0);
      expect(await databaseTrouble(open(url))).to.equal(undefined);
    });

    it('is ready, says at its start which limits are not taken, and serves jobs, books, imports and alerts', async () => {
      const DATABASE_URL = (await bouncer()).through(stack.databaseUrl);
      const api = await stack.startApi({ DATABASE_URL });
      const worker = await stack.startWorker({ DATABASE_URL });
      const user = await newUser(api.url);
      expect((await user.call('GET', '/health/ready')).status).to.equal(200);
      for (const started of [api, worker])
        await waitFor(async () => (await started.log()).includes(said), { what: 'a word of it' });
      expect(await api.log()).to.include(
        '"missing":["statement_timeout","idle_in_transaction_session_timeout"]',
      );

      const alert = await user.call('POST', '/alerts', {
        body: {
          kind: 'price',
          coin: 'bitcoin',
          direction: 'below',
          threshold: '99999999',
          fire_if_true: true,
        },
      });
      const { body: made } = await user.call('POST', '/portfolios', { body: { name: 'books' } });
      const path = `/portfolios/${made?.data.id as string}`;
      const purchase = {
        type: 'buy',
        executed_at: '2024-01-01T12:00:00Z',
        received: { asset: 'bitcoin', quantity: '1' },
        value: '100',
      };
      // Many at once, on fewer sessions.
      const answers = await Promise.all(
        Array.from({ length: 40 }, (_, index) =>
          index % 2 === 0
            ? user.call('POST', `${path}/transactions`, { body: purchase })
            : user.call('POST', '/crypto/bulk', {
                body: { coins: [`sim-${String(index).padStart(5, '0')}`] },
              }),
        ),
      );
      expect(new Set(answers.map(({ status }) => status))).to.deep.equal(new Set([201, 202]));
      for (const { status, body } of answers)
        if (status === 202)
          expect(await user.jobEnd(body?.data.id as string)).to.include({ state: 'completed' });

      const report = new FormData();
      report.set('symbols', '{"ETH":"ethereum"}');
      report.set('file', new Blob([coinbaseReport(500)], { type: 'text/csv' }), 'report.csv');
      const upload = await fetch(`${api.url}/api/v1${path}/import`, {
        method: 'POST',
        headers: { authorization: `Bearer ${user.token}` },
        body: report,
      });
      const { data: job } = (await upload.json()) as { data: { id: string } };
      expect((await user.jobEnd(job.id)).result).to.include({ added: 500, problem_count: 0 });
      const { body: shown } = await user.call('GET', `${path}/positions`);
      expect(
        shown?.data.positions.map(({ asset, quantity }: Record<string, string>) => [asset, quantity]),
      ).to.have.deep.members([
        ['bitcoin', '20'],
        ['ethereum', '500'],
      ]);
      await waitFor(
        async () =>
          (await user.call('GET', `/alerts/${alert.body?.data.id as string}`)).body?.data.state === 'fired',
        { what: 'the alert to fire' },
      );
    });
  });

  describe('the limits of a session', () => {
    let database: TestDatabase;
    before(async () => {
      database = await createTestDatabase();
    });
    after(() => database.drop());

    for (const [what, settings] of Object.entries({
      'that PgBouncer refuses': [],
      'that it is set up to ignore': [
        'ignore_startup_parameters = statement_timeout,idle_in_transaction_session_timeout',
      ],
    }))
      it(`${what} are set in every transaction, and for nobody else`, async () => {
        const knex = open((await bouncer(['default_pool_size = 1', ...settings])).through(database.url));
        expect(await limitOf(knex)).to.equal('0');
        await knex.transaction(async (trx) => {
          expect(await limitOf(trx)).to.equal('10s');
          const { rows } = await trx.raw<{ rows: [{ idle_in_transaction_session_timeout: string }] }>(
            'show idle_in_transaction_session_timeout',
          );
          expect(rows[0].idle_in_transaction_session_timeout).to.equal('2min');
        });
        // The one session there is has gone back without them.
        expect(await limitOf(knex)).to.equal('0');
        const isolated = knex.transaction(limitOf, { isolationLevel: 'repeatable read' });
        expect(await isolated).to.equal('10s');
      });

    it('are those of the role where it has them', async () => {
      const { pathname, username } = new URL(database.url);
      const client = new pg.Client({ connectionString: database.url });
      await client.connect();
      const role = `alter role ${username} in database ${pathname.slice(1)}`;
      for (const setting of ['statement_timeout = 7000', 'idle_in_transaction_session_timeout = 70000'])
        await client.query(`${role} set ${setting}`);
      await client.end();
      const knex = open((await bouncer()).through(database.url));
      expect(await limitOf(knex)).to.equal('7s');
      expect(await knex.transaction(limitOf)).to.equal('7s');
    });
  });
});

/** Deposits of ether, a second apart. */
function coinbaseReport(rows: number): string {
  const lines = [
    'Timestamp,Transaction Type,Asset,Quantity Transacted,USD Spot Price at Transaction,USD Subtotal,USD Total (inclusive of fees),USD Fees,Notes',
  ];
  for (let row = 0; row < rows; row += 1)
    lines.push(
      `${new Date(Date.UTC(2021, 0, 1) + row * 1_000).toISOString()},Receive,ETH,1,1000,1000,1000,0,`,
    );
  return `${lines.join('\n')}\n`;
}
