import type { Knex } from 'knex';
import { orUnavailable } from '../../../../db/outage.ts';

/** Time (s) in which an operator can still restore a deleted portfolio. */
const afterlifeSeconds = 30 * 86_400;
/** Rows per statement, so that none comes near its deadline or holds locks for long. */
const biteSize = 10_000;
/** Batches per call, each one statement for every table. */
const maxBites = 20;

/**
 * Tables without a foreign key, or with so many rows that the cascade would take too long; the rest is deleted with the
 * portfolio.
 */
const tables = [
  'postings',
  'consumptions',
  'transactions',
  'transaction_changes',
  'ledger_marks',
  'positions',
];

/**
 * Deletes the contents of portfolios that were deleted long ago, or whose owners were, in batches that end in time. Returns the
 * number of rows. The next call continues.
 * @throws {UnavailableError} Postgres does not answer.
 */
export function purgePortfolios(knex: Knex): Promise<number> {
  const purge = async (): Promise<number> => {
    await knex.raw(orphansSql, [afterlifeSeconds]);
    let rows = 0;
    let id = await longGone(knex);
    for (let bites = 0; bites < maxBites && id !== undefined; bites++) {
      const eaten = await biteOff(knex, id);
      rows += eaten;
      if (eaten > 0) continue;
      rows += await knex('portfolios').where({ id }).whereNotNull('deleted_at').delete();
      id = await longGone(knex);
    }
    return rows;
  };
  return orUnavailable(purge());
}

/** Deletes a batch from each table. Returns the number of rows; 0 when nothing is left. */
async function biteOff(knex: Knex, id: string): Promise<number> {
  let eaten = 0;
  for (const table of tables) eaten += await bite(knex, table, id);
  return eaten;
}

/** Portfolios of deleted users, who can no longer log in to delete them. */
const orphansSql = `update portfolios set deleted_at = users.deleted_at from users
  where users.id = portfolios.user_id and portfolios.deleted_at is null
    and users.deleted_at < now() - ? * interval '1 second'`;

async function longGone(knex: Knex): Promise<string | undefined> {
  const { rows } = await knex.raw<{ rows: { id: string }[] }>(
    `select id from portfolios where deleted_at < now() - ? * interval '1 second' order by deleted_at, id limit 1`,
    [afterlifeSeconds],
  );
  return rows[0]?.id;
}

async function bite(knex: Knex, table: string, id: string): Promise<number> {
  const { rowCount } = await knex.raw<{ rowCount: number }>(
    'delete from ?? where ctid = any(array(select ctid from ?? where portfolio_id = ? limit ?))',
    [table, table, id, biteSize],
  );
  return rowCount;
}
