import type { Knex } from 'knex';

/** Sessions, API keys, revocations, password resets, the audit log and usage. */
export async function up(knex: Knex): Promise<void> {
  await changeUsers(knex);
  await createSessions(knex);
  await createApiKeys(knex);
  await createRevocations(knex);
  await createPasswordResets(knex);
  await createAuditLog(knex);
  await createUsage(knex);
}

/** Drops them. */
export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('jobs', (table) => table.dropColumn('api_key_id'));
  for (const table of [
    'usage_daily',
    'audit_events',
    'password_resets',
    'revocations',
    'api_keys',
    'refresh_tokens',
    'sessions',
  ]) {
    await knex.schema.dropTable(table);
  }
  await knex.raw('drop function audit_events_are_final()');
  await knex.schema.alterTable('users', (table) => table.dropColumn('generation'));
  await knex.raw('drop index users_username_unique');
  await knex.raw('drop index users_email_unique');
  await knex.raw(
    'create unique index users_username_unique on users (lower(username)) where deleted_at is null',
  );
  await knex.raw('create unique index users_email_unique on users (lower(email)) where deleted_at is null');
}

/** A deleted account keeps its name until the purge releases it, so that no one can take the name over at once. */
async function changeUsers(knex: Knex): Promise<void> {
  await knex.schema.alterTable('users', (table) => {
    // Tokens carry the generation they were made in; raising it ends them all.
    table.integer('generation').notNullable().defaultTo(0);
  });
  await knex.raw('drop index users_username_unique');
  await knex.raw('drop index users_email_unique');
  await knex.raw('create unique index users_username_unique on users (lower(username))');
  await knex.raw('create unique index users_email_unique on users (lower(email))');
}

async function createSessions(knex: Knex): Promise<void> {
  await knex.schema.createTable('sessions', (table) => {
    table.uuid('id').primary();
    table.uuid('user_id').notNullable().references('users.id');
    table.timestamp('created_at').notNullable().defaultTo(knex.fn.now());
    table.timestamp('last_used_at').notNullable().defaultTo(knex.fn.now());
    table.timestamp('expires_at').notNullable().index();
    table.timestamp('ended_at');
    table.text('end_reason');
  });
  await knex.raw('create index sessions_of_user on sessions (user_id) where ended_at is null');
  await knex.schema.createTable('refresh_tokens', (table) => {
    // SHA-256 of the token: random 256 bits need no slow hash.
    table.binary('hash').primary();
    table.uuid('session_id').notNullable().references('sessions.id').onDelete('cascade').index();
    table.timestamp('created_at').notNullable().defaultTo(knex.fn.now());
    table.timestamp('used_at');
  });
}

async function createApiKeys(knex: Knex): Promise<void> {
  await knex.schema.createTable('api_keys', (table) => {
    table.uuid('id').primary();
    table.uuid('user_id').notNullable().references('users.id');
    table.text('name').notNullable();
    table.text('prefix').notNullable();
    table.binary('hash').notNullable().unique();
    table.specificType('scopes', 'text[]').notNullable();
    table.integer('daily_quota');
    table.timestamp('created_at').notNullable().defaultTo(knex.fn.now());
    table.timestamp('expires_at');
    table.timestamp('last_used_at');
    table.timestamp('revoked_at');
  });
  await knex.raw('create index api_keys_of_user on api_keys (user_id) where revoked_at is null');
  // The key of the request, for usage. The key may be deleted before the job.
  await knex.schema.alterTable('jobs', (table) => table.uuid('api_key_id'));
}

async function createRevocations(knex: Knex): Promise<void> {
  await knex.schema.createTable('revocations', (table) => {
    table.bigIncrements('seq');
    table.text('kind').notNullable().checkIn(['session', 'user', 'key'], 'revocations_kind_known');
    table.uuid('subject').notNullable();
    // Of a user: tokens of earlier generations are void.
    table.integer('generation');
    table.timestamp('created_at').notNullable().defaultTo(knex.raw('clock_timestamp()')).index();
    table.timestamp('expires_at').notNullable().index();
  });
}

async function createPasswordResets(knex: Knex): Promise<void> {
  await knex.schema.createTable('password_resets', (table) => {
    table.binary('hash').primary();
    table.uuid('user_id').notNullable().references('users.id').index();
    table.timestamp('created_at').notNullable().defaultTo(knex.fn.now());
    table.timestamp('expires_at').notNullable().index();
    table.timestamp('used_at');
  });
}

/** Rows cannot be changed, nor deleted before they are a year old. */
async function createAuditLog(knex: Knex): Promise<void> {
  await knex.schema.createTable('audit_events', (table) => {
    table.uuid('id').primary();
    table.timestamp('at').notNullable().defaultTo(knex.fn.now());
    table.text('type').notNullable();
    // Whom it is about, and who did it. No references: the log outlives everything.
    table.uuid('user_id').index();
    table.uuid('actor_id');
    table.uuid('key_id');
    table.text('address');
    table.text('request_id');
    table.jsonb('detail').notNullable().defaultTo('{}');
  });
  await knex.raw(`create function audit_events_are_final() returns trigger language plpgsql as $$
    begin
      if tg_op = 'DELETE' and old.at < now() - interval '1 year' then return old; end if;
      raise exception 'audit events are final';
    end $$`);
  await knex.raw(`create trigger audit_events_final before update or delete on audit_events
    for each row execute function audit_events_are_final()`);
  await knex.raw(`create trigger audit_events_not_truncated before truncate on audit_events
    for each statement execute function audit_events_are_final()`);
}

async function createUsage(knex: Knex): Promise<void> {
  await knex.schema.createTable('usage_daily', (table) => {
    table.date('day').notNullable();
    table.uuid('user_id').notNullable();
    // The nil UUID for requests without a key.
    table.uuid('key_id').notNullable();
    table.bigInteger('requests').notNullable().defaultTo(0);
    table.bigInteger('jobs').notNullable().defaultTo(0);
    // Calls are shared by all whose assets they fetch, so a share is a fraction.
    table.decimal('upstream_calls', 20, 6).notNullable().defaultTo(0);
    table.primary(['day', 'user_id', 'key_id']);
  });
}
