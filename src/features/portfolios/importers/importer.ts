/**
 * What all importers of reports have in common. An importer is one file: the name of its report, how its header is recognised
 * and what its rows mean; formats.ts lists them. A reader takes the records of a file one by one and reports their outcomes: it
 * holds rows back only while others may belong to the same transaction. Symbols are the report's: they are resolved to assets
 * later.
 */
import { createHash } from 'node:crypto';
import { ValidationError } from '../../../domain/errors.ts';
import { isFiat } from '../ledger/fiat.ts';
import type { TransactionType } from '../../../domain/bookkeeping.ts';
import { isText, RowError } from './cells.ts';

/** A quantity with the symbol that the report uses. Plain decimal text, more than 0. */
export interface SymbolAmount {
  readonly symbol: string;
  readonly quantity: string;
}

/** Cash. Plain decimal text, 0 or more. */
export interface Money {
  /** Lower case, such as `eur`. */
  readonly currency: string;
  readonly amount: string;
}

/** A transaction as a report states it. */
export interface ImportedTransaction {
  readonly type: TransactionType;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  /** The first line that it is on: its order among others of the same time. */
  readonly sequence: number;
  readonly received: SymbolAmount | null;
  readonly sent: SymbolAmount | null;
  /** As Transaction.value, but in the report's currency; null when the report has none. */
  readonly value: Money | null;
  /** An asset or cash. */
  readonly fee: SymbolAmount | Money | null;
  /** The value of a fee in an asset, in the report's currency; absent when the report does not say. */
  readonly feeValue?: Money | null | undefined;
  readonly note: string | null;
  /** The id from the exporting system; absent when it had none. */
  readonly id?: string | undefined;
}

/** The outcome of one or more rows. */
export type RowOutcome =
  | {
      readonly kind: 'transaction';
      readonly lines: readonly number[];
      /** The same for the same rows in any file at any time. */
      readonly fingerprint: string;
      readonly transaction: ImportedTransaction;
    }
  | { readonly kind: 'skipped'; readonly line: number; readonly reason: string }
  | {
      readonly kind: 'problem';
      readonly line: number;
      /** Name of the column; null when the row as a whole is wrong. */
      readonly column: string | null;
      readonly reason: string;
    };

/** A record under its header. */
export interface Row {
  readonly line: number;
  /** The trimmed cell of a column; empty when the header has no such column. */
  cell(column: string): string;
  /** All cells. */
  readonly record: readonly string[];
}

/** Rows that share a key make one transaction together. */
interface JoinedRow {
  readonly key: string;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  /**
   * The transaction of all rows of a key, or the reason why they are skipped; null when only cash changed hands.
   * @param at time of the first of them.
   */
  readonly join: (rows: readonly Row[], at: number) => ImportedTransaction | string | null;
}

/** The rules of the rows under a header. */
export interface ReportRules {
  /**
   * The column of each field of a transaction, such as `received.quantity`, so that a problem can name it. If the column
   * depends on the type, the key has a prefix: `swap.received.asset`.
   */
  readonly columns: Readonly<Partial<Record<string, string>>>;
  /**
   * The outcome of a row: a transaction, a part of one, or the reason why it is skipped; null for a row of cash alone.
   * @throws {RowError} when it violates a rule.
   */
  read(row: Row): ImportedTransaction | JoinedRow | string | null;
  /** What identifies the rows of a transaction permanently: fields to make a fingerprint of, or the fingerprint itself. */
  fingerprint(rows: readonly Row[]): readonly string[] | string;
  /** Why a transaction and the row after it cancel each other; undefined when each of them counts. */
  cancels?(row: Row, next: Row): string | undefined;
}

/** One kind of report. */
export interface Importer {
  /** The name that clients use. */
  readonly name: string;
  /** The rules for a header, given its trimmed names; undefined when it is not the header of this report. */
  rulesFor(names: readonly string[]): ReportRules | undefined;
}

/** Reads the rows under a header. */
export interface ReportReader {
  readonly columns: ReportRules['columns'];
  /** The outcomes that are known after this record. */
  read(record: readonly string[], line: number): RowOutcome[];
  /** The outcomes that were held back. */
  end(): RowOutcome[];
}

/** A reader of the rows under a header by their rules. */
export function createReader(format: string, header: readonly string[], rules: ReportRules): ReportReader {
  const places = new Map(header.map((name, place) => [name.trim(), place]));
  const fingerprintOf = fingerprintsOf(format);
  const groups = rowGroups((rows, join, at) => outcomesFor(rows, join(rows, at)));
  /** A transaction that the next row may cancel. */
  let held: { readonly row: Row; readonly outcomes: RowOutcome[] } | undefined;

  const outcomesFor = (rows: readonly Row[], result: ImportedTransaction | string | null): RowOutcome[] => {
    if (result === null || typeof result === 'string')
      return rows.map(({ line }) => ({ kind: 'skipped', line, reason: result ?? 'cash is not tracked' }));
    const key = rules.fingerprint(rows);
    const fingerprint = typeof key === 'string' ? key : fingerprintOf(key);
    return [{ kind: 'transaction', lines: rows.map(({ line }) => line), fingerprint, transaction: result }];
  };

  const rowOf = (record: readonly string[], line: number): Row => {
    if (record.length !== header.length)
      throw new RowError(null, `has ${record.length} cells, the header has ${header.length}`);
    const wrong = record.findIndex((cell) => !isText(cell));
    if (wrong !== -1) throw new RowError((header[wrong] ?? '').trim(), 'has characters that are not text');
    return { line, record, cell: (column) => (record[places.get(column) ?? -1] ?? '').trim() };
  };

  const outcomesOfRow = (row: Row): RowOutcome[] => {
    const result = rules.read(row);
    return result !== null && typeof result === 'object' && 'join' in result
      ? groups.add(row, result)
      : outcomesFor([row], result);
  };

  const release = (): RowOutcome[] => {
    const outcomes = held?.outcomes ?? [];
    held = undefined;
    return outcomes;
  };

  const readAhead = (record: readonly string[], line: number): RowOutcome[] => {
    let row: Row | undefined;
    const outcomes = outcomesOf([line], () => {
      row = rowOf(record, line);
      const reason = held === undefined ? undefined : rules.cancels?.(held.row, row);
      if (held === undefined || reason === undefined) return outcomesOfRow(row);
      const both = [held.row, row];
      held = undefined;
      return outcomesFor(both, reason);
    });
    const before = release();
    if (row === undefined || outcomes[0]?.kind !== 'transaction') return [...before, ...outcomes];
    held = { row, outcomes };
    return before;
  };

  return {
    columns: rules.columns,
    read:
      rules.cancels === undefined
        ? (record, line) => outcomesOf([line], () => outcomesOfRow(rowOf(record, line)))
        : readAhead,
    end: () => [...release(), ...groups.end()],
  };
}

/** The result of `read`, with a {@link RowError} as a problem of each line. Other errors are rethrown. */
function outcomesOf(lines: readonly number[], read: () => RowOutcome[]): RowOutcome[] {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof RowError)) throw error;
    const { column, reason } = error;
    return lines.map((line) => ({ kind: 'problem', line, column, reason }));
  }
}

/**
 * Fingerprints of the rows of one file. Rows that are equal in every field are numbered, because two equal fills in one second
 * are two trades; so the same file gives the same fingerprints each time. Remembers a short text per row.
 */
function fingerprintsOf(format: string): (fields: readonly string[]) => string {
  const seen = new Map<string, number>();
  return (fields) => {
    const text = JSON.stringify([format, ...fields]);
    const digest = createHash('sha256').update(text).digest('base64url').slice(0, 27);
    const count = seen.get(digest) ?? 0;
    seen.set(digest, count + 1);
    return count === 0 ? digest : `${digest}.${count}`;
  };
}

/** Rows of one transaction that are further apart (ms) in a report are not joined. */
const windowMs = 60_000;
/** Rows held back at once: more than any exchange writes in a minute. */
const maxHeld = 20_000;
/** Rows of one transaction: more than the fills of any order. */
const maxRows = 1_000;

interface Group extends JoinedRow {
  /** Empty after there were too many: later ones are then refused one by one. */
  rows: Row[];
  isOverfull: boolean;
}

/**
 * Groups rows by a key. Reports are in order of time, forwards or backwards, so the group that was started first is complete
 * when a row of more than a minute before or after it comes; nothing else is held in memory. If a report is not in order of
 * time, groups may wait for one that was started before them. A group of more than 1,000 rows is refused, row by row.
 */
function rowGroups(
  settle: (rows: readonly Row[], join: JoinedRow['join'], at: number) => RowOutcome[],
): Pick<ReportReader, 'end'> & { add(row: Row, joined: JoinedRow): RowOutcome[] } {
  const groups = new Map<string, Group>();
  /**
   * In the order in which they were started, from `oldest` on. (Finding the first entry of a map takes time proportional to the
   * number of deleted ones.)
   */
  let started: Group[] = [];
  let oldest = 0;
  let held = 0;

  const finishOldest = ({ key, at, join, rows }: Group): RowOutcome[] => {
    groups.delete(key);
    oldest += 1;
    if (oldest > maxHeld) [started, oldest] = [started.slice(oldest), 0];
    held -= rows.length;
    if (rows.length === 0) return [];
    const lines = rows.map(({ line }) => line);
    return outcomesOf(lines, () => settle(rows, join, at));
  };

  const isComplete = (group: Group, key: string, at: number): boolean =>
    held >= maxHeld || groups.size >= maxHeld || (group.key !== key && Math.abs(group.at - at) > windowMs);

  return {
    add(row, joined) {
      const { key, at } = joined;
      const outcomes: RowOutcome[] = [];
      for (let first = started[oldest]; first !== undefined; first = started[oldest]) {
        if (!isComplete(first, key, at)) break;
        for (const outcome of finishOldest(first)) outcomes.push(outcome);
      }
      let group = groups.get(key);
      if (group === undefined) {
        group = { ...joined, rows: [], isOverfull: false };
        groups.set(key, group);
        started.push(group);
      }
      if (!group.isOverfull && group.rows.length < maxRows) {
        group.rows.push(row);
        held += 1;
        return outcomes;
      }
      const reason = `belongs to a transaction of more than ${maxRows} rows`;
      for (const { line } of [...group.rows, row])
        outcomes.push({ kind: 'problem', line, column: null, reason });
      held -= group.rows.length;
      group.rows = [];
      group.isOverfull = true;
      return outcomes;
    },
    end: () => started.slice(oldest).flatMap(finishOldest),
  };
}

/** Most columns of a report: more than any has. */
const maxColumns = 500;
/** Longest name of a column (characters). */
const longestName = 200;

/**
 * Checks that apply to every header, because the problems of rows quote its names.
 * @throws {ValidationError} naming the header.
 */
export function checkHeader(header: readonly string[]): void {
  const place = header.findIndex((name) => name.length > longestName || !isText(name));
  if (header.length <= maxColumns && place === -1) return;
  const message =
    header.length > maxColumns
      ? `has more than ${maxColumns} columns`
      : `the name of column ${place + 1} is longer than ${longestName} characters or not text`;
  throw new ValidationError('The header cannot be read', [{ field: 'header', message }]);
}

/** The parts of a trade, as the report's rows state them. */
type TradeParts = Pick<ImportedTransaction, 'at' | 'sequence'> & {
  readonly received: SymbolAmount;
  readonly sent: SymbolAmount;
  readonly fee: SymbolAmount | null;
  readonly note?: string | null;
};

/**
 * A trade: a purchase or sale when one side is cash, a swap when none is. When both are cash, only a fee in an asset matters to
 * us; null without one.
 */
export function tradeOf({
  received,
  sent,
  fee,
  note = null,
  ...when
}: TradeParts): ImportedTransaction | null {
  const [buysCash, paysCash] = [isFiat(received.symbol), isFiat(sent.symbol)];
  if (buysCash && paysCash) return feeAlone({ ...when, fee, note });
  const rest = { ...when, fee: fee === null ? null : feeOf(fee), note };
  if (paysCash) return { ...rest, type: 'buy', received, sent: null, value: moneyOf(sent) };
  if (buysCash) return { ...rest, type: 'sell', received: null, sent, value: moneyOf(received) };
  if (received.symbol === sent.symbol) throw new RowError(null, `${sent.symbol} was traded for itself`);
  return { ...rest, type: 'swap', received, sent, value: null };
}

/** The fee of something that itself is outside the books: an asset was spent; null when the fee was cash or there is none. */
export function feeAlone({
  fee,
  ...rest
}: Omit<TradeParts, 'received' | 'sent'> & { readonly note: string | null }): ImportedTransaction | null {
  if (fee === null || isFiat(fee.symbol)) return null;
  return { ...rest, type: 'fee', received: null, sent: fee, value: null, fee: null };
}

/** The fee, as cash if its symbol is a currency. */
export function feeOf(fee: SymbolAmount): SymbolAmount | Money {
  return isFiat(fee.symbol) ? moneyOf(fee) : fee;
}

function moneyOf({ symbol, quantity }: SymbolAmount): Money {
  return { currency: symbol.toLowerCase(), amount: quantity };
}
