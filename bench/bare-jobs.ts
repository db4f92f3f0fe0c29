/**
 * A bare job service, for comparison: Koa, one row inserted, one BullMQ job added that does nothing. With `ROLE=worker` it
 * is the one worker. `POST /jobs` answers 202; with `Prefer: wait` it answers when BullMQ's events say that the job is done.
 */
import Router from '@koa/router';
import { Queue, QueueEvents, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import Koa from 'koa';
import { koaBody } from 'koa-body';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';

const {
  DATABASE_URL = '',
  REDIS_URL = '',
  REDIS_KEY_PREFIX = '',
  BARE_USER = '',
  PORT = '0',
  ROLE = 'api',
} = process.env;
const connect = (): Redis => new Redis(REDIS_URL, { maxRetriesPerRequest: null });
const queueName = 'bare';
const options = { connection: connect(), prefix: REDIS_KEY_PREFIX };

const insertSql = `insert into jobs (id, user_id, name, work_key, data, total) values ($1, $2, $3, $4, $5, $6) returning *`;

async function serve(): Promise<void> {
  const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 10 });
  const queue = new Queue(queueName, options);
  const events = new QueueEvents(queueName, { ...options, connection: connect() });
  await events.waitUntilReady();
  const router = new Router();
  router.post('/jobs', async (ctx) => {
    const submission = ctx.request.body as { coins: string[] };
    const id = uuidv7();
    await pool.query(insertSql, [
      id,
      BARE_USER,
      'bare',
      id,
      JSON.stringify(submission),
      submission.coins.length,
    ]);
    const job = await queue.add(
      'bare',
      { id, coins: submission.coins },
      { removeOnComplete: { age: 600, count: 100_000 } },
    );
    if (ctx.get('prefer') !== '') await job.waitUntilFinished(events, 60_000);
    ctx.status = ctx.get('prefer') === '' ? 202 : 200;
    ctx.body = { id };
  });
  const app = new Koa();
  app.use(koaBody());
  app.use(router.routes());
  app.listen({ host: '127.0.0.1', port: Number(PORT) }, () => process.send?.('ready'));
}

async function work(): Promise<void> {
  const worker = new Worker(queueName, () => Promise.resolve(null), { ...options, concurrency: 200 });
  await worker.waitUntilReady();
  process.send?.('ready');
}

process.on('SIGTERM', () => process.exit(0));
await (ROLE === 'api' ? serve() : work());
