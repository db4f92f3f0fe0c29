import type { Knex } from 'knex';

/**
 * Tables that are derived from postings and can always be rebuilt: checkpoints from which the ledger of an asset can continue,
 * what is held, and what disposals consumed. A change of transactions deletes the later checkpoints; postings after the last
 * checkpoint still have to be booked.
 */
export async function up(knex: Knex): Promise<void> {
  await createMarks(knex);
  await createPositions(knex);
  await createConsumptions(knex);
}

/** Drops them. */
export async function down(knex: Knex): Promise<void> {
  for (const table of ['consumptions', 'positions', 'ledger_marks']) await knex.schema.dropTable(table);
}

async function createMarks(knex: Knex): Promise<void> {
  await knex.schema.createTable('ledger_marks', (table) => {
    table.uuid('portfolio_id').notNullable().references('portfolios.id').onDelete('CASCADE');
    table.text('asset_id').notNullable();
    /** Postings before it, and consumptions that were settled before it. */
    table.integer('count').notNullable();
    table.integer('settled').notNullable();
    /** The last posting before it. */
    table.specificType('at', 'timestamptz(3)').notNullable();
    table.specificType('rank', 'smallint').notNullable();
    table.integer('sequence').notNullable();
    table.uuid('transaction_id').notNullable();
    table.boolean('is_fee').notNullable();
    table.decimal('holding', null).notNullable();
    /** How the books were kept: marks of other ways are of no use. */
    table.text('kept_as').notNullable();
    /** Text of src/books/ledger/mark-text.ts. */
    table.text('state').notNullable();
    table.primary(['portfolio_id', 'asset_id', 'count']);
  });
  // The last mark is written with every transaction: packing it takes longer than all the rest, and halves it at best.
  await knex.raw('alter table ledger_marks alter column state set storage external');
}

/**
 * Sums have no limit of digits: what they sum has one. No reference to the portfolio: checking it would lock that row for as
 * long as an update takes, and keep changes waiting.
 */
async function createPositions(knex: Knex): Promise<void> {
  await knex.schema.createTable('positions', (table) => {
    table.uuid('portfolio_id').notNullable();
    table.text('asset_id').notNullable();
    /** Postings that it is of: it is current while the last mark has the same count and covers the last posting. */
    table.integer('count').notNullable();
    table.decimal('quantity', null).notNullable();
    table.decimal('acquired', null).notNullable();
    table.decimal('consumed', null).notNullable();
    table.decimal('left_basis', null).notNullable();
    table.decimal('proceeds', null).notNullable();
    table.integer('open_lots').notNullable();
    table.primary(['portfolio_id', 'asset_id']);
  });
}

/** What disposals and transfers out took out of lots. No reference, as with positions. */
async function createConsumptions(knex: Knex): Promise<void> {
  await knex.schema.createTable('consumptions', (table) => {
    table.uuid('portfolio_id').notNullable();
    table.text('asset_id').notNullable();
    /** Place among those of the asset, in the order of the books. */
    table.integer('number').notNullable();
    table.text('kind').notNullable().checkIn(['disposal', 'transfer'], 'consumptions_kind_known');
    table.uuid('transaction_id').notNullable();
    table.boolean('is_fee').notNullable();
    table.specificType('at', 'timestamptz(3)').notNullable();
    /** Of a pool neither; of the acquisitions of a day the first moment only. */
    table.uuid('lot_id');
    table.specificType('acquired_at', 'timestamptz(3)');
    table.text('rule').notNullable();
    table.decimal('quantity', null).notNullable();
    table.decimal('proceeds', null).notNullable();
    table.decimal('basis', null).notNullable();
    /** A later acquisition may still change it. */
    table.boolean('is_provisional').notNullable();
    table.primary(['portfolio_id', 'asset_id', 'number']);
  });
  await knex.raw('create index consumptions_by_time on consumptions (portfolio_id, at, asset_id, number)');
}
