import type { Knex } from 'knex';

/** Alerts of users, and the record of what fired. */
export async function up(knex: Knex): Promise<void> {
  await createAlerts(knex);
  await createFirings(knex);
}

/** Drops them. */
export async function down(knex: Knex): Promise<void> {
  for (const table of ['alert_firings', 'alerts']) await knex.schema.dropTable(table);
}

async function createAlerts(knex: Knex): Promise<void> {
  await knex.schema.createTable('alerts', (table) => {
    table.uuid('id').primary();
    table.uuid('user_id').notNullable().references('users.id');
    table.text('kind').notNullable().checkIn(['price', 'change', 'portfolio_value'], 'alerts_kind_known');
    /** Of prices and changes. */
    table.text('asset_id');
    /** Of a portfolio's value. No reference: a portfolio may go first, and the alert is then deleted by upkeep. */
    table.uuid('portfolio_id');
    table.text('currency').notNullable();
    table.text('direction').notNullable().checkIn(['above', 'below'], 'alerts_direction_known');
    /** A price, a value, or per cent of change. */
    table.decimal('threshold', 38, 18).notNullable();
    table.integer('window_seconds');
    /** How far a value must return before the alert is armed again: per cent of the threshold, or absolute. */
    table.decimal('hysteresis', 38, 18).notNullable();
    table
      .text('hysteresis_unit')
      .notNullable()
      .checkIn(['percent', 'absolute'], 'alerts_hysteresis_unit_known');
    table.text('repeat').notNullable().checkIn(['once', 'every'], 'alerts_repeat_known');
    table.boolean('fire_if_true').notNullable();
    table.text('url');
    table.text('note');
    table
      .text('state')
      .notNullable()
      .checkIn(['pending', 'armed', 'fired', 'disabled'], 'alerts_state_known');
    /** The value that it last changed its state at, and when the quote behind it was received. */
    table.decimal('last_value', null);
    table.specificType('observed_at', 'timestamptz(3)');
    table.specificType('fired_at', 'timestamptz(3)');
    table.integer('fired_count').notNullable().defaultTo(0);
    /** Why it cannot be evaluated at present. */
    table.text('not_evaluated');
    table.integer('version').notNullable().defaultTo(1);
    table.timestamp('created_at').notNullable().defaultTo(knex.fn.now());
    table.timestamp('updated_at').notNullable().defaultTo(knex.fn.now());
    table.timestamp('deleted_at');
  });
  await knex.raw(`alter table alerts add constraint alerts_subject_complete check (
    case kind when 'portfolio_value' then portfolio_id is not null and asset_id is null and window_seconds is null
      when 'change' then asset_id is not null and portfolio_id is null and window_seconds is not null
      else asset_id is not null and portfolio_id is null and window_seconds is null end)`);
  await knex.raw('create index alerts_of_user on alerts (user_id, id desc) where deleted_at is null');
  /** What evaluators hold, in the order in which they read it; and what they look for between. */
  await knex.raw(`create index alerts_watched on alerts (id)
    where deleted_at is null and (state in ('pending', 'armed') or state = 'fired' and repeat = 'every')`);
  await knex.raw('create index alerts_changed on alerts (updated_at, id)');
  await knex.raw('create index alerts_of_portfolio on alerts (portfolio_id) where portfolio_id is not null');
  await knex.raw('create index alerts_deleted on alerts (deleted_at) where deleted_at is not null');
}

/** No reference to the alert: the record outlives it. Ids of one user rise in the order of the commits. */
async function createFirings(knex: Knex): Promise<void> {
  await knex.schema.createTable('alert_firings', (table) => {
    table.uuid('id').primary();
    table.uuid('alert_id').notNullable();
    table.uuid('user_id').notNullable().references('users.id');
    table.specificType('at', 'timestamptz(3)').notNullable();
    table.decimal('value', null).notNullable();
    /** Of the quote, or the quotes, that the value comes from. */
    table.specificType('as_of', 'timestamptz(3)');
    table.specificType('received_at', 'timestamptz(3)').notNullable();
    table.text('source').notNullable();
    /** JSON text, as it is delivered and streamed. */
    table.text('body').notNullable();
  });
  await knex.raw('create index alert_firings_of_user on alert_firings (user_id, id desc)');
  await knex.raw('create index alert_firings_of_alert on alert_firings (alert_id, id desc)');
  await knex.raw('create index alert_firings_by_time on alert_firings (at)');
}
