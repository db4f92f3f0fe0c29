import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { orUnavailable } from '../../../../db/outage.ts';

/**
 * Expired credentials are kept this long (s), so that responses and the log can distinguish an expired credential from a forged
 * one.
 */
const afterlifeSeconds = 7 * 86_400;
const auditRetentionMs = 365 * 86_400_000;
/** API keys that were revoked or have expired are listed with usage for this time (s). */
const keyRetentionSeconds = 365 * 86_400;
/** Daily usage is kept for this number of days, so that a year can be compared with the one before it. */
const usageRetentionDays = 731;
/** Rows of one statement, so that none comes near its deadline. */
const maxRows = 10_000;

/**
 * What is deleted of accounts, by job and table: names of accounts that were deleted `nameHoldSeconds` ago, sessions, refresh
 * tokens (whose lifetime is `refreshSeconds`), password resets, revocations, API keys, usage and audit events that are past
 * their retention. Each function deletes a batch, and returns the number of rows.
 * @throws {UnavailableError} Postgres does not answer.
 */
export function createAuthRetentions(
  knex: Knex,
  { nameHoldSeconds, refreshSeconds }: { readonly nameHoldSeconds: number; readonly refreshSeconds: number },
) {
  const some = (table: string, condition: () => Condition) => () =>
    orUnavailable(deleteSome(knex, table, condition()));
  const expired = () => ago('expires_at', afterlifeSeconds);
  return {
    'users.purge': { names: () => orUnavailable(releaseNames(knex, nameHoldSeconds)) },
    'sessions.purge': {
      refresh_tokens: some('refresh_tokens', () => ago('created_at', refreshSeconds + afterlifeSeconds)),
      sessions: some('sessions', expired),
      password_resets: some('password_resets', expired),
      revocations: some('revocations', () => ago('expires_at', 0)),
    },
    'keys.purge': {
      api_keys: some('api_keys', () => ago('least(revoked_at, expires_at)', keyRetentionSeconds)),
    },
    'usage.purge': {
      usage_daily: some('usage_daily', () => ({
        sql: "day < (now() at time zone 'utc')::date - ?::integer",
        values: [usageRetentionDays],
      })),
    },
    'audit.purge': { audit_events: some('audit_events', oldEvents) },
  };
}

interface Condition {
  readonly sql: string;
  readonly values: readonly (string | number)[];
}

function ago(column: string, seconds: number): Condition {
  return { sql: `${column} < now() - ? * interval '1 second'`, values: [seconds] };
}

/** Ids sort by time, and are indexed; the database itself insists on the year. */
function oldEvents(): Condition {
  const bound = uuidv7({ msecs: Date.now() - auditRetentionMs, seq: 0, random: new Uint8Array(16) });
  return { sql: "id < ? and at < now() - interval '1 year'", values: [bound] };
}

async function deleteSome(knex: Knex, table: string, { sql, values }: Condition): Promise<number> {
  const { rowCount } = await knex.raw<{ rowCount: number }>(
    `delete from ?? where ctid = any(array(select ctid from ?? where ${sql} limit ?))`,
    [table, table, ...values, maxRows],
  );
  return rowCount;
}

/** The rows stay for what refers to them, but nothing personal is left; no user can have a name with a colon. */
async function releaseNames(knex: Knex, holdSeconds: number): Promise<number> {
  const { rowCount } = await knex.raw<{ rowCount: number }>(
    `update users set username = 'deleted:' || id, email = 'deleted:' || id, password_hash = '', updated_at = now()
      where id = any(array(
        select id from users where deleted_at < now() - ? * interval '1 second' and password_hash <> '' limit ?))`,
    [holdSeconds, maxRows],
  );
  return rowCount;
}
