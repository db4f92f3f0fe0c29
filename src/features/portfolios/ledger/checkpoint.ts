/**
 * Checkpoints as text, to be stored between two changes, and the choice of those worth storing. Lots are most of a checkpoint
 * and are written as plain rows, because reading them back is most of the cost of appending a transaction. A checkpoint written
 * by another version of the books is not read: the ledger is rebuilt then.
 */
import type { CostBasisMethod } from '../../../domain/bookkeeping.ts';
import { thinned, type Checkpoint } from './asset-ledger.ts';
import type { BookLot } from './lot-book.ts';

/**
 * Raise this with every change of what a checkpoint contains, or of the result of the same postings; and with it, by a
 * migration, the `books_version` of all portfolios, so that their books are rebuilt.
 */
export const checkpointVersion = 1;

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

/** A checkpoint as text. */
export function writeCheckpoint(checkpoint: Checkpoint, method: CostBasisMethod): string {
  const { book } = checkpoint;
  const hasLots = book !== null && book.method !== 'average' && book.method !== 'uk_pool';
  const written: Written = {
    version: checkpointVersion,
    method,
    lots: hasLots ? book.state.lots.map(rowOf) : null,
    mark: hasLots ? { ...checkpoint, book: { ...book, state: { ...book.state, lots: [] } } } : checkpoint,
  };
  return JSON.stringify(written, (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
}

/** The checkpoint in a text of {@link writeCheckpoint}; undefined when it is of another version or method. */
export function readCheckpoint(text: string, method: CostBasisMethod): Checkpoint | undefined {
  const written = JSON.parse(text) as Written;
  if (written.version !== checkpointVersion || written.method !== method) return undefined;
  const checkpoint = revive(written.mark) as Checkpoint;
  const { book } = checkpoint;
  if (written.lots === null || book === null || book.method === 'average' || book.method === 'uk_pool')
    return checkpoint;
  const lots = written.lots.map(lotOf);
  return { ...checkpoint, book: { method: book.method, state: { ...book.state, lots } } };
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

/** Turns the texts of amounts back into amounts. */
function revive(value: unknown, field = ''): unknown {
  if (typeof value === 'string') return amountFields.has(field) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map((each) => revive(each));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, revive(each, key)]));
}

/** A replay of fewer postings is not worth a checkpoint. */
const minPostings = 256;
/** Storing this number of characters takes as long as replaying one posting (measured: docs/explanation/adr/0015-derived-books.md). */
const charactersPerPosting = 200;

/**
 * Chooses the checkpoints to keep, given `checkpoints` from the earliest to the last, which always stays; returns their counts. They
 * are so far apart that they cost less than the replay that they save, and farther apart the farther they are from the end
 * (distances about double): so a change costs a replay of at most about twice what follows it, and there are few checkpoints
 * however long the ledger is. Choosing after every change gives about the same result as choosing once.
 * @param checkpoints postings before each, and characters of its text.
 */
export function checkpointsToKeep(
  checkpoints: readonly { readonly count: number; readonly size: number }[],
): number[] {
  const last = checkpoints.at(-1);
  if (last === undefined) return [];
  const spaced: number[] = [];
  for (const { count, size } of checkpoints.slice(0, -1)) {
    const least = Math.max(minPostings, size / charactersPerPosting);
    if (count - (spaced.at(-1) ?? 0) >= least) spaced.push(count);
  }
  return thinned([...spaced, last.count]);
}
