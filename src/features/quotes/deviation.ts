/**
 * Decides which price is too far from the last one to be accepted at once. Providers do send wrong ones: a misplaced decimal
 * point, another asset's price, the first trade of an empty market. But real crashes look alike (LUNA lost 99.99 % within
 * days), so nothing is refused permanently: a value that is far off waits until a second observation, or another provider,
 * confirms it.
 */

/** A price as somebody observed it. */
export interface ObservedPrice {
  readonly price: number;
  /** When it was observed, according to the source (ms since the epoch); null when the source does not say. */
  readonly observedAt: number | null;
  /** When we received it (ms since the epoch). */
  readonly receivedAt: number;
  readonly source: string;
}

const hourMs = 3_600_000;
/**
 * Largest factor between two prices, up or down, that is accepted at once. Halving within minutes is the worst that large
 * assets did.
 */
const atOnce = 2;
/** The factor doubles with every hour between two observations: after half a day it allows any move a market makes. */
const hoursToDouble = 1;
/** Two observations confirm each other when neither is more than this many times the other. */
const agreement = 1.25;
/**
 * If a source does not say when it observed a price, a second response counts as a second observation after this time (ms):
 * caches hold a minute.
 */
const repeatMs = 60_000;
/** Sources without real prices: nothing is compared with theirs, and theirs with nothing else. */
const unreal: ReadonlySet<string> = new Set(['simulated', 'replay', 'recorded']);

/**
 * Judges a new price by the last accepted one and by the one that waits for confirmation, if any: it is `taken` (near the last
 * one, or nothing to compare it with), `confirmed` (far from it, but a second observation agrees) or `doubted` (far from it: it
 * waits).
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

/** The larger price divided by the smaller one; infinite when only one of them is 0. */
function ratioOf(one: number, other: number): number {
  if (one === other) return 1;
  return Math.max(one, other) / Math.min(one, other);
}

/** Depends on the time between the observations, or between their arrivals if that is longer or the source does not say. */
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
  // The same response again, from a cache on the way, is not a second observation.
  if (price.observedAt !== null && waiting.observedAt !== null) return price.observedAt > waiting.observedAt;
  return price.receivedAt - waiting.receivedAt >= repeatMs;
}
