import type { Knex } from 'knex';
import { recordEvent, type Actor } from '../../accounts/queries/audit.ts';
import { confirmClaim } from '../../../../db/claims.ts';
import { orUnavailable } from '../../../../db/outage.ts';

/** Which of a user's signing secrets holds: they are counted, and computed from the count. */
export interface SecretGeneration {
  readonly generation: number;
  /** When it began; null for the first. */
  readonly rotatedAt: Date | null;
}

/** Generations in Postgres. All reject with {@link UnavailableError} when it does not answer. */
export type WebhookSecretQueries = ReturnType<typeof createWebhookSecretQueries>;

/** Binds the queries to a connection pool. */
export function createWebhookSecretQueries(knex: Knex) {
  return {
    /** The generation that holds. */
    async current(userId: string): Promise<SecretGeneration> {
      const row = await orUnavailable(
        knex('webhook_secrets').where({ user_id: userId }).first<GenerationRow | undefined>(),
      );
      return toGeneration(row);
    },

    /**
     * Begins the next generation, and says so in the audit log.
     * @throws {UnauthenticatedError} the credential behind the request was revoked.
     */
    rotate: (userId: string, by: Actor): Promise<SecretGeneration> =>
      orUnavailable(knex.transaction((trx) => rotate(trx, userId, by))),
  };
}

async function rotate(trx: Knex.Transaction, userId: string, by: Actor): Promise<SecretGeneration> {
  await confirmClaim(trx, by.claim);
  const { rows } = await trx.raw<{ rows: GenerationRow[] }>(rotateSql, [userId]);
  const rotated = toGeneration(rows[0]);
  const detail = { generation: rotated.generation };
  await recordEvent(trx, { type: 'webhook_secret.rotated', userId, by, detail });
  return rotated;
}

const rotateSql = `insert into webhook_secrets as own (user_id, generation, rotated_at) values (?, 1, now())
  on conflict (user_id) do update set generation = own.generation + 1, rotated_at = now()
  returning *`;

interface GenerationRow {
  readonly generation: number;
  readonly rotated_at: Date;
}

function toGeneration(row: GenerationRow | undefined): SecretGeneration {
  return row === undefined
    ? { generation: 0, rotatedAt: null }
    : { generation: row.generation, rotatedAt: row.rotated_at };
}
