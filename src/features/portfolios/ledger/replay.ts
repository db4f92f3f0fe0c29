/**
 * Replays the ledger of one asset from a stored checkpoint and returns what is to be stored. Input and output are text in few
 * chunks, so that a thread can do it and only some bytes have to be transferred: lot matches are returned as columns in the
 * notation of Postgres arrays, in blocks, ready to be written.
 */
import type { CostBasisMethod } from '../../../domain/bookkeeping.ts';
import { formatAmount } from './amount.ts';
import type { Consumption, Lot } from './asset-book.ts';
import { createAssetLedger, type Mark } from './asset-ledger.ts';
import { marksToKeep, markVersion, readMark, writeMark } from './checkpoint.ts';
import { daysOf } from './days.ts';
import { readPostings } from './postings.ts';
import { rankOf } from './transaction.ts';

/** How the books of a portfolio are kept. */
export interface Bookkeeping {
  readonly method: CostBasisMethod;
  /** IANA time zone of its days. */
  readonly timeZone: string;
}

/** The input of a replay. */
export interface ReplayTask extends Bookkeeping {
  readonly asset: string;
  /** Text of the checkpoint to continue from; null for the start. */
  readonly mark: string | null;
  /** The postings after it in their order, as text ({@link readPostings}), in any number of chunks. */
  readonly postings: readonly string[];
}

/** Names of the columns of lot matches, in the order in which {@link Replayed} has them. */
export const consumptionColumns = [
  'kind',
  'transaction_id',
  'is_fee',
  'at',
  'lot_id',
  'acquired_at',
  'rule',
  'quantity',
  'proceeds',
  'basis',
  'is_provisional',
] as const;

/** A checkpoint with the fields that are stored next to it. */
export interface StoredMark {
  readonly count: number;
  readonly settled: number;
  readonly at: number;
  readonly rank: number;
  readonly sequence: number;
  readonly transactionId: string;
  readonly isFee: boolean;
  /** Decimal text. */
  readonly holding: string;
  readonly state: string;
}

/** The result of a replay. */
export interface Replayed {
  /** The holding of an asset and its sums, as decimal texts. */
  readonly position: {
    /** Number of postings included. */
    readonly count: number;
    readonly quantity: string;
    readonly acquired: string;
    readonly consumed: string;
    readonly leftBasis: string;
    readonly proceeds: string;
    readonly openLots: number;
  };
  /** Lot matches with lower numbers stay unchanged. */
  readonly firstConsumption: number;
  /** Consecutive lot matches, as columns. */
  readonly blocks: readonly {
    /** Number of the first among those of the asset. */
    readonly first: number;
    readonly count: number;
    /** A line for each of {@link consumptionColumns}: `{a,b,…}`. */
    readonly columns: string;
  }[];
  /** Checkpoints after the one that it started at, earliest first; the last one is the end. */
  readonly marks: readonly StoredMark[];
}

/** Rows of one block. */
const blockSize = 2_000;

/** Identifies how the books are kept. Checkpoints made in one way are useless in another; days matter to one method only. */
export function keptAs({ method, timeZone }: Bookkeeping): string {
  return [String(markVersion), method, ...(method === 'uk_pool' ? [timeZone] : [])].join(' ');
}

/**
 * Replays an asset.
 * @throws {OverdrawnError} when more went out than was held, which should have been refused when the postings were stored.
 * @throws {Error} when the checkpoint was made with other settings of the books.
 */
export function replayAsset(task: ReplayTask): Replayed {
  const { asset, method } = task;
  const from = task.mark === null ? undefined : markOf(task.mark, method);
  const ledger = createAssetLedger({ method, dayOf: daysOf(task.timeZone) }, from);
  for (const text of task.postings) ledger.append(readPostings(asset, text));
  const { holding, lots, tally, consumptions, provisional } = ledger.snapshot();
  // The end may coincide with a checkpoint.
  const places = new Map(ledger.marks().map((mark) => [mark.count, mark]));
  const marks = [...places.values()].flatMap((mark) => storedMark(mark, method));
  const kept = new Set(marksToKeep(marks.map(({ count, state }) => ({ count, size: state.length }))));
  const firstConsumption = from?.settled ?? 0;
  const isProvisional = consumptions.map((_, index) => index >= consumptions.length - provisional);
  const starts = Array.from({ length: Math.ceil(consumptions.length / blockSize) }, (_, n) => n * blockSize);
  return {
    position: {
      count: marks.at(-1)?.count ?? 0,
      quantity: formatAmount(holding),
      acquired: formatAmount(tally.acquired),
      consumed: formatAmount(tally.consumed),
      leftBasis: formatAmount(tally.left),
      proceeds: formatAmount(tally.proceeds),
      openLots: lots.length,
    },
    firstConsumption,
    blocks: starts.map((first) => {
      const rows = consumptions.slice(first, first + blockSize);
      const columns = columnsOf(rows, isProvisional.slice(first, first + blockSize));
      return { first: firstConsumption + first, count: rows.length, columns };
    }),
    marks: marks.filter(({ count }) => kept.has(count)),
  };
}

/**
 * The open lots in the text of a checkpoint; for a pooling method, only the pool.
 * @throws {Error} when the checkpoint was made with other settings of the books.
 */
export function lotsOfMark(text: string, { method, timeZone }: Bookkeeping): readonly Lot[] {
  return createAssetLedger({ method, dayOf: daysOf(timeZone) }, markOf(text, method)).snapshot().lots;
}

function markOf(text: string, method: CostBasisMethod): Mark {
  const mark = readMark(text, method);
  if (mark === undefined) throw new Error('the checkpoint was made with another cost basis method');
  return mark;
}

function storedMark(mark: Mark, method: CostBasisMethod): StoredMark[] {
  const { count, settled, last, book } = mark;
  if (last === null || book === null) return [];
  const { at, type, sequence, id } = last.transaction;
  const holding =
    book.method === 'average'
      ? book.state.quantity
      : book.method === 'uk_pool'
        ? book.state.holding
        : book.state.lots.reduce((sum, { quantity }) => sum + quantity, 0n);
  return [
    {
      count,
      settled,
      at,
      rank: rankOf[type],
      sequence,
      transactionId: id,
      isFee: last.isFee,
      holding: formatAmount(holding),
      state: writeMark(mark, method),
    },
  ];
}

/** No value contains a comma, a quotation mark or a brace, so none is quoted. */
function columnsOf(rows: readonly Consumption[], isProvisional: readonly boolean[]): string {
  const column = (valueOf: (row: Consumption) => string | null): string =>
    `{${rows.map((row) => valueOf(row) ?? 'NULL').join(',')}}`;
  return [
    column(({ kind }) => kind),
    column(({ transaction }) => transaction),
    column(({ isFee }) => String(isFee)),
    column(({ at }) => new Date(at).toISOString()),
    column(({ lot }) => lot),
    column(({ acquiredAt }) => (acquiredAt === null ? null : new Date(acquiredAt).toISOString())),
    column(({ rule }) => rule),
    column(({ quantity }) => formatAmount(quantity)),
    column(({ proceeds }) => formatAmount(proceeds)),
    column(({ basis }) => formatAmount(basis)),
    `{${isProvisional.join(',')}}`,
  ].join('\n');
}
