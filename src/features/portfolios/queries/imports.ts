import type { Knex } from 'knex';
import { orUnavailable } from '../../../../db/outage.ts';

/** What an import does with bad rows: skips them and books the others, or books none. */
export type OnError = 'skip' | 'abort';
/** With the words of earlier versions, which their processes still write during an upgrade. */
type StoredOnError = OnError | 'keep_good' | 'nothing';

/** Reads either form. */
export function readOnError(word: StoredOnError): OnError {
  if (word === 'keep_good') return 'skip';
  return word === 'nothing' ? 'abort' : word;
}

/** The options of an import. */
export interface ImportOptions {
  readonly format: string;
  readonly onError: OnError;
  readonly isDryRun: boolean;
  /** JSON text of a GenericMapping; null without one. */
  readonly mappingJson: string | null;
  /** JSON text: asset id by symbol. */
  readonly symbolsJson: string;
}

/** An import whose file has arrived. */
export interface ImportRecord extends ImportOptions {
  readonly fileName: string | null;
  readonly encoding: string;
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
  readonly id: string;
  readonly portfolioId: string;
  readonly userId: string;
  readonly createdAt: Date;
  readonly settledAt: Date | null;
  /** Transactions that it added; null until it is settled. */
  readonly added: number | null;
  /** JSON text; null until it is settled, and again when it is old. */
  readonly resultJson: string | null;
}

/** Imports and their files in Postgres. Every method throws {UnavailableError} when it does not answer. */
export type ImportQueries = ReturnType<typeof createImportQueries>;

/** Binds the queries to a connection pool. */
export function createImportQueries(knex: Knex) {
  return { ...uploadsOf(knex), ...readingOf(knex), ...retentionOf(knex) };
}

/** Methods for receiving a file. */
function uploadsOf(knex: Knex) {
  return {
    /** Starts an upload. */
    async open(place: { id: string; portfolioId: string; userId: string }): Promise<void> {
      const { id, portfolioId, userId } = place;
      await orUnavailable(
        knex('imports').insert({ id, portfolio_id: portfolioId, user_id: userId }).then(nothing),
      );
    },

    /** Stores the next chunk of a file. */
    async addChunk(importId: string, number: number, bytes: Buffer): Promise<void> {
      await orUnavailable(knex('import_chunks').insert({ import_id: importId, number, bytes }).then(nothing));
    },

    /** Marks the file as complete. */
    async complete(
      id: string,
      options: ImportOptions & Pick<ImportRecord, 'fileName' | 'encoding' | 'bytes' | 'sha256'>,
    ): Promise<void> {
      const row = {
        state: 'uploaded',
        format: options.format,
        on_error: options.onError,
        is_dry_run: options.isDryRun,
        mapping: options.mappingJson,
        symbols: options.symbolsJson,
        file_name: options.fileName,
        encoding: options.encoding,
        bytes: options.bytes,
        sha256: options.sha256,
      };
      await orUnavailable(knex('imports').where({ id }).update(row).then(nothing));
    },

    /** Deletes an upload and everything derived from it. */
    async discard(id: string): Promise<void> {
      await orUnavailable(knex('imports').where({ id }).whereNull('settled_at').delete().then(nothing));
    },
  };
}

function nothing(): void {
  // The row count of a statement does not matter.
}

interface ImportRow {
  readonly id: string;
  readonly portfolio_id: string;
  readonly user_id: string;
  readonly format: string;
  readonly on_error: StoredOnError;
  readonly is_dry_run: boolean;
  readonly mapping: string | null;
  readonly symbols: string;
  readonly file_name: string | null;
  readonly encoding: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly created_at: Date;
  readonly settled_at: Date | null;
  readonly added: number | null;
  readonly result: string | null;
}

function toRecord(row: ImportRow): ImportRecord {
  return {
    id: row.id,
    portfolioId: row.portfolio_id,
    userId: row.user_id,
    format: row.format,
    onError: readOnError(row.on_error),
    isDryRun: row.is_dry_run,
    mappingJson: row.mapping,
    symbolsJson: row.symbols,
    fileName: row.file_name,
    encoding: row.encoding,
    bytes: row.bytes,
    sha256: row.sha256,
    createdAt: row.created_at,
    settledAt: row.settled_at,
    added: row.added,
    resultJson: row.result,
  };
}

function readingOf(knex: Knex) {
  return {
    /** An import whose file has arrived; undefined when there is none in this portfolio. */
    async find(id: string, portfolioId: string): Promise<ImportRecord | undefined> {
      const row = await orUnavailable(
        knex<ImportRow>('imports')
          .where({ id, portfolio_id: portfolioId })
          .whereNot('state' as never, 'uploading')
          .first()
          .then((found) => found),
      );
      return row === undefined ? undefined : toRecord(row);
    },

    /** The imports of a portfolio, the newest first, without their results. */
    async list(
      portfolioId: string,
      { offset, limit }: { readonly offset: number; readonly limit: number },
    ): Promise<{ readonly imports: readonly ImportRecord[]; readonly total: number }> {
      const { rows } = await orUnavailable(
        knex.raw<{ rows: ImportRow[] }>(listSql, [portfolioId, limit, offset]),
      );
      const { rows: counts } = await orUnavailable(
        knex.raw<{ rows: [{ n: number }] }>(countSql, [portfolioId]),
      );
      return { imports: rows.map(toRecord), total: counts[0].n };
    },

    /** A chunk of a file; undefined after its end. */
    async chunk(importId: string, number: number): Promise<Buffer | undefined> {
      const row = await orUnavailable(
        knex('import_chunks')
          .where({ import_id: importId, number })
          .first('bytes')
          .then((found) => found as { bytes: Buffer } | undefined),
      );
      return row?.bytes;
    },
  };
}

const listSql = `select id, portfolio_id, user_id, format, on_error, is_dry_run, mapping, symbols, file_name, encoding, bytes,
    sha256, created_at, settled_at, added, null as result
  from imports where portfolio_id = ? and state <> 'uploading' order by id desc limit ? offset ?`;

const countSql = `select count(*) as n from imports where portfolio_id = ? and state <> 'uploading'`;

/** Rows of one statement. */
const maxRows = 1_000;
/** An upload that is not complete after this time (s) never will be: its request has ended. */
const uploadSeconds = 3_600;

function retentionOf(knex: Knex) {
  return {
    /** The assets that a user chose for symbols earlier, by symbol in upper case. */
    async choices(userId: string): Promise<ReadonlyMap<string, string>> {
      const rows = await orUnavailable(
        knex('symbol_choices')
          .where({ user_id: userId })
          .select('symbol', 'asset_id')
          .then((found) => found as { symbol: string; asset_id: string }[]),
      );
      return new Map(rows.map(({ symbol, asset_id: assetId }) => [symbol, assetId]));
    },

    /**
     * Deletes what is no longer needed: uploads that were interrupted, files of imports that ended more than `seconds` ago or
     * never did, dry runs of that age, the results of others, and the rest of those after ten years; at most 1,000 of each.
     * Returns the number of rows.
     */
    async purge(seconds: number): Promise<number> {
      let count = 0;
      for (const [sql, values] of [
        [purgeSql, [uploadSeconds, seconds, maxRows]],
        [shortenSql, [seconds, maxRows]],
        [purgeSettledSql, [maxRows]],
      ] as const) {
        const { rowCount } = await orUnavailable(knex.raw<{ rowCount: number }>(sql, values as never));
        count += rowCount;
      }
      return count;
    },
  };
}

/** The condition of their index comes first. */
const purgeSql = `delete from imports where id in (
    select id from imports where (settled_at is null or is_dry_run)
      and (state = 'uploading' and created_at < now() - ? * interval '1 second'
        or (state = 'uploaded' or is_dry_run) and created_at < now() - ? * interval '1 second')
    order by created_at limit ?)`;

const purgeSettledSql = `delete from imports where id in (
    select id from imports where created_at < now() - interval '10 years' order by created_at limit ?)`;

const shortenSql = `update imports set result = null where id in (
    select id from imports where result is not null and settled_at < now() - ? * interval '1 second' limit ?)`;
