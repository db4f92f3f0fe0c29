import type { Knex } from 'knex';

/** Finds performance that was computed already. Of one kind of job only, so that no other pays for the index. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(
    `create index jobs_performance_by_work on jobs (work_key)
      where state = 'completed' and name = 'performance.compute'`,
  );
}

/** Drops the index. */
export async function down(knex: Knex): Promise<void> {
  await knex.raw('drop index jobs_performance_by_work');
}
