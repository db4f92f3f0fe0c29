/** What the readiness of a process says of stores that answer and cannot serve. */
import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import pg from 'pg';
import { openDatabase } from '../../db/connection.ts';
import { asUnavailable } from '../../db/outage.ts';
import { databaseTrouble } from '../../db/schema.ts';
import { freePort } from '../../embedded/free-port.ts';
import {
  findOrProvisionRedisBinary,
  redisEnvironment,
  sharedRedisFolder,
} from '../../embedded/redis-binary.ts';
import { toProblem } from '../../src/platform/http/problem.ts';
import { silentLogger } from '../../src/platform/observability/logger.ts';
import { closeRedis, openRedis } from '../../src/platform/redis/connections.ts';
import { createRedisKeys } from '../../src/platform/redis/keys.ts';
import { redisTrouble, refusedCommands } from '../../src/platform/redis/rights.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';
import { waitFor } from '../support/wait-for.ts';

describe('Postgres that answers and cannot serve', () => {
  let database: TestDatabase;
  let admin: pg.Client;
  let knex: ReturnType<typeof openDatabase>;
  let name: string;

  beforeEach(async () => {
    database = await createTestDatabase();
    name = new URL(database.url).pathname.slice(1);
    admin = new pg.Client({ connectionString: (await services()).databaseUrl });
    await admin.connect();
    knex = openDatabase({ database: { connectionString: database.url, ssl: false }, poolSize: 3 });
  });
  afterEach(async () => {
    await knex.destroy();
    await admin.end();
    await database.drop();
  });

  const write = (): Promise<unknown> =>
    knex
      .raw("insert into schema_migrations (name) values ('a test')")
      .then(() => undefined)
      .catch((error: unknown) => error);

  it('is in order with the schema of this version', async () => {
    expect(await databaseTrouble(knex)).to.equal(undefined);
  });

  it('lacks the schema, or a part of it', async () => {
    await knex.raw('delete from schema_migrations where id = (select max(id) from schema_migrations)');
    expect(await databaseTrouble(knex)).to.match(
      /^the schema lacks 1 of \d+ migrations: run `npm run migrate`$/,
    );
    await knex.raw('drop table schema_migrations');
    expect(await databaseTrouble(knex)).to.equal('the schema is missing: run `npm run migrate`');
  });

  it('takes no changes; connections from that time are not used any more when it does again', async () => {
    await admin.query(`alter database ${name} set default_transaction_read_only = on`);
    expect(await databaseTrouble(knex)).to.equal('is read-only: it is configured so');
    const error = await write();
    expect(toProblem(error)).to.deep.include({
      status: 503,
      code: 'database_read_only',
      retryAfterSeconds: 5,
    });
    // The failover: connections that are open lead to the server that takes no changes, new ones do not.
    await admin.query(`alter database ${name} reset default_transaction_read_only`);
    await waitFor(async () => (await write()) === undefined, { what: 'a change', timeoutMs: 15_000 });
    expect(await databaseTrouble(knex)).to.equal(undefined);
  });

  it('dies inside a transaction: every way in which that shows means that it is away', async () => {
    for (const atCommit of [false, true]) {
      const error: unknown = await knex
        .transaction(async (trx) => {
          const { rows } = await trx.raw<{ rows: { pid: number }[] }>('select pg_backend_pid() as pid');
          await admin.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
          await waitFor(
            async () =>
              (await admin.query('select 1 from pg_stat_activity where pid = $1', [rows[0]?.pid]))
                .rowCount === 0,
            { what: 'the end of the connection' },
          );
          await new Promise((resolve) => setImmediate(resolve));
          if (!atCommit) await trx.raw('select 1');
        })
        .catch((reason: unknown) => reason);
      expect(toProblem(error), String(error)).to.deep.include({ status: 503, code: 'database_unavailable' });
    }
  });

  it('is not blamed for what it has refused', () => {
    const refused = Object.assign(new Error('duplicate key'), { code: '23505' });
    expect(asUnavailable(refused)).to.equal(refused);
    expect(toProblem(refused).status).to.equal(500);
  });
});

describe('Redis that answers and cannot serve', () => {
  const log = silentLogger();
  const prefix = uniquePrefix();
  const keys = createRedisKeys(prefix);
  const open: Redis[] = [];
  let own: ChildProcess | undefined;
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pricepool-redis-'));
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map(closeRedis));
    if (own !== undefined) {
      own.kill('SIGKILL');
      await once(own, 'exit');
      own = undefined;
    }
    await rm(folder, { recursive: true });
  });

  async function connect(url: string): Promise<Redis> {
    const redis = openRedis({ url, role: 'command', name: 'test', log });
    open.push(redis);
    await waitFor(() => redis.status === 'ready', { what: 'Redis' });
    return redis;
  }

  async function connectToOwn(...options: string[]): Promise<Redis> {
    const binary = await findOrProvisionRedisBinary({ log, folders: [sharedRedisFolder, folder] });
    const port = await freePort();
    own = spawn(binary.command, ['--port', String(port), '--save', '', '--dir', folder, ...options], {
      env: redisEnvironment(binary.libraryPath),
      stdio: 'ignore',
    });
    return await connect(`redis://127.0.0.1:${port}`);
  }

  it('is in order where nothing is refused', async () => {
    const redis = await connect((await services()).redisUrl);
    expect(await redisTrouble(redis, keys)).to.deep.equal({});
  });

  it('refuses commands, keys or channels to the user, and takes the rule that is documented', async () => {
    const { redisUrl } = await services();
    const admin = await connect(redisUrl);
    const user = `user-${prefix}`;
    const refusedTo = async (...rules: string[]): Promise<readonly string[]> => {
      await admin.call('ACL', 'SETUSER', user, 'reset', 'on', '>secret', ...rules);
      const url = new URL(redisUrl);
      url.username = user;
      url.password = 'secret';
      const redis = await connect(url.href);
      const refused = await refusedCommands(redis, prefix);
      const { reason } = await redisTrouble(redis, keys);
      expect(reason === undefined, reason).to.equal(refused.length === 0);
      await closeRedis(redis);
      return refused;
    };
    try {
      expect(await refusedTo('~*', '&*', '+@all', '-info')).to.deep.equal(['INFO']);
      expect(await refusedTo('~other:*', '&*', '+@all')).to.include.members([
        'GET',
        'SET',
        'XREAD',
        'BZPOPMIN',
      ]);
      expect(await refusedTo('~*', '&other:*', '+@all')).to.deep.equal(['PUBLISH', 'SUBSCRIBE']);
      expect(await refusedTo('~*', '&*', '+@all', '-eval', '-evalsha')).to.deep.equal(['EVAL', 'EVALSHA']);
      const rule = '+@read +@write +@pubsub +@scripting +@connection +@transaction +@blocking +info +time';
      expect(await refusedTo(`~${prefix}:*`, `&${prefix}:*`, ...rule.split(' '))).to.deep.equal([]);
    } finally {
      await admin.call('ACL', 'DELUSER', user);
    }
  });

  it('is a Cluster', async () => {
    const redis = await connectToOwn('--cluster-enabled', 'yes');
    expect(await redisTrouble(redis, keys)).to.deep.equal({
      reason: 'is a Redis Cluster, which is not supported',
    });
  });

  it('is a replica', async () => {
    const redis = await connectToOwn();
    await redis.replicaof('127.0.0.1', 1);
    const reason = async (): Promise<string | undefined> => (await redisTrouble(redis, keys)).reason;
    await waitFor(async () => (await reason()) === 'is read-only: it is a replica', {
      what: 'the reason',
    });
  });

  it('is full: what is there is served all the same', async () => {
    const redis = await connectToOwn('--maxmemory', '1mb', '--maxmemory-policy', 'noeviction');
    await redis.config('SET', 'maxmemory', '1');
    expect(await redisTrouble(redis, keys)).to.deep.equal({ remark: 'is full' });
  });
});
