import type { Knex } from 'knex';
import { pathToFileURL } from 'node:url';
import { loadEnvironmentFile } from '../src/platform/config/env-file.ts';
import { usableDatabase } from '../src/platform/config/embedded-urls.ts';
import { loadConfig } from '../src/platform/config/load-config.ts';
import { messageOf } from '../src/domain/errors.ts';
import { checkConnection, openDatabase } from './connection.ts';
import { migrationsTable, migrationSource } from './schema.ts';

/** Brings the schema up to date. Safe to run from several processes at once: knex takes a lock. */
export async function migrate(knex: Knex): Promise<readonly string[]> {
  const [, applied] = (await knex.migrate.latest({
    migrationSource,
    tableName: migrationsTable,
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
