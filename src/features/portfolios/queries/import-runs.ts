import type { Knex } from 'knex';
import { openImportStaging } from './import-staging.ts';
import { orUnavailable } from '../../../../db/outage.ts';
import { recordChanges, type ChangeAuthor } from './transaction-changes.ts';
import { openBookChange } from './write-transactions.ts';

/** The outcome of an import. */
export interface ImportOutcome {
  /** JSON text. */
  readonly resultJson: string;
  /** Transactions that it added. */
  readonly added: number;
}

/** The one database transaction in which an import is read, checked and written. */
export type ImportRun = Awaited<ReturnType<typeof runIn>>;

/** Runs imports in Postgres, over one pool. */
export function createImportRuns(knex: Knex) {
  return {
    /**
     * Runs `work` in one transaction, and commits it if `work` says so; an error rolls back. Either way the outcome is stored
     * with the import.
     * @throws {UnavailableError} Postgres does not answer; and what `work` throws.
     */
    run: (
      importId: string,
      work: (run: ImportRun) => Promise<{ readonly keep: boolean; readonly outcome: ImportOutcome }>,
    ): Promise<ImportOutcome> =>
      orUnavailable(
        (async () => {
          const trx = await knex.transaction();
          try {
            const { keep, outcome } = await work(await runIn(trx, importId));
            await (keep ? trx.commit() : trx.rollback());
            if (!keep) await settle(knex, importId, outcome);
            return outcome;
          } finally {
            if (!trx.isCompleted()) await trx.rollback();
          }
        })(),
      ),
  };
}

async function runIn(trx: Knex.Transaction, importId: string) {
  return {
    staging: await openImportStaging(trx),
    /**
     * The outcome that is already stored; undefined when there is none. Read it after the lock: a worker that was presumed dead
     * may have continued.
     */
    async stored(): Promise<ImportOutcome | undefined> {
      const { rows } = await trx.raw<{ rows: { result: string | null; added: number }[] }>(
        'select result, added from imports where id = ? and settled_at is not null for update',
        [importId],
      );
      const [row] = rows;
      return row && { resultJson: row.result ?? '{}', added: row.added };
    },
    /** Locks the portfolio. */
    open: (request: { readonly portfolioId: string; readonly limit: number }) => openBookChange(trx, request),
    /** Records the import in the audit trail. */
    record: (portfolioId: string, by: ChangeAuthor, after: object): Promise<void> =>
      recordChanges(trx, { portfolioId, by }, [{ transactionId: null, action: 'imported', after }]),
    /** Remembers which assets a user means: asset id by symbol in upper case. */
    async remember(userId: string, choices: ReadonlyMap<string, string>): Promise<void> {
      if (choices.size === 0) return;
      await trx.raw(rememberSql, [userId, [...choices.keys()], [...choices.values()]] as never);
    },
    /** Writes the outcome: after the commit nothing is done a second time. */
    settle: (outcome: ImportOutcome): Promise<void> => settle(trx, importId, outcome),
  };
}

const rememberSql = `insert into symbol_choices (user_id, symbol, asset_id)
  select ?::uuid, row.* from unnest(?::text[], ?::text[]) as row
  on conflict (user_id, symbol) do update set asset_id = excluded.asset_id, updated_at = now()`;

/** Marks the import as settled; its file is no longer needed. */
async function settle(knex: Knex, importId: string, { resultJson, added }: ImportOutcome): Promise<void> {
  await knex.raw(settleSql, [importId, resultJson, added, importId]);
}

const settleSql = `with pieces as (delete from import_chunks where import_id = ?)
  update imports set state = 'settled', settled_at = now(), result = ?, added = ? where id = ?`;
