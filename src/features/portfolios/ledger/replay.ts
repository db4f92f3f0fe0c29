/**
 * Replays the ledger of one asset from a stored checkpoint and returns what is to be stored. Input and output are text in few
 * chunks, so that a thread can do it and only some bytes have to be transferred: lot matches are returned as columns in the
 * notation of Postgres arrays, in blocks, ready to be written.
 */
import type { CostBasisMethod } from '../../../domain/bookkeeping.ts';
import { formatAmount } from './amount.ts';
import type { LotMatch, Lot } from './asset-book.ts';
import { createAssetLedger, type Checkpoint } from './asset-ledger.ts';
import { checkpointsToKeep, checkpointVersion, readCheckpoint, writeCheckpoint } from './checkpoint.ts';
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
  readonly checkpoint: string | null;
  /** The postings after it in their order, as text ({@link readPostings}), in any number of chunks. */
  readonly postings: readonly string[];
}

/** Names of the columns of lot matches, in the order in which {@link Replayed} has them. */
export const lotMatchColumns = [
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
export interface StoredCheckpoint {
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
  readonly firstLotMatch: number;
  /** Consecutive lot matches, as columns. */
  readonly blocks: readonly {
    /** Number of the first among those of the asset. */
    readonly first: number;
    readonly count: number;
    /** A line for each of {@link lotMatchColumns}: `{a,b,…}`. */
    readonly columns: string;
  }[];
  /** Checkpoints after the one that it started at, earliest first; the last one is the end. */
  readonly checkpoints: readonly StoredCheckpoint[];
}

/** Rows of one block. */
const blockSize = 2_000;

/** Identifies how the books are kept. Checkpoints made in one way are useless in another; days matter to one method only. */
export function keptAs({ method, timeZone }: Bookkeeping): string {
  return [String(checkpointVersion), method, ...(method === 'uk_pool' ? [timeZone] : [])].join(' ');
}

/**
 * Replays an asset.
 * @throws {OverdrawnError} when more went out than was held, which should have been refused when the postings were stored.
 * @throws {Error} when the checkpoint was made with other settings of the books.
 */
export function replayAsset(task: ReplayTask): Replayed {
  const { asset, method } = task;
  const from = task.checkpoint === null ? undefined : checkpointOf(task.checkpoint, method);
  const ledger = createAssetLedger({ method, dayOf: daysOf(task.timeZone) }, from);
  for (const text of task.postings) ledger.append(readPostings(asset, text));
  const { holding, lots, tally, lotMatches, provisional } = ledger.snapshot();
  // The end may coincide with a checkpoint.
  const places = new Map(ledger.checkpoints().map((checkpoint) => [checkpoint.count, checkpoint]));
  const checkpoints = [...places.values()].flatMap((checkpoint) => storedCheckpoint(checkpoint, method));
  const kept = new Set(
    checkpointsToKeep(checkpoints.map(({ count, state }) => ({ count, size: state.length }))),
  );
  const firstLotMatch = from?.settled ?? 0;
  const isProvisional = lotMatches.map((_, index) => index >= lotMatches.length - provisional);
  const starts = Array.from({ length: Math.ceil(lotMatches.length / blockSize) }, (_, n) => n * blockSize);
  return {
    position: {
      count: checkpoints.at(-1)?.count ?? 0,
      quantity: formatAmount(holding),
      acquired: formatAmount(tally.acquired),
      consumed: formatAmount(tally.consumed),
      leftBasis: formatAmount(tally.left),
      proceeds: formatAmount(tally.proceeds),
      openLots: lots.length,
    },
    firstLotMatch,
    blocks: starts.map((first) => {
      const rows = lotMatches.slice(first, first + blockSize);
      const columns = columnsOf(rows, isProvisional.slice(first, first + blockSize));
      return { first: firstLotMatch + first, count: rows.length, columns };
    }),
    checkpoints: checkpoints.filter(({ count }) => kept.has(count)),
  };
}

/**
 * The open lots in the text of a checkpoint; for a pooling method, only the pool.
 * @throws {Error} when the checkpoint was made with other settings of the books.
 */
export function lotsOfCheckpoint(text: string, { method, timeZone }: Bookkeeping): readonly Lot[] {
  return createAssetLedger({ method, dayOf: daysOf(timeZone) }, checkpointOf(text, method)).snapshot().lots;
}

function checkpointOf(text: string, method: CostBasisMethod): Checkpoint {
  const checkpoint = readCheckpoint(text, method);
  if (checkpoint === undefined) throw new Error('the checkpoint was made with another cost basis method');
  return checkpoint;
}

function storedCheckpoint(checkpoint: Checkpoint, method: CostBasisMethod): StoredCheckpoint[] {
  const { count, settled, last, book } = checkpoint;
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
      state: writeCheckpoint(checkpoint, method),
    },
  ];
}

/** No value contains a comma, a quotation mark or a brace, so none is quoted. */
function columnsOf(rows: readonly LotMatch[], isProvisional: readonly boolean[]): string {
  const column = (valueOf: (row: LotMatch) => string | null): string =>
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
