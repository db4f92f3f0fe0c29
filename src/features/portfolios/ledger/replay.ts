/**
 * Replays the ledger of one asset from a stored mark and says what is to be stored of it. Everything comes and goes as text
 * in few pieces, so that it can be done in a thread at the price of handing over some bytes: consumptions leave as columns in
 * the notation of Postgres arrays, in blocks, ready to be written.
 */
import type { CostBasisMethod } from '../../../domain/bookkeeping.ts';
import { formatAmount } from './amount.ts';
import { daysOf } from './days.ts';
import type { Posting } from './postings.ts';
import { rankOf } from './transaction.ts';
import type { Consumption, Lot } from './asset-book.ts';
import { createAssetLedger, type AssetLedger, type AssetStanding, type Mark } from './asset-ledger.ts';
import { marksToKeep } from './checkpoint-choice.ts';
import { markVersion, readMark, writeMark } from './checkpoint-text.ts';
import { openBook } from './open-book.ts';
import { readPostings } from './posting-text.ts';

/** How the books of a portfolio are kept. */
export interface Bookkeeping {
  readonly method: CostBasisMethod;
  /** IANA time zone of its days. */
  readonly timeZone: string;
}

/** What is to be replayed. */
export interface ReplayTask extends Bookkeeping {
  readonly asset: string;
  /** Text of the mark to go on from; null for the beginning. */
  readonly mark: string | null;
  /** Postings behind it in their order, as text ({@link readPostings}), in any number of pieces. */
  readonly postings: readonly string[];
}

/** Names of the columns of consumptions, in the order in which {@link ConsumptionBlock} has them. */
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

/** Consumptions that follow each other, as columns. */
export interface ConsumptionBlock {
  /** Number of the first among those of the asset. */
  readonly first: number;
  readonly count: number;
  /** A line for each of {@link consumptionColumns}: `{a,b,…}`. */
  readonly columns: string;
}

/** A mark with what is stored beside it. */
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

/** What is held of an asset, and its sums, as decimal texts. */
export interface StoredPosition {
  /** Postings that it is of. */
  readonly count: number;
  readonly quantity: string;
  readonly acquired: string;
  readonly consumed: string;
  readonly leftBasis: string;
  readonly proceeds: string;
  readonly openLots: number;
}

/** What came of a replay. */
export interface Replayed {
  readonly position: StoredPosition;
  /** Consumptions with lower numbers stay as they are. */
  readonly firstConsumption: number;
  readonly blocks: readonly ConsumptionBlock[];
  /** Marks behind the one that it began at, earliest first; the last one is the end. */
  readonly marks: readonly StoredMark[];
}

/** Rows of one block. */
const blockSize = 2_000;

/**
 * Names a way of keeping books. Marks of one way are of no use to another; days matter to one method only.
 */
export function keptAs({ method, timeZone }: Bookkeeping): string {
  return [String(markVersion), method, ...(method === 'uk_pool' ? [timeZone] : [])].join(' ');
}

/**
 * Replays an asset.
 * @throws {OverdrawnError} when more went out than was held, which whoever stored the postings should have refused.
 * @throws {Error} when the mark is of another way of keeping books.
 */
export function replayAsset(task: ReplayTask): Replayed {
  const { asset, method, timeZone } = task;
  const from = task.mark === null ? undefined : readMark(task.mark, { method });
  if (task.mark !== null && from === undefined)
    throw new Error(`the mark of ${asset} cannot be gone on from`);
  const ledger = createAssetLedger({ method, dayOf: daysOf(timeZone) }, from);
  const added: Posting[] = [];
  for (const text of task.postings) for (const each of readPostings(asset, text)) added.push(each);
  if (added.length > 0) ledger.stage({ added, removed: new Set() })();
  return derive(ledger, { method, firstConsumption: from?.settled ?? 0 });
}

/**
 * The open lots in the text of a mark; of a pool the pool alone.
 * @throws {Error} when the mark is of another way of keeping books.
 */
export function lotsOfMark(text: string, { method, timeZone }: Bookkeeping): readonly Lot[] {
  const mark = readMark(text, { method });
  if (mark === undefined) throw new Error('the mark is of another way of keeping books');
  return openBook({ method, dayOf: daysOf(timeZone) }, mark.book ?? undefined).standing().lots;
}

function derive(
  ledger: AssetLedger,
  { method, firstConsumption }: { method: CostBasisMethod; firstConsumption: number },
): Replayed {
  const standing = ledger.standing();
  // The end may lie where a mark lies.
  const places = new Map(ledger.marks().map((mark) => [mark.count, mark]));
  const marks = worthKeeping([...places.values()].flatMap((mark) => storedMark(mark, method)));
  return {
    position: positionOf(standing, marks.at(-1)?.count ?? 0),
    firstConsumption,
    blocks: blocksOf(standing, firstConsumption),
    marks,
  };
}

function worthKeeping(marks: readonly StoredMark[]): StoredMark[] {
  const kept = new Set(marksToKeep(marks.map(({ count, state }) => ({ count, size: state.length }))));
  return marks.filter(({ count }) => kept.has(count));
}

function positionOf({ holding, lots, tally }: AssetStanding, count: number): StoredPosition {
  return {
    count,
    quantity: formatAmount(holding),
    acquired: formatAmount(tally.acquired),
    consumed: formatAmount(tally.consumed),
    leftBasis: formatAmount(tally.left),
    proceeds: formatAmount(tally.proceeds),
    openLots: lots.length,
  };
}

function storedMark(mark: Mark, method: CostBasisMethod): StoredMark[] {
  const { count, settled, last, book } = mark;
  if (last === null || book === null) return [];
  const { at, type, sequence, id } = last.transaction;
  return [
    {
      count,
      settled,
      at,
      rank: rankOf[type],
      sequence,
      transactionId: id,
      isFee: last.isFee,
      holding: formatAmount(holdingOf(book)),
      state: writeMark(mark, { method }),
    },
  ];
}

function holdingOf(book: NonNullable<Mark['book']>): bigint {
  if (book.method === 'average') return book.state.quantity;
  if (book.method === 'uk_pool') return book.state.holding;
  return book.state.lots.reduce((sum, { quantity }) => sum + quantity, 0n);
}

function blocksOf({ consumptions, provisional }: AssetStanding, first: number): ConsumptionBlock[] {
  const settled = consumptions.length - provisional;
  const blocks: ConsumptionBlock[] = [];
  for (let begin = 0; begin < consumptions.length; begin += blockSize) {
    const rows = consumptions.slice(begin, begin + blockSize);
    const isProvisional = rows.map((_row, index) => begin + index >= settled);
    blocks.push({ first: first + begin, count: rows.length, columns: columnsOf(rows, isProvisional) });
  }
  return blocks;
}

/** No value holds a comma, a quotation mark or a brace, so none is quoted. */
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
