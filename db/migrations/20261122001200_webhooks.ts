import type { Knex } from 'knex';

/** Webhooks on their way, and where the jobs of clients want their end to be told. */
export async function up(knex: Knex): Promise<void> {
  await createDeliveries(knex);
  await knex.raw(backlogFunction);
  await knex.schema.createTable('webhook_secrets', (table) => {
    table.uuid('user_id').primary().references('users.id').onDelete('CASCADE');
    /** Secrets are computed of it and never stored; who has no row has generation 0. */
    table.integer('generation').notNullable();
    table.timestamp('rotated_at').notNullable();
  });
  await knex.schema.alterTable('jobs', (table) => {
    table.text('callback_url');
  });
}

/** Drops them. */
export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('jobs', (table) => {
    table.dropColumn('callback_url');
  });
  await knex.raw('drop function webhook_backlog_is_full');
  await knex.schema.dropTable('webhook_secrets');
  await knex.schema.dropTable('webhook_deliveries');
}

async function createDeliveries(knex: Knex): Promise<void> {
  await knex.schema.createTable('webhook_deliveries', (table) => {
    /** Told to the receiver. That of a job's end is the id of the job. */
    table.uuid('id').primary();
    table.uuid('user_id').notNullable().references('users.id');
    table.text('url').notNullable();
    table.text('type').notNullable();
    /** The body to send; null for the end of a job, whose body is built from the job's row. */
    table.text('body');
    table
      .text('state')
      .notNullable()
      .defaultTo('pending')
      .checkIn(['pending', 'delivered', 'dead'], 'webhook_deliveries_state_known');
    table.integer('attempts').notNullable().defaultTo(0);
    /** When it is due; while an attempt is made, when that attempt counts as lost. */
    table.timestamp('next_at').notNullable().defaultTo(knex.fn.now());
    /** Of the last attempt: status that the receiver answered, and what was wrong. */
    table.integer('last_status');
    table.text('last_error');
    table.timestamp('created_at').notNullable().defaultTo(knex.fn.now());
    /** When it was delivered or given up. */
    table.timestamp('ended_at');
  });
  for (const index of deliveryIndexes) await knex.raw(index);
}

/**
 * Whether as many deliveries of a user wait as may. A function, because a statement that calls it for no row plans it not: the one
 * that ends jobs is planned each time.
 */
const backlogFunction = `create function webhook_backlog_is_full(of_user uuid, most int) returns boolean
  language plpgsql stable as $$
  begin
    return (select count(*) from (
      select 1 from webhook_deliveries where user_id = of_user and state = 'pending' limit most) as counted) >= most;
  end $$`;

const deliveryIndexes = [
  `create index webhook_deliveries_due on webhook_deliveries (next_at, id) where state = 'pending'`,
  `create index webhook_deliveries_pending_of_user on webhook_deliveries (user_id) where state = 'pending'`,
  'create index webhook_deliveries_of_user on webhook_deliveries (user_id, created_at desc, id desc)',
  'create index webhook_deliveries_ended on webhook_deliveries (ended_at) where ended_at is not null',
  `create index webhook_deliveries_dead on webhook_deliveries (ended_at) where state = 'dead'`,
];
