/**
 * The value of a portfolio at given quotes. An asset without a quote has no value: it is listed, and left out of all totals,
 * rather than counted as 0 or at the price of a transaction.
 */
import type { CachedQuote, QuoteReading } from '../../../domain/cached-quote.ts';
import { type Amount, mulDiv } from '../ledger/amount.ts';
import type { Position } from '../queries/book-reading.ts';
import { valueAt } from '../ledger/price.ts';

/** A usable quote. */
export interface PriceGiven {
  /** As its source sent it; finite and not negative. */
  readonly price: number;
  readonly state: 'fresh' | 'stale';
  /** When its source observed it, by its own statement (ISO 8601); null when it does not say. */
  readonly asOf: string | null;
  /** When it was received (ISO 8601). */
  readonly receivedAt: string;
  readonly source: string;
}

/** A held asset with its value. Amounts are in the base currency; null without a quote. */
export interface ValuedPosition {
  readonly assetId: string;
  readonly quantity: Amount;
  /** Of its open lots. */
  readonly costBasis: Amount;
  readonly realised: Amount;
  readonly price: PriceGiven | null;
  readonly marketValue: Amount | null;
  readonly unrealised: Amount | null;
}

/** What a portfolio is worth. */
export interface Valuation {
  /** `fresh`: every quote is; `stale`: some are older; `partial`: some are missing. */
  readonly state: 'fresh' | 'stale' | 'partial';
  /** Assets that are held and have no quote. */
  readonly missing: readonly string[];
  /** Value of the assets that have a quote; null when something is held and nothing has one. */
  readonly marketValue: Amount | null;
  /** Of all open lots, whether they have a quote or not. */
  readonly costBasis: Amount;
  /** Market value less cost basis of the assets that have a quote; null like the market value. */
  readonly unrealised: Amount | null;
  /** Of all assets that were ever held. */
  readonly realised: Amount;
  /** Unrealised and realised; null like the market value. */
  readonly totalGain: Amount | null;
  /** The positions, in the order of the books. */
  readonly positions: readonly ValuedPosition[];
}

/** Values the holdings at the quotes that `priceOf` returns. */
export function valuationOf(
  assets: readonly Position[],
  priceOf: (assetId: string) => PriceGiven | undefined,
): Valuation {
  const positions = assets
    .filter(({ quantity }) => quantity !== 0n)
    .map((asset) => valuedPosition(asset, priceOf(asset.assetId)));
  const valued = positions.filter(({ price }) => price !== null);
  const isUnknown = positions.length > 0 && valued.length === 0;
  const marketValue = isUnknown ? null : sum(valued, (each) => each.marketValue);
  const unrealised = isUnknown ? null : sum(valued, (each) => each.unrealised);
  const realised = sum(assets, realisedOf);
  return {
    state: stateOf(positions, valued),
    missing: positions.filter(({ price }) => price === null).map(({ assetId }) => assetId),
    marketValue,
    costBasis: sum(positions, (each) => each.costBasis),
    unrealised,
    realised,
    totalGain: unrealised === null ? null : unrealised + realised,
    positions,
  };
}

/** Cost basis of the open lots of an asset. */
function costBasisOf({ tally: { acquired, consumed, left } }: Pick<Position, 'tally'>): Amount {
  return acquired - consumed - left;
}

/** Gains from the disposals of an asset: proceeds after fees less the cost basis that they consumed. */
function realisedOf({ tally: { proceeds, consumed } }: Pick<Position, 'tally'>): Amount {
  return proceeds - consumed;
}

/** `part ÷ whole`, rounded to 6 digits after the point; null when `whole` is not more than 0. */
export function shareOf(part: Amount, whole: Amount): Amount | null {
  return whole <= 0n ? null : mulDiv(part, 1_000_000n, whole) * unitsOfMillionth;
}

const unitsOfMillionth = 10n ** 12n;

function valuedPosition(asset: Position, price: PriceGiven | undefined): ValuedPosition {
  const { assetId, quantity } = asset;
  const costBasis = costBasisOf(asset);
  const marketValue = price === undefined ? null : valueAt(quantity, price.price);
  return {
    assetId,
    quantity,
    costBasis,
    realised: realisedOf(asset),
    price: price ?? null,
    marketValue,
    unrealised: marketValue === null ? null : marketValue - costBasis,
  };
}

function stateOf(positions: readonly unknown[], valued: readonly ValuedPosition[]): Valuation['state'] {
  if (valued.length < positions.length) return 'partial';
  return valued.every(({ price }) => price?.state === 'fresh') ? 'fresh' : 'stale';
}

function sum<T>(items: readonly T[], amountOf: (item: T) => Amount | null): Amount {
  return items.reduce((total, item) => total + (amountOf(item) ?? 0n), 0n);
}

/** Quotes are shared by all holders of the asset, so each is parsed once. */
const parsed = new WeakMap<CachedQuote, Omit<PriceGiven, 'state'>>();

/** The price of a reading; undefined when it is not usable. */
export function priceGiven(reading: QuoteReading | undefined): PriceGiven | undefined {
  const quote = reading?.quote;
  if (reading === undefined || quote === undefined) return undefined;
  const price = parsed.get(quote) ?? parse(quote);
  parsed.set(quote, price);
  return { ...price, state: reading.state === 'fresh' ? 'fresh' : 'stale' };
}

function parse({ head }: CachedQuote): Omit<PriceGiven, 'state'> {
  const fields = JSON.parse(`${head}}`) as {
    readonly price: number;
    readonly as_of: string | null;
    readonly received_at: string;
    readonly source: string;
  };
  return {
    price: fields.price,
    asOf: fields.as_of,
    receivedAt: fields.received_at,
    source: fields.source,
  };
}
