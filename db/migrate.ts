import type { Knex } from 'knex';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { loadConfig } from '../src/config/load-config.ts';
import { openDatabase } from './connection.ts';

const directory = fileURLToPath(new URL('./migrations', import.meta.url));

/** Brings the schema up to date. Safe to run from several processes at once: knex takes a lock. */
export async function migrate(knex: Knex): Promise<readonly string[]> {
  const [, applied] = (await knex.migrate.latest({
    directory,
    loadExtensions: ['.ts', '.js'],
    tableName: 'schema_migrations',
  })) as [number, string[]];
  return applied;
}

async function main(): Promise<void> {
  const { database } = loadConfig();
  if (database === undefined) throw new Error('DATABASE_URL (or DB_HOST) is required to migrate');
  const knex = openDatabase({ database, poolSize: 2 });
  try {
    const applied = await migrate(knex);
    process.stdout.write(applied.length === 0 ? 'The schema is up to date\n' : `Applied ${applied.join(', ')}\n`);
  } finally {
    await knex.destroy();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
