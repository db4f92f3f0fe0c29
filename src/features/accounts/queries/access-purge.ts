import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { orUnavailable } from '../../../../db/outage.ts';

/** What has expired stays this long (s), so that a late visitor is told apart from a forger, in answers and in the log. */
const afterlifeSeconds = 7 * 86_400;
const auditRetentionMs = 365 * 86_400_000;
/** Rows of one statement, so that none comes near its deadline. */
const mostRows = 10_000;

/**
 * Releases the names of accounts that were deleted `nameHoldSeconds` ago, and deletes sessions, refresh tokens (whose life is
 * `refreshSeconds`), password resets, revocations and audit events that are past their time. Returns the number of rows. What
 * one call leaves, the next takes.
 * @throws {UnavailableError} Postgres does not answer.
 */
export async function purgeAccess(
  knex: Knex,
  { nameHoldSeconds, refreshSeconds }: { readonly nameHoldSeconds: number; readonly refreshSeconds: number },
): Promise<number> {
  const purge = async (): Promise<number> => {
    let rows = await releaseNames(knex, nameHoldSeconds);
    const expired = ago('expires_at', afterlifeSeconds);
    rows += await deleteSome(knex, 'refresh_tokens', ago('created_at', refreshSeconds + afterlifeSeconds));
    rows += await deleteSome(knex, 'sessions', expired);
    rows += await deleteSome(knex, 'password_resets', expired);
    rows += await deleteSome(knex, 'revocations', ago('expires_at', 0));
    rows += await deleteSome(knex, 'audit_events', oldEvents());
    return rows;
  };
  return await orUnavailable(purge());
}

interface Condition {
  readonly sql: string;
  readonly values: readonly (string | number)[];
}

function ago(column: 'expires_at' | 'created_at', seconds: number): Condition {
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
    [table, table, ...values, mostRows],
  );
  return rowCount;
}

/** The rows stay for what refers to them, but nothing is left that is personal; no user can have a name with a colon. */
async function releaseNames(knex: Knex, holdSeconds: number): Promise<number> {
  const { rowCount } = await knex.raw<{ rowCount: number }>(
    `update users set username = 'deleted:' || id, email = 'deleted:' || id, password_hash = '', updated_at = now()
      where deleted_at < now() - ? * interval '1 second' and username <> 'deleted:' || id`,
    [holdSeconds],
  );
  return rowCount;
}
