import type { Knex } from 'knex';

/**
 * Sums of the ledger of upstream calls by hour, so that a lost budget is rebuilt from some hundreds of rows however large the month.
 * An hour is summed some minutes after its end; `upstream_sums_to` says until when that is done, and what is younger is read row
 * by row. Nothing is summed here: that may take minutes, and workers do it.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.createTable('upstream_sums', (table) => {
    table.text('budget_key').notNullable();
    /** Start of the hour in which calls were granted; for calls made by others, in which they were counted. */
    table.timestamp('hour').notNullable();
    /** Empty for calls whose end is not known. */
    table.text('outcome').notNullable();
    table.bigInteger('credits').notNullable();
    table.primary(['budget_key', 'hour', 'outcome']);
  });
  await knex.raw('create index upstream_sums_by_age on upstream_sums (hour)');
  await knex.schema.createTable('upstream_sums_to', (table) => {
    table.boolean('only').primary().defaultTo(true).checkIn(['true'], 'upstream_sums_to_one_row');
    table.timestamp('summed_to').notNullable();
  });
}

/** Drops them. */
export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTable('upstream_sums_to');
  await knex.schema.dropTable('upstream_sums');
}
