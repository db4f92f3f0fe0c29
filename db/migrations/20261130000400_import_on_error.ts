import type { Knex } from 'knex';

const words = [
  ['keep_good', 'skip'],
  ['nothing', 'abort'],
] as const;

/** What an import does with bad rows has the words of its field in the API: bad rows are skipped, or the import is aborted. */
export async function up(knex: Knex): Promise<void> {
  for (const [before, after] of words)
    await knex('imports').where({ on_error: before }).update({ on_error: after });
}

/** The words of before. */
export async function down(knex: Knex): Promise<void> {
  for (const [before, after] of words)
    await knex('imports').where({ on_error: after }).update({ on_error: before });
}
