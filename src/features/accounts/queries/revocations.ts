import type { Knex } from 'knex';
import { orUnavailable } from '../../../../db/outage.ts';

/** Says that credentials are void before they expire. */
export interface Revocation {
  readonly kind: 'session' | 'user' | 'key';
  /** Id of the session, user or key. */
  readonly subject: string;
  /** Of a user: credentials of earlier generations are void. Null for the others. */
  readonly generation: number | null;
  /** Milliseconds since the epoch; from then on nothing is left that it could end. */
  readonly expiresAt: number;
}

export interface RevocationQueries {
  /**
   * Revocations that were stored in the last `seconds`, or all that still matter.
   * @throws {UnavailableError} Postgres does not answer.
   */
  recent(seconds?: number): Promise<readonly Revocation[]>;
  /** Deletes those that have no meaning any more. Returns their number. */
  purge(): Promise<number>;
}

type Subject = Pick<Revocation, 'kind' | 'subject' | 'generation'>;

/**
 * Stores revocations in the transaction of what caused them. They are kept for `seconds`, the longest life of what they end.
 */
export async function storeRevocations(
  trx: Knex,
  subjects: readonly Subject[],
  seconds: number,
): Promise<readonly Revocation[]> {
  if (subjects.length === 0) return [];
  const expiresAt = new Date(Date.now() + seconds * 1000);
  await trx('revocations').insert(subjects.map((each) => ({ ...each, expires_at: expiresAt })));
  return subjects.map((each) => ({ ...each, expiresAt: expiresAt.getTime() }));
}

/** Queries on revocations over one pool. */
export function createRevocationQueries(knex: Knex): RevocationQueries {
  return {
    async recent(seconds) {
      const query = knex('revocations').where('expires_at', '>', knex.fn.now());
      if (seconds !== undefined)
        void query.where('created_at', '>', knex.raw("clock_timestamp() - ? * interval '1 second'", seconds));
      const rows = await orUnavailable(query.select<RevocationRow[]>());
      return rows.map(({ kind, subject, generation, expires_at }) => ({
        kind,
        subject,
        generation,
        expiresAt: expires_at.getTime(),
      }));
    },
    purge: () => orUnavailable(knex('revocations').where('expires_at', '<', knex.fn.now()).delete()),
  };
}

interface RevocationRow {
  readonly kind: Revocation['kind'];
  readonly subject: string;
  readonly generation: number | null;
  readonly expires_at: Date;
}
