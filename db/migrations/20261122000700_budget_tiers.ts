import type { Knex } from 'knex';

/** Limits of our keys, as providers report them. */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.createTable('budget_tiers', (table) => {
    table.text('budget_key').primary();
    table.timestamp('told_at').notNullable().defaultTo(knex.raw('clock_timestamp()'));
    table.integer('calls_per_minute');
    table.bigInteger('credits_per_month');
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTable('budget_tiers');
}
