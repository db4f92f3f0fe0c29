/**
 * Marks as text, to be stored between two changes, and which of them are worth it. Lots are most of a mark and are written as
 * plain rows, because reading them back is most of what an appended transaction costs. What was written by another version of
 * the books is not read: the ledger is rebuilt then.
 */
import type { CostBasisMethod } from '../../../domain/bookkeeping.ts';
import { thinned, type Mark } from './asset-ledger.ts';
import type { BookLot } from './lot-book.ts';

/**
 * To be raised with every change of what a mark is made of, or of what the same postings come to; and with it, by a migration,
 * the `books_version` of all portfolios, so that their books are rebuilt.
 */
export const markVersion = 1;

interface Written {
  readonly version: number;
  readonly method: string;
  readonly lots: readonly ReturnType<typeof rowOf>[] | null;
  readonly mark: unknown;
}

/** Fields that hold amounts. */
const amountFields: ReadonlySet<string> = new Set([
  'quantity',
  'worth',
  'basis',
  'proceeds',
  'holding',
  'acquired',
  'consumed',
  'left',
]);

/** A mark as text. */
export function writeMark(mark: Mark, method: CostBasisMethod): string {
  const { book } = mark;
  const hasLots = book !== null && book.method !== 'average' && book.method !== 'uk_pool';
  const written: Written = {
    version: markVersion,
    method,
    lots: hasLots ? book.state.lots.map(rowOf) : null,
    mark: hasLots ? { ...mark, book: { ...book, state: { ...book.state, lots: [] } } } : mark,
  };
  return JSON.stringify(written, (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
}

/** The mark in a text of {@link writeMark}; undefined when it is of another version or method. */
export function readMark(text: string, method: CostBasisMethod): Mark | undefined {
  const written = JSON.parse(text) as Written;
  if (written.version !== markVersion || written.method !== method) return undefined;
  const mark = revive(written.mark) as Mark;
  const { book } = mark;
  if (written.lots === null || book === null || book.method === 'average' || book.method === 'uk_pool')
    return mark;
  const lots = written.lots.map(lotOf);
  return { ...mark, book: { method: book.method, state: { ...book.state, lots } } };
}

function rowOf({ number, transaction, at, unitCost, quantity, basis }: BookLot) {
  return [number, transaction, at, unitCost.toString(), quantity.toString(), basis.toString()] as const;
}

function lotOf([number, transaction, at, unitCost, quantity, basis]: ReturnType<typeof rowOf>): BookLot {
  return {
    number,
    transaction,
    at,
    unitCost: BigInt(unitCost),
    quantity: BigInt(quantity),
    basis: BigInt(basis),
  };
}

/** Turns the texts of amounts into amounts again. */
function revive(value: unknown, field = ''): unknown {
  if (typeof value === 'string') return amountFields.has(field) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map((each) => revive(each));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, revive(each, key)]));
}

/** A replay of fewer postings is not worth a mark. */
const leastPostings = 256;
/** Storing so many characters of a mark takes as long as replaying one posting (measured: docs/adr/0015). */
const charactersPerPosting = 200;

/**
 * The counts of the marks to keep, of `marks` from the earliest to the last, which always stays. Marks lie so far apart that
 * they cost less than the replay that they save, and the farther apart the farther they are from the end (distances about
 * double): so a change costs a replay of about twice what follows it at most, and there are few marks however long the
 * ledger is. Chosen after every change, it comes to about the same as chosen once.
 * @param marks postings before each, and characters of its text.
 */
export function marksToKeep(marks: readonly { readonly count: number; readonly size: number }[]): number[] {
  const last = marks.at(-1);
  if (last === undefined) return [];
  const spaced: number[] = [];
  for (const { count, size } of marks.slice(0, -1)) {
    const least = Math.max(leastPostings, size / charactersPerPosting);
    if (count - (spaced.at(-1) ?? 0) >= least) spaced.push(count);
  }
  return thinned([...spaced, last.count]);
}
