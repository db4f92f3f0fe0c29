/** A database of one's own for each test file: a copy of a template that was prepared once per run. */
import { randomBytes } from 'node:crypto';
import knexFactory from 'knex';
import pg from 'pg';
import { migrate } from '../../db/migrate.ts';
import { services } from './services.ts';

export interface TestDatabase {
  readonly url: string;
  /** Deletes it, cutting off whoever is still connected. */
  drop(): Promise<void>;
}

/** Brings an empty database to the state that tests expect, usually by running the migrations. */
export type Prepare = (url: string) => Promise<void>;

const templates = new Map<Prepare, Promise<string>>();

/** Brings an empty database to the schema of the product, without rows. */
export async function migrateDatabase(url: string): Promise<void> {
  const knex = knexFactory({ client: 'pg', connection: url, pool: { min: 0, max: 1 } });
  try {
    await migrate(knex);
  } finally {
    await knex.destroy();
  }
}

/**
 * A fresh database that `prepare` has prepared, by default with the migrated schema. Each `prepare` function runs once per test run, however many copies are
 * made of its result; it must close its connections before it resolves.
 */
export async function createTestDatabase(prepare: Prepare = migrateDatabase): Promise<TestDatabase> {
  const { databaseUrl } = await services();
  const template = await templateOf(prepare, databaseUrl);
  const name = randomName();
  await executeOn(databaseUrl, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  return {
    url: withDatabase(databaseUrl, name),
    drop: () => executeOn(databaseUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

async function templateOf(prepare: Prepare, databaseUrl: string): Promise<string> {
  let template = templates.get(prepare);
  if (template === undefined) {
    template = makeTemplate(prepare, databaseUrl);
    templates.set(prepare, template);
  }
  return template;
}

async function makeTemplate(prepare: Prepare, databaseUrl: string): Promise<string> {
  const name = randomName();
  await executeOn(databaseUrl, `CREATE DATABASE ${name}`);
  await prepare(withDatabase(databaseUrl, name));
  return name;
}

function randomName(): string {
  return `test_${randomBytes(8).toString('hex')}`;
}

function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}

/** Runs one statement on a connection of its own. */
export async function executeOn(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
