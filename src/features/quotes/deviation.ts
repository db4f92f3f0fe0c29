/**
 * Decides which price is too far from the last one to be accepted at once. Providers do send wrong ones: a misplaced decimal
 * point, another asset's price, the first trade of an empty market. But real crashes look alike (LUNA lost 99.99 % within
 * days), so nothing is refused permanently: a value that is far off waits until a second observation, or another provider,
 * confirms it.
 */

/** A price as somebody observed it. */
export interface ObservedPrice {
  readonly price: number;
  /** When it was observed, by the source's word (ms since the epoch); null when it does not say. */
  readonly observedAt: number | null;
  /** When we received it (ms since the epoch). */
  readonly receivedAt: number;
  readonly source: string;
}

const hourMs = 3_600_000;
/** A price may at once be so many times the last one, or as small a part of it. Halving within minutes is the worst that large assets did. */
const atOnce = 2;
/** With every hour between two observations the factor doubles: after half a day it allows whatever a market does. */
const hoursToDouble = 1;
/** Two observations bear each other out when neither is more than so many times the other. */
const agreement = 1.25;
/** Without its word on when it observed, a source's second answer counts as a second observation after this time (ms): caches hold a minute. */
const repeatMs = 60_000;
/** Nobody's real prices: nothing compares with them, and they with nothing else. */
const unreal: ReadonlySet<string> = new Set(['simulated', 'replay', 'recorded']);

/**
 * Judges a new price by the last one that was taken and by the one that waits for confirmation, if any: it is `taken` (near the
 * last one, or nothing to compare it with), `confirmed` (far from it, and borne out) or `doubted` (far from it: it waits).
 */
export function judgeDeviation(
  price: ObservedPrice,
  {
    last,
    waiting,
  }: { readonly last: ObservedPrice | undefined; readonly waiting: ObservedPrice | undefined },
): 'taken' | 'confirmed' | 'doubted' {
  if (last === undefined || !isComparable(price, last)) return 'taken';
  if (ratioOf(price.price, last.price) <= allowedFactor(price, last)) return 'taken';
  return waiting !== undefined && confirms(price, waiting) ? 'confirmed' : 'doubted';
}

function isComparable(one: ObservedPrice, other: ObservedPrice): boolean {
  return one.source === other.source || (!unreal.has(one.source) && !unreal.has(other.source));
}

/** How many times the larger one is the smaller one; without end when only one of them is 0. */
function ratioOf(one: number, other: number): number {
  if (one === other) return 1;
  return Math.max(one, other) / Math.min(one, other);
}

/** By the time between the observations, or between their arrivals where that is longer or the source does not say. */
function allowedFactor(price: ObservedPrice, last: ObservedPrice): number {
  const received = price.receivedAt - last.receivedAt;
  // A replay runs through days in seconds, and backwards where it restarts.
  const observed =
    price.observedAt === null || last.observedAt === null ? 0 : Math.abs(price.observedAt - last.observedAt);
  const hours = Math.max(0, received, observed) / hourMs;
  return atOnce * 2 ** (hours / hoursToDouble);
}

function confirms(price: ObservedPrice, waiting: ObservedPrice): boolean {
  if (ratioOf(price.price, waiting.price) > agreement) return false;
  if (price.source !== waiting.source) return true;
  // The same answer once more, out of a cache on the way, is no second observation.
  if (price.observedAt !== null && waiting.observedAt !== null) return price.observedAt > waiting.observedAt;
  return price.receivedAt - waiting.receivedAt >= repeatMs;
}
