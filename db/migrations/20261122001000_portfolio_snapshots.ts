import type { Knex } from 'knex';

/** What portfolios were worth at moments that have passed: at the end of each of their days, and after changes. */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.createTable('portfolio_snapshots', (table) => {
    table.uuid('portfolio_id').notNullable().references('portfolios.id').onDelete('CASCADE');
    table.text('kind').notNullable().checkIn(['daily', 'change'], 'portfolio_snapshots_kind_known');
    /** When it was taken. */
    table.specificType('at', 'timestamptz(3)').notNullable();
    /** Day of the portfolio that it tells of: of a daily one the day that had just ended. */
    table.date('day').notNullable();
    table.text('currency').notNullable();
    /** Of the assets that had a quote; null when none of those held had one. */
    table.decimal('value', null);
    table.decimal('cost_basis', null).notNullable();
    table.decimal('realised', null).notNullable();
    table.boolean('complete').notNullable();
    /** Assets without a quote. */
    table.specificType('missing', 'text[]').notNullable();
    table.bigInteger('books_version').notNullable();
    table.primary(['portfolio_id', 'kind', 'at']);
  });
  await knex.raw(
    "create unique index portfolio_snapshots_daily on portfolio_snapshots (portfolio_id, day) where kind = 'daily'",
  );
  // For the purge, and for the look at the portfolios of a time zone.
  await knex.raw(
    "create index portfolio_snapshots_changes on portfolio_snapshots (at) where kind = 'change'",
  );
  await knex.raw('create index portfolios_by_zone on portfolios (time_zone, id) where deleted_at is null');
}

/** Drops them. */
export async function down(knex: Knex): Promise<void> {
  await knex.raw('drop index portfolios_by_zone');
  await knex.schema.dropTable('portfolio_snapshots');
}
