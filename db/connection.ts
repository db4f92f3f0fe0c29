import knexFactory, { type Knex } from 'knex';
import { Model } from 'objection';
import pg from 'pg';
import type { DatabaseConfig } from '../src/config/load-config.ts';

interface ConnectionOptions {
  readonly database: DatabaseConfig;
  readonly poolSize: number;
}

/** int8 counts fit a double here; strings would surprise every caller. */
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

/**
 * Opens a pool of Postgres connections and binds the models to it. Connects lazily, so a process starts while Postgres is
 * down; every acquire and every statement has a deadline, so that a query fails rather than hangs.
 */
export function openDatabase({ database, poolSize }: ConnectionOptions): Knex {
  const knex = knexFactory({
    client: 'pg',
    connection: {
      ...database,
      connectionTimeoutMillis: 2_000,
      query_timeout: 10_000,
      statement_timeout: 10_000,
      keepAlive: true,
      application_name: 'pricepool',
    },
    pool: { min: 0, max: poolSize, acquireTimeoutMillis: 2_000, idleTimeoutMillis: 30_000 },
    acquireConnectionTimeout: 2_500,
  });
  Model.knex(knex);
  return knex;
}
