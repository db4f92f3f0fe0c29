/** An API that is ready when Postgres and Redis are, and counts in both, so that a test sees whether data survives. */
import { createServer } from 'node:http';
import { Redis } from 'ioredis';
import pg from 'pg';

const {
  DATABASE_URL: databaseUrl,
  REDIS_URL: redisUrl = '',
  PORT: port,
  COINGECKO_BASE_URL: market,
} = process.env;
if (process.env.STAND_IN === 'crash') process.exit(3);

const pool = new pg.Pool({ connectionString: databaseUrl, connectionTimeoutMillis: 1_000 });
pool.on('error', () => undefined);
const redis = new Redis(redisUrl, { maxRetriesPerRequest: 1 });
redis.on('error', () => undefined);

async function count(): Promise<object> {
  await pool.query('CREATE TABLE IF NOT EXISTS stand_in (id serial)');
  const { rows } = await pool.query<{ id: number }>('INSERT INTO stand_in DEFAULT VALUES RETURNING id');
  const answer = await fetch(`${market ?? ''}/ping`);
  return { postgres: rows[0]?.id, redis: await redis.incr('stand-in'), market: answer.status };
}

async function ready(): Promise<object> {
  await pool.query('SELECT 1');
  await redis.ping();
  return { pid: process.pid };
}

const server = createServer((request, response) => {
  const answer = request.url === '/count' ? count() : ready();
  answer.then(
    (body) => response.end(JSON.stringify(body)),
    (error: unknown) => {
      response.statusCode = 503;
      response.end(String(error));
    },
  );
});
server.listen(Number(port), '127.0.0.1');
process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
