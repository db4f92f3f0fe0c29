import knexFactory, { type Knex } from 'knex';
import { Model } from 'objection';
import pg from 'pg';
import type { DatabaseConfig } from '../src/platform/config/load-config.ts';
import { messageOf } from '../src/domain/errors.ts';
import type { Logger } from '../src/platform/observability/logger.ts';
import { toleratePooler, type SessionLimits } from './pooler.ts';
import { watchConnections } from './watch-connections.ts';

/** int8 counts fit a double here; strings would surprise every caller. */
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

/** By default knex prints a stack trace to the console for each failed acquire; the caller gets the same error anyway. */
const ignore = (): void => undefined;
const silent = { debug: ignore, warn: ignore, error: ignore, deprecate: ignore };

const limits: SessionLimits = {
  // Postgres ends a slow statement first: then the connection is as good as before.
  statement_timeout: 10_000,
  // What a silent client has locked is free again; long replays and slow readers of exports pause for less.
  idle_in_transaction_session_timeout: 120_000,
};

/**
 * Opens a pool of Postgres connections and binds the models to it. Connects lazily, so a process starts while Postgres is
 * down; every acquire and every statement has a deadline, so that a query fails rather than hangs. `log` receives a
 * warning when a pooler in between does not accept the limits.
 */
export function openDatabase({
  database,
  poolSize,
  log,
}: {
  readonly database: DatabaseConfig;
  readonly poolSize: number;
  readonly log?: Logger;
}): Knex {
  const knex = knexFactory({
    client: 'pg',
    connection: {
      ...database,
      connectionTimeoutMillis: 2_000,
      ...limits,
      query_timeout: 11_000,
      keepAlive: true,
      application_name: 'pricepool',
    },
    pool: {
      min: 0,
      max: poolSize,
      acquireTimeoutMillis: 2_000,
      idleTimeoutMillis: 30_000,
      ...watchConnections(),
    },
    acquireConnectionTimeout: 2_500,
    log: silent,
    // Else the message of a failed statement holds its values, hashes and addresses among them, and ends in a log.
    compileSqlOnError: false,
  });
  toleratePooler(knex, {
    limits,
    onMissing: (names) =>
      log?.warn(
        { missing: names, remedy: names.map((name) => `alter role … set ${name} = ${limits[name]}`) },
        'Postgres did not accept our time limits for sessions (a pooler such as PgBouncer is in between): statements outside ' +
          'transactions may run without a limit; run the statements in `remedy` once for the database role',
      ),
  });
  Model.knex(knex);
  return knex;
}

/**
 * Tries one statement.
 * @param target the database, and what to add to the message.
 * @throws {Error} that says in one line where Postgres should be and why it does not answer, without user and password.
 */
export async function checkConnection(
  knex: Knex,
  { database, hint = '' }: { readonly database: DatabaseConfig; readonly hint?: string },
): Promise<void> {
  try {
    await knex.raw('select 1');
  } catch (error) {
    throw new Error(`Postgres at ${placeOf(database)} cannot be used: ${reasonOf(error)}${hint}`, {
      cause: error,
    });
  }
}

function placeOf({ connectionString, host, port, database }: DatabaseConfig): string {
  if (connectionString === undefined) return `${host ?? ''}:${port ?? 5432}/${database ?? ''}`;
  const url = new URL(connectionString);
  return `${url.hostname}:${url.port === '' ? 5432 : url.port}${url.pathname}`;
}

/** A host with several addresses fails with one error for each, and no message of its own. */
function reasonOf(error: unknown): string {
  const first: unknown = error instanceof AggregateError ? (error.errors[0] ?? error) : error;
  return messageOf(first).split('\n', 1)[0] ?? '';
}
