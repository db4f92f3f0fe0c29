import { expect } from 'chai';
import { Redis } from 'ioredis';
import pg from 'pg';
import { createTestDatabase } from '../support/database.ts';
import { flushPrefix, uniquePrefix } from '../support/redis.ts';
import { services } from '../support/services.ts';

async function query(url: string, statement: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
}

describe('the servers of the tests', () => {
  it('give each caller a copy of one prepared database', async () => {
    let prepared = 0;
    const prepare = async (url: string): Promise<void> => {
      prepared += 1;
      await query(url, 'CREATE TABLE mark (id int)');
    };
    const [first, second] = await Promise.all([createTestDatabase(prepare), createTestDatabase(prepare)]);
    await query(first.url, 'INSERT INTO mark VALUES (1)');
    expect(await query(first.url, 'SELECT * FROM mark')).to.deep.equal([{ id: 1 }]);
    expect(await query(second.url, 'SELECT * FROM mark')).to.deep.equal([]);
    expect(prepared).to.equal(1);
    await Promise.all([first.drop(), second.drop()]);
    const { databaseUrl } = await services();
    const name = new URL(first.url).pathname.slice(1);
    const left = await query(databaseUrl, `SELECT 1 FROM pg_database WHERE datname = '${name}'`);
    expect(left).to.deep.equal([]);
  });

  it('delete the keys of one prefix and no other', async () => {
    const redis = new Redis((await services()).redisUrl);
    const [mine, other] = [uniquePrefix(), uniquePrefix()];
    await redis.mset(`${mine}:a`, '1', `${mine}:b`, '1', `${other}:a`, '1');
    await flushPrefix(redis, mine);
    expect(await redis.exists(`${mine}:a`, `${mine}:b`)).to.equal(0);
    expect(await redis.exists(`${other}:a`)).to.equal(1);
    await flushPrefix(redis, other);
    redis.disconnect();
  });
});
