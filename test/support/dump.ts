/**
 * A deployment's Postgres and Redis as a file, and back. Nothing in here knows what the rows and keys mean.
 *
 * Times are moved when a dump is brought back, as if the deployment had been stopped a moment ago: every moment (ISO 8601
 * with time of day, or milliseconds since the epoch) from two days before the dump to 400 days after it is later by as much as
 * has passed since. What is older, such as the times of old transactions, stays. Dates stay too, and so do the tables of
 * {@link standing}, whose rows are tied to the clock. Credits are spent in a month that has a begin of its own: see
 * {@link RestoreOptions.replace}.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Redis } from 'ioredis';
import knexFactory from 'knex';
import pg from 'pg';
import { projectRoot } from '../../embedded/project-root.ts';

/** What a deployment has stored. */
export interface Dump {
  /** Milliseconds since the epoch. */
  readonly takenAt: number;
  /** Names of the migrations that had run. */
  readonly migrations: readonly string[];
  readonly tables: readonly TableDump[];
  readonly sequences: readonly (readonly [name: string, last: string, isCalled: boolean])[];
  /** Keys without the prefix, with the time (ms) they had to live; -1 for ever. */
  readonly keys: readonly (readonly [key: string, type: string, ttlMs: number, value: readonly Text[]])[];
}

interface TableDump {
  readonly name: string;
  readonly columns: readonly string[];
  /** Each as JSON of its own, in the digits of Postgres. */
  readonly rows: readonly string[];
}

/** Text, or bytes in base64 where they are none. */
type Text = string | { readonly base64: string };

/** Candles and what is known of them lie on a grid of minutes, hours and days. */
const standing = new Set(['candles', 'candle_rolls', 'history_asks']);

const dayMs = 86_400_000;
const rowsAtOnce = 500;

/** Reads all of a database and all keys of a prefix. Nobody may write meanwhile. */
export async function takeDump(databaseUrl: string, redis: Redis, prefix: string): Promise<Dump> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await client.query("set time zone 'UTC'");
    const migrations = await client.query<{ name: string }>('select name from schema_migrations order by id');
    const sequences = await client.query<{ name: string; last: string | null }>(
      "select sequencename as name, last_value as last from pg_sequences where schemaname = 'public' order by 1",
    );
    return {
      takenAt: Date.now(),
      migrations: migrations.rows.map(({ name }) => name),
      tables: await takeTables(client),
      sequences: sequences.rows.map(({ name, last }) => [name, last ?? '1', last !== null]),
      keys: await takeKeys(redis, prefix),
    };
  } finally {
    await client.end();
  }
}

async function takeTables(client: pg.Client): Promise<TableDump[]> {
  const found = await client.query<{ name: string; columns: string[] }>(
    `select c.relname as name, array_agg(a.attname::text order by a.attnum) as columns
     from pg_class c join pg_attribute a on a.attrelid = c.oid
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
       and c.relname not like 'schema_migrations%' and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
     group by 1 order by 1`,
  );
  const tables: TableDump[] = [];
  for (const { name, columns } of found.rows) {
    const { rows } = await client.query<{ row: string }>(
      `select row_to_json(t)::text as row from "${name}" t`,
    );
    tables.push({ name, columns, rows: rows.map(({ row }) => row).sort() });
  }
  return tables;
}

async function takeKeys(redis: Redis, prefix: string): Promise<Dump['keys']> {
  const found: string[] = [];
  for await (const keys of redis.scanStream({ match: `${prefix}:*`, count: 1_000 }))
    found.push(...(keys as string[]));
  const taken: Dump['keys'][number][] = [];
  for (const key of [...new Set(found)].sort()) {
    const type = await redis.type(key);
    const read = readers[type];
    if (read === undefined) continue;
    const values: unknown = await redis.callBuffer(read[0], key, ...read.slice(1));
    taken.push([key.slice(prefix.length), type, await redis.pttl(key), flat(values).map(toText)]);
  }
  return taken;
}

const readers: Readonly<Record<string, readonly [string, ...string[]]>> = {
  string: ['get'],
  hash: ['hgetall'],
  list: ['lrange', '0', '-1'],
  set: ['smembers'],
  zset: ['zrange', '0', '-1', 'withscores'],
  stream: ['xrange', '-', '+'],
};

/**
 * Values one after the other, whether the client gives lists, sets, maps or objects of them. An entry of a stream, `[id, [field,
 * value, …]]`, becomes its id and JSON of its fields.
 */
function flat(values: unknown): Buffer[] {
  if (Buffer.isBuffer(values)) return [values];
  if (typeof values !== 'object' || values === null) return [Buffer.from(String(values))];
  const isList = Array.isArray(values) || values instanceof Set;
  const list: readonly unknown[] = isList
    ? [...(values as Iterable<unknown>)]
    : values instanceof Map
      ? [...values]
      : Object.entries(values);
  return list.flatMap((value) => {
    if (!Array.isArray(value)) return flat(value);
    return value.flatMap((part: unknown) =>
      Array.isArray(part) ? [Buffer.from(JSON.stringify(part.map((each) => String(each))))] : flat(part),
    );
  });
}

function toText(bytes: Buffer): Text {
  const text = bytes.toString('utf8');
  return Buffer.from(text).equals(bytes) ? text : { base64: bytes.toString('base64') };
}

export interface RestoreOptions {
  /** Added to every moment that is moved: how long ago the dump was taken (ms). */
  readonly byMs: number;
  /** Texts that stand for others now: addresses, the begin of the month. */
  readonly replace?: readonly (readonly [from: string, to: string])[];
}

/** Brings rows back into an empty database, under the migrations of the dump. The later ones are for the caller to run. */
export async function restorePostgres(
  dump: Dump,
  databaseUrl: string,
  options: RestoreOptions,
): Promise<void> {
  const knex = knexFactory({ client: 'pg', connection: databaseUrl, pool: { min: 0, max: 1 } });
  try {
    for (const name of dump.migrations)
      await knex.migrate.up({
        name,
        directory: join(projectRoot, 'db/migrations'),
        tableName: 'schema_migrations',
      });
  } finally {
    await knex.destroy();
  }
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    // Neither foreign keys nor triggers look at what has been looked at before.
    await client.query("set session_replication_role = replica; set time zone 'UTC'");
    const move = transitions(dump, options);
    for (const table of dump.tables) {
      await client.query(`truncate "${table.name}" cascade`);
    }
    for (const { name, columns, rows } of dump.tables) {
      const list = columns.map((column) => `"${column}"`).join(', ');
      const moved = standing.has(name) ? rows : rows.map(move);
      for (let at = 0; at < moved.length; at += rowsAtOnce) {
        await client.query(
          `insert into "${name}" (${list}) overriding system value
           select ${list} from json_populate_recordset(null::"${name}", $1::json)`,
          [`[${moved.slice(at, at + rowsAtOnce).join(',')}]`],
        );
      }
    }
    for (const [name, last, isCalled] of dump.sequences)
      await client.query('select setval($1::regclass, $2, $3)', [`public."${name}"`, last, isCalled]);
  } finally {
    await client.end();
  }
}

/** Brings keys back under a prefix. */
export async function restoreRedis(
  dump: Dump,
  { redis, prefix }: { readonly redis: Redis; readonly prefix: string },
  options: RestoreOptions,
): Promise<void> {
  const moved = transitions(dump, options);
  const atItsTime = transitions(dump, { ...options, byMs: 0 });
  for (const [name, type, ttlMs, value] of dump.keys) {
    // The slots of a schedule lie on a grid of its interval: only there does BullMQ find the job that it has planned.
    const isSchedule = name.startsWith(':bull:upkeep:');
    const move = isSchedule ? atItsTime : moved;
    const toBytes = (text: Text): Buffer =>
      typeof text === 'string' ? Buffer.from(move(text)) : Buffer.from(text.base64, 'base64');
    const key = prefix + move(name);
    const bytes = value.map(toBytes);
    if (type === 'string') await redis.set(key, bytes[0] ?? '');
    if (type === 'hash') await redis.call('hset', key, ...bytes);
    if (type === 'list') await redis.rpush(key, ...bytes);
    if (type === 'set') await redis.sadd(key, ...bytes);
    if (type === 'zset')
      for (let at = 0; at < bytes.length; at += 2)
        await redis.zadd(
          key,
          isSchedule ? String(bytes[at + 1]) : movedScore(dump, options, String(bytes[at + 1])),
          bytes[at] ?? '',
        );
    if (type === 'stream')
      for (let at = 0; at < bytes.length; at += 2)
        await redis.call('xadd', key, String(bytes[at]), ...(JSON.parse(String(bytes[at + 1])) as string[]));
    if (ttlMs > 0) await redis.pexpire(key, ttlMs);
  }
}

/** Moves the moments in a text, and puts in what stands for something else now. */
function transitions({ takenAt }: Dump, { byMs, replace = [] }: RestoreOptions): (text: string) => string {
  const isRecent = (ms: number): boolean => ms > takenAt - 2 * dayMs && ms < takenAt + 400 * dayMs;
  return (text) => {
    const moved = text
      .replaceAll(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?=(\.\d+)?(Z|\+00))/g, (second) => {
        const ms = Date.parse(`${second.replace(' ', 'T')}Z`);
        if (!isRecent(ms)) return second;
        // What follows the second stays as it is: what was in order stays in order.
        return new Date(ms + byMs)
          .toISOString()
          .slice(0, 19)
          .replace('T', second[10] ?? 'T');
      })
      .replaceAll(/(?<![\w.-])\d{13}(?!\d)/g, (digits) =>
        isRecent(Number(digits)) ? String(Number(digits) + byMs) : digits,
      );
    return replace.reduce((now, [from, to]) => now.replaceAll(from, to), moved);
  };
}

/** BullMQ orders delayed jobs by 4096 times the moment, plus a number. */
const delayedFactor = 4_096;

function movedScore(dump: Dump, options: RestoreOptions, score: string): string {
  const moment = Number(score) / delayedFactor;
  if (moment > dump.takenAt - 2 * dayMs && moment < dump.takenAt + 400 * dayMs)
    return String(Number(score) + options.byMs * delayedFactor);
  return transitions(dump, options)(score);
}

/** Writes JSON, compressed so that the same value gives the same bytes. */
export async function writePacked(path: string, value: unknown): Promise<void> {
  await writeFile(path, gzipSync(JSON.stringify(value), { level: 9 }));
}

/** Reads what {@link writePacked} wrote. */
export async function readPacked<T>(path: string): Promise<T> {
  return JSON.parse(gunzipSync(await readFile(path)).toString('utf8')) as T;
}
