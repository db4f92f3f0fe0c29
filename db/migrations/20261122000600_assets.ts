import type { Knex } from 'knex';

/**
 * The provider's list of assets, and the state of its synchronisation. A row of `assets` is never deleted: an asset
 * that vanished from the list becomes inactive. Jobs remember which assets the symbols of their request were taken for.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.createTable('assets', (table) => {
    /** As the provider writes it, capitals included. */
    table.text('asset_id').primary();
    table.text('symbol').notNullable();
    table.text('name').notNullable();
    /** Contract addresses by platform. */
    table.jsonb('platforms').notNullable().defaultTo('{}');
    /** By market capitalisation, 1 is the largest; null where the provider gives none. */
    table.integer('rank');
    /** URL of a picture, from the provider. */
    table.text('image');
    table.boolean('active').notNullable().defaultTo(true);
    /** Place in the provider's list. */
    table.integer('position').notNullable();
    table.timestamp('first_seen').notNullable().defaultTo(knex.fn.now());
    table.timestamp('last_seen').notNullable().defaultTo(knex.fn.now());
  });
  await knex.raw('create index assets_by_rank on assets (rank) where rank is not null');
  await createListState(knex);
  await knex.schema.alterTable('jobs', (table) => {
    /** JSON text. */
    table.text('resolved');
  });
}

/** Drops them. */
export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('jobs', (table) => {
    table.dropColumn('resolved');
  });
  await knex.schema.dropTable('asset_list');
  await knex.schema.dropTable('assets');
}

/** One row. */
async function createListState(knex: Knex): Promise<void> {
  await knex.schema.createTable('asset_list', (table) => {
    table.boolean('is_only').primary().defaultTo(true).checkIn(['true'], 'asset_list_one_row');
    /** Rises with every change of `assets`, so that holders of a copy know when to reload it. */
    table.bigInteger('version').notNullable().defaultTo(0);
    table.timestamp('listed_at');
    /** When the list is to be fetched next, and attempts since the last that succeeded. */
    table.timestamp('next_at').notNullable().defaultTo(knex.fn.now());
    table.integer('failures').notNullable().defaultTo(0);
    /** Length of a list that was refused for being much too short; a second one like it is believed. */
    table.integer('suspect_count');
    /** Page of the ranking that is to be fetched next; 0 for none. */
    table.integer('next_rank_page').notNullable().defaultTo(0);
    table.timestamp('next_rank_at').notNullable().defaultTo(knex.fn.now());
    table.integer('rank_failures').notNullable().defaultTo(0);
  });
  await knex('asset_list').insert({ is_only: true });
}
