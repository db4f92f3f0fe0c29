import type { Knex } from 'knex';

/** The ledger of upstream calls, from which the budget in Redis is rebuilt, and the pauses that providers demanded. */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.createTable('upstream_calls', (table) => {
    table.uuid('id').primary();
    table.text('budget_key').notNullable();
    table.timestamp('granted_at').notNullable().defaultTo(knex.raw('clock_timestamp()'));
    /** Latest moment in which the upstream may have counted the call. */
    table.timestamp('counted_until').notNullable();
    table.timestamp('settled_at');
    table.text('outcome');
    table.integer('credits').notNullable().defaultTo(1);
    table.index(['budget_key', 'granted_at']);
    table.index(['granted_at']);
  });
  await knex.schema.createTable('budget_blocks', (table) => {
    table.text('budget_key').primary();
    table.timestamp('blocked_until').notNullable();
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTable('budget_blocks');
  await knex.schema.dropTable('upstream_calls');
}
