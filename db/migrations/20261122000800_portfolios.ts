import type { Knex } from 'knex';

/** Portfolios with their transactions, what was changed in them, and the postings that transactions come to. */
export async function up(knex: Knex): Promise<void> {
  await createPortfolios(knex);
  await createTransactions(knex);
  await createTransactionChanges(knex);
  await createPostings(knex);
}

/** Drops them. */
export async function down(knex: Knex): Promise<void> {
  for (const table of ['postings', 'transaction_changes', 'transactions', 'portfolios']) {
    await knex.schema.dropTable(table);
  }
}

const methods = ['fifo', 'lifo', 'hifo', 'average', 'uk_pool'];
const types = ['buy', 'sell', 'swap', 'transfer_in', 'transfer_out', 'reward', 'fee'];

async function createPortfolios(knex: Knex): Promise<void> {
  await knex.schema.createTable('portfolios', (table) => {
    table.uuid('id').primary();
    table.uuid('user_id').notNullable().references('users.id');
    table.text('name').notNullable();
    table.text('base_currency').notNullable();
    table.text('method').notNullable().checkIn(methods, 'portfolios_method_known');
    table.text('time_zone').notNullable();
    /** Of its own fields. */
    table.integer('version').notNullable().defaultTo(1);
    /** Of its transactions and of how the books are kept; and the one that the derived tables are of. */
    table.bigInteger('books_version').notNullable().defaultTo(1);
    table.bigInteger('booked_version').notNullable().defaultTo(1);
    /** Kept by every change, so that the limit costs no count. */
    table.integer('transaction_count').notNullable().defaultTo(0);
    table.timestamp('created_at').notNullable().defaultTo(knex.fn.now());
    table.timestamp('updated_at').notNullable().defaultTo(knex.fn.now());
    table.timestamp('deleted_at');
  });
  await knex.raw('create index portfolios_of_user on portfolios (user_id, id desc) where deleted_at is null');
  await knex.raw('create index portfolios_unbooked on portfolios (id) where booked_version < books_version');
  await knex.raw('create index portfolios_deleted on portfolios (deleted_at) where deleted_at is not null');
}

const rankSql = `case type ${['transfer_in', 'buy', 'reward', 'swap', 'sell', 'fee', 'transfer_out']
  .map((type, rank) => `when '${type}' then ${rank}`)
  .join(' ')} end::smallint`;

/**
 * Decimals have 18 digits behind the point, as the books have. Clients may choose ids, so an id is unique only within
 * its portfolio: a client can neither discover nor take the ids of another portfolio.
 */
async function createTransactions(knex: Knex): Promise<void> {
  await knex.schema.createTable('transactions', (table) => {
    table.uuid('portfolio_id').notNullable().references('portfolios.id').onDelete('CASCADE');
    table.uuid('id').notNullable();
    table.primary(['portfolio_id', 'id']);
    table.text('type').notNullable().checkIn(types, 'transactions_type_known');
    /** Place of the type among those of the same moment (src/books/transaction.ts). */
    table.specificType('rank', `smallint not null generated always as (${rankSql}) stored`);
    table.specificType('executed_at', 'timestamptz(3)').notNullable();
    table.integer('sequence').notNullable().defaultTo(0);
    table.text('received_asset');
    table.decimal('received_quantity', 38, 18);
    table.text('given_asset');
    table.decimal('given_quantity', 38, 18);
    /** In the base currency; whether the client stated it or it is the market's. */
    table.decimal('value', 38, 18).notNullable();
    table.boolean('is_market_value').notNullable().defaultTo(false);
    /** The asset is null when the fee was paid in cash. */
    table.text('fee_asset');
    table.decimal('fee_quantity', 38, 18);
    table.decimal('fee_value', 38, 18);
    table.boolean('is_market_fee').notNullable().defaultTo(false);
    table.text('note');
    /** The import that it came with, and what names its row for ever. */
    table.uuid('import_id');
    table.text('fingerprint');
    table.integer('version').notNullable().defaultTo(1);
    table.timestamp('created_at').notNullable().defaultTo(knex.fn.now());
    table.timestamp('updated_at').notNullable().defaultTo(knex.fn.now());
  });
  // The order of the books, and backwards that of lists.
  await knex.raw(
    'create index transactions_in_order on transactions (portfolio_id, executed_at, rank, sequence, id)',
  );
  await knex.raw(
    'create index transactions_of_import on transactions (portfolio_id, import_id) where import_id is not null',
  );
  await knex.raw(
    'create unique index transactions_fingerprint_unique on transactions (portfolio_id, fingerprint) where fingerprint is not null',
  );
}

/** The audit trail: what a transaction was before and after each change. No references: it outlives both. */
async function createTransactionChanges(knex: Knex): Promise<void> {
  await knex.schema.createTable('transaction_changes', (table) => {
    table.uuid('id').primary();
    table.uuid('portfolio_id').notNullable();
    /** Null of an import, which is one row for all that it brought. */
    table.uuid('transaction_id');
    table.timestamp('at').notNullable().defaultTo(knex.fn.now());
    table.uuid('actor_id');
    table.uuid('key_id');
    table
      .text('action')
      .notNullable()
      .checkIn(['created', 'replaced', 'deleted', 'imported'], 'transaction_changes_action_known');
    table.jsonb('before');
    table.jsonb('after');
  });
  await knex.raw(
    'create index transaction_changes_of_portfolio on transaction_changes (portfolio_id, id desc)',
  );
  await knex.raw(
    'create index transaction_changes_of_transaction on transaction_changes (portfolio_id, transaction_id, id desc)',
  );
}

/**
 * What each transaction does to each asset (src/books/postings.ts), in the order of the books: the key is that order. Written
 * and deleted with their transaction.
 */
async function createPostings(knex: Knex): Promise<void> {
  await knex.schema.createTable('postings', (table) => {
    table.uuid('portfolio_id').notNullable();
    table.text('asset_id').notNullable();
    table.specificType('at', 'timestamptz(3)').notNullable();
    /** Place of its type among those of the same moment (src/books/transaction.ts). */
    table.specificType('rank', 'smallint').notNullable();
    table.integer('sequence').notNullable();
    table.uuid('transaction_id').notNullable();
    table.boolean('is_fee').notNullable();
    table
      .text('kind')
      .notNullable()
      .checkIn(['acquire', 'transfer_in', 'dispose', 'transfer_out'], 'postings_kind_known');
    table.decimal('quantity', 38, 18).notNullable();
    /** Cost basis that comes in, or proceeds after fees; may be less than zero. */
    table.decimal('value', 39, 18).notNullable();
    table.primary(['portfolio_id', 'asset_id', 'at', 'rank', 'sequence', 'transaction_id', 'is_fee']);
  });
}
