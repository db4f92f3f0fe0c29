import type { Knex } from 'knex';

/** Indexes for retention, so that a search that finds nothing is cheap, however much is stored. */
const indexes = {
  job_results_by_age: 'job_results (created_at)',
  refresh_tokens_by_age: 'refresh_tokens (created_at)',
  api_keys_ended: `api_keys ((least(revoked_at, expires_at)))
    where revoked_at is not null or expires_at is not null`,
  users_deleted: 'users (deleted_at) where deleted_at is not null',
  users_to_release: "users (deleted_at) where deleted_at is not null and password_hash <> ''",
  imports_unsettled: 'imports (created_at) where settled_at is null or is_dry_run',
  imports_with_result: 'imports (settled_at) where result is not null',
  portfolio_snapshots_days: "portfolio_snapshots (at) where kind = 'daily'",
  candles_5m_default_by_time: 'candles_5m_default (open_time)',
  candles_1h_default_by_time: 'candles_1h_default (open_time)',
  candles_1d_default_by_time: 'candles_1d_default (open_time)',
};

export async function up(knex: Knex): Promise<void> {
  for (const [name, on] of Object.entries(indexes)) await knex.raw(`create index ${name} on ${on}`);
}

/** Drops them. */
export async function down(knex: Knex): Promise<void> {
  for (const name of Object.keys(indexes)) await knex.raw(`drop index ${name}`);
}
