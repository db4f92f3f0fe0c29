/**
 * Marks as text, to be stored between two changes. Lots are most of it and are written as plain rows, because reading them
 * back is most of what an appended transaction costs. What was written by another version of the books is not read: the
 * ledger is rebuilt then.
 */
import type { BookOptions, BookState } from './open-book.ts';
import type { BookLot } from './lot-book.ts';
import type { Mark } from './asset-ledger.ts';

/**
 * To be raised with every change of what a mark is made of, or of what the same postings come to; and with it, by a migration,
 * the `books_version` of all portfolios, so that their books are derived anew.
 */
export const markVersion = 1;

type LotRow = [number: number, id: string, at: number, unitCost: string, quantity: string, basis: string];

interface Written {
  readonly version: number;
  readonly method: string;
  readonly lots: readonly LotRow[] | null;
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
export function writeMark(mark: Mark, { method }: Pick<BookOptions, 'method'>): string {
  const lots = lotsOf(mark.book)?.map(rowOf) ?? null;
  const bare = lots === null ? mark : { ...mark, book: withoutLots(mark.book) };
  const written: Written = { version: markVersion, method, lots, mark: bare };
  return JSON.stringify(written, (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
}

/** The mark in a text of {@link writeMark}; undefined when it is of another version or method. */
export function readMark(text: string, { method }: Pick<BookOptions, 'method'>): Mark | undefined {
  const written = JSON.parse(text) as Written;
  if (written.version !== markVersion || written.method !== method) return undefined;
  const mark = revive(written.mark) as Mark;
  const { book } = mark;
  if (written.lots === null || book === null || book.method === 'average' || book.method === 'uk_pool')
    return mark;
  const lots = written.lots.map(lotOf);
  return { ...mark, book: { method: book.method, state: { ...book.state, lots } } };
}

function lotsOf(book: BookState | null): readonly BookLot[] | null {
  return book === null || book.method === 'average' || book.method === 'uk_pool' ? null : book.state.lots;
}

function withoutLots(book: BookState | null): unknown {
  return book === null ? null : { ...book, state: { ...book.state, lots: [] } };
}

function rowOf({ number, transaction, at, unitCost, quantity, basis }: BookLot): LotRow {
  return [number, transaction, at, unitCost.toString(), quantity.toString(), basis.toString()];
}

function lotOf([number, transaction, at, unitCost, quantity, basis]: LotRow): BookLot {
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
