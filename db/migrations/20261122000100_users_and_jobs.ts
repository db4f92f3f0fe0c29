import type { Knex } from 'knex';

/** Users, client jobs and their results. */
export async function up(knex: Knex): Promise<void> {
  await createUsers(knex);
  await createJobs(knex);
}

/** Drops them. */
export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTable('jobs');
  await knex.schema.dropTable('job_results');
  await knex.schema.dropTable('users');
}

async function createUsers(knex: Knex): Promise<void> {
  await knex.schema.createTable('users', (table) => {
    table.uuid('id').primary();
    table.text('username').notNullable();
    table.text('email').notNullable();
    table.text('password_hash').notNullable();
    table.text('role').notNullable().defaultTo('user').checkIn(['user', 'admin'], 'users_role_known');
    table.timestamp('created_at').notNullable().defaultTo(knex.fn.now());
    table.timestamp('updated_at').notNullable().defaultTo(knex.fn.now());
    table.timestamp('deleted_at');
  });
  await knex.raw(
    'create unique index users_username_unique on users (lower(username)) where deleted_at is null',
  );
  await knex.raw('create unique index users_email_unique on users (lower(email)) where deleted_at is null');
}

const jobStates = ['queued', 'running', 'completed', 'failed', 'cancelled'];

async function createJobs(knex: Knex): Promise<void> {
  await knex.schema.createTable('job_results', (table) => {
    table.uuid('id').primary();
    table.text('body').notNullable();
    table.timestamp('created_at').notNullable().defaultTo(knex.fn.now());
  });
  await knex.schema.createTable('jobs', (table) => {
    table.uuid('id').primary();
    table.uuid('user_id').notNullable().references('users.id');
    table.text('name').notNullable();
    table.text('work_key').notNullable();
    table.jsonb('data').notNullable();
    table.text('state').notNullable().defaultTo('queued').checkIn(jobStates, 'jobs_state_known');
    table.integer('done').notNullable().defaultTo(0);
    table.integer('total').notNullable();
    table.integer('version').notNullable().defaultTo(1);
    table.uuid('result_id').references('job_results.id').onDelete('SET NULL');
    table.jsonb('error');
    table.text('route');
    table.text('idempotency_key');
    table.text('body_hash');
    table.timestamp('created_at').notNullable().defaultTo(knex.fn.now());
    table.timestamp('started_at');
    table.timestamp('finished_at');
  });
  for (const index of jobIndexes) await knex.raw(index);
}

const jobIndexes = [
  `create unique index jobs_idempotency_unique on jobs (user_id, route, idempotency_key)
    where idempotency_key is not null`,
  `create index jobs_open_by_work on jobs (work_key) where state in ('queued', 'running')`,
  `create index jobs_open_by_age on jobs (created_at) where state in ('queued', 'running')`,
  'create index jobs_of_user on jobs (user_id, id desc)',
  'create index jobs_finished on jobs (finished_at) where finished_at is not null',
  'create index jobs_by_result on jobs (result_id) where result_id is not null',
];
