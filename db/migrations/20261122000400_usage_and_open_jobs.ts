import type { Knex } from 'knex';

/** Indexes for one user's usage, and for the number of one user's unfinished jobs. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw('create index usage_of_user on usage_daily (user_id, day)');
  await knex.raw(`create index jobs_open_of_user on jobs (user_id) where state in ('queued', 'running')`);
}

/** Drops them. */
export async function down(knex: Knex): Promise<void> {
  await knex.raw('drop index jobs_open_of_user');
  await knex.raw('drop index usage_of_user');
}
