import type { Knex } from 'knex';
import { readdir } from 'node:fs/promises';

const directory = new URL('./migrations/', import.meta.url);
/** Where applied migrations are recorded. */
export const migrationsTable = 'schema_migrations';

/**
 * The migrations in the folder of this file. Each is recorded by the name of its source file, whether source or build
 * runs it, so that a database can be used by either.
 */
export const migrationSource: Knex.MigrationSource<string> = {
  async getMigrations() {
    const files = await readdir(directory);
    return files.filter((file) => /^\d+_\w+\.[jt]s$/.test(file)).sort();
  },
  getMigrationName: (file) => file.replace(/\.js$/, '.ts'),
  getMigration: (file) => import(new URL(file, directory).href) as Promise<Knex.Migration>,
};

interface State {
  readonly read_only: string;
  readonly is_replica: boolean;
  readonly applied: readonly string[] | null;
}

/** SQLSTATE codes that an operator can do something about. */
const reasons: readonly (readonly [RegExp, string])[] = [
  [/^28/, 'refuses the login'],
  [/^3D000$/, 'the database does not exist'],
  [/^42P01$/, 'the schema is missing: run `npm run migrate`'],
  [/^42501$/, 'the user may not read the schema'],
  [/^53300$/, 'has too many connections'],
  [/^57P03$/, 'is starting up or cannot be connected to'],
];

/**
 * Why Postgres cannot serve though it may answer, in words that anybody may read; undefined when it can.
 * @throws the error of the query unless {@link reasons} names its code; a refused connection, for example.
 */
export async function databaseTrouble(knex: Knex): Promise<string | undefined> {
  try {
    const { rows } = await knex.raw<{ rows: State[] }>(
      `select current_setting('transaction_read_only') as read_only, pg_is_in_recovery() as is_replica,
              (select array_agg(name) from ${migrationsTable}) as applied`,
    );
    const [state] = rows;
    if (state === undefined || state.is_replica) return 'is read-only: it is a replica';
    if (state.read_only === 'on') return 'is read-only: it is configured so';
    const files = await migrationSource.getMigrations([]);
    const missing = files
      .map((file) => migrationSource.getMigrationName(file))
      .filter((name) => state.applied?.includes(name) !== true);
    return missing.length === 0
      ? undefined
      : `the schema lacks ${missing.length} of ${files.length} migrations: run \`npm run migrate\``;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const [, reason] = reasons.find(([codes]) => codes.test(code)) ?? [];
    if (reason === undefined) throw error;
    return reason;
  }
}
