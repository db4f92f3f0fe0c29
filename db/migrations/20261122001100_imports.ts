import type { Knex } from 'knex';

/**
 * Reports that users have uploaded, in pieces until they are read, and which assets a user means by a symbol. API and workers
 * share no disk, so a file lies here between them.
 */
export async function up(knex: Knex): Promise<void> {
  await createImports(knex);
  await createChunks(knex);
  await createChoices(knex);
}

/** Drops them. */
export async function down(knex: Knex): Promise<void> {
  for (const table of ['symbol_choices', 'import_chunks', 'imports']) await knex.schema.dropTable(table);
}

const states = ['uploading', 'uploaded', 'settled'];

async function createImports(knex: Knex): Promise<void> {
  await knex.schema.createTable('imports', (table) => {
    table.uuid('id').primary();
    table.uuid('portfolio_id').notNullable().references('portfolios.id').onDelete('CASCADE');
    table.uuid('user_id').notNullable().references('users.id');
    table.text('state').notNullable().defaultTo('uploading').checkIn(states, 'imports_state_known');
    /** As asked for; what it was found to be stands in the result. */
    table.text('format');
    table.text('on_error');
    table.boolean('is_dry_run').notNullable().defaultTo(false);
    /** JSON texts. */
    table.text('mapping');
    table.text('symbols');
    table.text('file_name');
    table.text('encoding');
    table.integer('bytes');
    table.text('sha256');
    table.timestamp('created_at').notNullable().defaultTo(knex.fn.now());
    /** Written together with the transactions: who finds it does nothing a second time. */
    table.timestamp('settled_at');
    table.integer('added');
    table.text('result');
  });
  await knex.raw('create index imports_of_portfolio on imports (portfolio_id, id desc)');
  await knex.raw('create index imports_by_age on imports (created_at)');
}

async function createChunks(knex: Knex): Promise<void> {
  await knex.schema.createTable('import_chunks', (table) => {
    table.uuid('import_id').notNullable().references('imports.id').onDelete('CASCADE');
    table.integer('number').notNullable();
    table.binary('bytes').notNullable();
    table.primary(['import_id', 'number']);
  });
  // They live for minutes: compressing them costs more than their place.
  await knex.raw('alter table import_chunks alter column bytes set storage external');
}

async function createChoices(knex: Knex): Promise<void> {
  await knex.schema.createTable('symbol_choices', (table) => {
    table.uuid('user_id').notNullable().references('users.id');
    /** Upper case. */
    table.text('symbol').notNullable();
    table.text('asset_id').notNullable();
    table.timestamp('updated_at').notNullable().defaultTo(knex.fn.now());
    table.primary(['user_id', 'symbol']);
  });
}
