import type { Knex } from 'knex';
import { orUnavailable } from '../../../../db/outage.ts';
import { v7 as uuidv7 } from 'uuid';
import {
  contentOf,
  type RecordedTransaction,
  type StoredTransaction,
} from '../ledger/recorded-transaction.ts';

/** Who changes transactions. */
export interface ChangeAuthor {
  readonly actorId?: string | undefined;
  /** The API key that was used. */
  readonly keyId?: string | undefined;
}

/** What a change does; an import is one change, however many transactions it adds. */
type ChangeAction = 'created' | 'replaced' | 'deleted' | 'imported';

/** A row of the audit trail. */
export interface TransactionChange {
  readonly id: string;
  readonly at: Date;
  /** Null for an import. */
  readonly transactionId: string | null;
  readonly actorId: string | null;
  readonly keyId: string | null;
  readonly action: ChangeAction;
  /** The content of the transaction before and after, with the field names of the API. */
  readonly before: Readonly<Record<string, unknown>> | null;
  /** For an import, its id and the number of transactions. */
  readonly after: Readonly<Record<string, unknown>> | null;
}

/** The changes of transactions, one row each. */
export function changesOf(
  removed: readonly StoredTransaction[],
  added: readonly RecordedTransaction[],
): Parameters<typeof recordChanges>[2] {
  const before = new Map(removed.map((each) => [each.id, contentOf(each)]));
  const after = new Set(added.map(({ id }) => id));
  return [
    ...removed
      .filter(({ id }) => !after.has(id))
      .map(({ id }) => ({ transactionId: id, action: 'deleted' as const, before: before.get(id) })),
    ...added.map((each) => ({
      transactionId: each.id,
      action: before.has(each.id) ? ('replaced' as const) : ('created' as const),
      before: before.get(each.id),
      after: contentOf(each),
    })),
  ];
}

const insertSql = `insert into transaction_changes (id, portfolio_id, transaction_id, actor_id, key_id, action, before, after)
  select id, ?::uuid, transaction_id, ?::uuid, ?::uuid, action, before::jsonb, after::jsonb
  from unnest(?::uuid[], ?::uuid[], ?::text[], ?::text[], ?::text[]) as row (id, transaction_id, action, before, after)`;

/** Writes changes into the audit trail, in the same transaction as the changes. */
export async function recordChanges(
  trx: Knex,
  { portfolioId, by }: { readonly portfolioId: string; readonly by: ChangeAuthor },
  changes: readonly {
    readonly transactionId: string | null;
    readonly action: ChangeAction;
    readonly before?: unknown;
    readonly after?: unknown;
  }[],
): Promise<void> {
  if (changes.length === 0) return;
  const jsonOf = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value));
  await trx.raw(insertSql, [
    portfolioId,
    by.actorId ?? null,
    by.keyId ?? null,
    changes.map(() => uuidv7()),
    changes.map(({ transactionId }) => transactionId),
    changes.map(({ action }) => action),
    changes.map(({ before }) => jsonOf(before)),
    changes.map(({ after }) => jsonOf(after)),
  ] as never);
}

/** A page of an audit trail, the newest first. */
export async function listChanges(
  knex: Knex,
  {
    portfolioId,
    transactionId,
    offset,
    limit,
  }: {
    readonly portfolioId: string;
    /** Of one transaction only. */
    readonly transactionId?: string | undefined;
    readonly offset: number;
    readonly limit: number;
  },
): Promise<{ readonly changes: readonly TransactionChange[]; readonly total: number }> {
  const matching = (): Knex.QueryBuilder =>
    knex('transaction_changes').where({
      portfolio_id: portfolioId,
      ...(transactionId === undefined ? {} : { transaction_id: transactionId }),
    });
  const [rows, counted] = await Promise.all([
    matching().orderBy('id', 'desc').offset(offset).limit(limit) as Promise<
      {
        readonly id: string;
        readonly at: Date;
        readonly transaction_id: string | null;
        readonly actor_id: string | null;
        readonly key_id: string | null;
        readonly action: ChangeAction;
        readonly before: Record<string, unknown> | null;
        readonly after: Record<string, unknown> | null;
      }[]
    >,
    matching().count<{ count: number }[]>({ count: '*' }),
  ]);
  return {
    changes: rows.map(
      ({
        id,
        at,
        transaction_id: transactionId,
        actor_id: actorId,
        key_id: keyId,
        action,
        before,
        after,
      }) => ({ id, at, transactionId, actorId, keyId, action, before, after }),
    ),
    total: counted[0]?.count ?? 0,
  };
}

/** Changes are kept for ten years (ms), as business records are. */
const changesRetentionMs = 3_653 * 86_400_000;

/**
 * Deletes at most 10,000 changes that are past their retention: ids sort by time. Returns their number.
 * @throws {UnavailableError} Postgres does not answer.
 */
export async function purgeChanges(knex: Knex): Promise<number> {
  const bound = uuidv7({ msecs: Date.now() - changesRetentionMs, seq: 0, random: new Uint8Array(16) });
  const { rowCount } = await orUnavailable(
    knex.raw<{ rowCount: number }>(
      `delete from transaction_changes where id = any(array(
        select id from transaction_changes where id < ? order by id limit 10000))`,
      [bound],
    ),
  );
  return rowCount;
}
