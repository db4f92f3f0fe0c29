import type { Knex } from 'knex';
import { readdir } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { loadEnvironmentFile } from '../src/platform/config/env-file.ts';
import { usableDatabase } from '../src/platform/config/embedded-urls.ts';
import { loadConfig } from '../src/platform/config/load-config.ts';
import { messageOf } from '../src/domain/errors.ts';
import { checkConnection, openDatabase } from './connection.ts';

const directory = new URL('./migrations/', import.meta.url);

/**
 * The files beside this one. A migration is recorded by the name of its source, whether source or build runs it, so that a
 * database can go from one to the other.
 */
const source: Knex.MigrationSource<string> = {
  async getMigrations() {
    const files = await readdir(directory);
    return files.filter((file) => /^\d+_\w+\.[jt]s$/.test(file)).sort();
  },
  getMigrationName: (file) => file.replace(/\.js$/, '.ts'),
  getMigration: (file) => import(new URL(file, directory).href) as Promise<Knex.Migration>,
};

/** Brings the schema up to date. Safe to run from several processes at once: knex takes a lock. */
export async function migrate(knex: Knex): Promise<readonly string[]> {
  const [, applied] = (await knex.migrate.latest({
    migrationSource: source,
    tableName: 'schema_migrations',
  })) as [number, string[]];
  return applied;
}

async function main(): Promise<void> {
  loadEnvironmentFile();
  const { database, hint } = usableDatabase(loadConfig());
  const knex = openDatabase({ database, poolSize: 2 });
  try {
    await checkConnection(knex, { database, hint });
    const applied = await migrate(knex);
    process.stdout.write(
      applied.length === 0 ? 'The schema is up to date\n' : `Applied ${applied.join(', ')}\n`,
    );
  } finally {
    await knex.destroy();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await main().catch((error: unknown) => {
    process.stderr.write(`Cannot migrate: ${messageOf(error)}\n`);
    process.exitCode = 1;
  });
}
