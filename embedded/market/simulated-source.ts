import { assetCurrencies, dollarRates } from './currencies.ts';
import { madeUpAssets, realAssets, unpricedListings, type SimulatedAsset } from './simulated-assets.ts';
import {
  unpricedObservation,
  type Listing,
  type MarketSource,
  type Observation,
  type Sample,
} from './source.ts';
import type { Clock } from '../../src/platform/concurrency/clock.ts';

const dayMs = 86_400_000;
/** Parts into which the last 24 hours are cut to look for high and low. */
const rangeSamples = 8;

interface Entry {
  readonly asset: SimulatedAsset;
  readonly walker: Walker;
  /** Share of the market cap that changes hands in a day. */
  readonly turnover: number;
  /** The last price asked for, kept because one answer needs the same price several times. */
  step: number;
  usd: number;
}

/** The market of the seeded walk over real asset ids. Only the assets that are asked for are computed. */
export function createSimulatedSource({
  seed,
  madeUpAssets: madeUp,
  walkIntervalMs,
  clock,
}: {
  readonly seed: number;
  readonly madeUpAssets: number;
  /** Prices change once in so many milliseconds. */
  readonly walkIntervalMs: number;
  readonly clock: Clock;
}): MarketSource {
  const entries = createEntries(seed, [...realAssets(), ...madeUpAssets(madeUp)]);
  const listings = [...[...entries.values()].map(({ asset }) => listingOf(asset)), ...unpricedListings];
  const unpriced = new Map(unpricedListings.map((listing) => [listing.id, listing]));
  const now = (): number => Math.floor(clock.now() / walkIntervalMs) * walkIntervalMs;
  const ranking = createRanking([...entries.values()], now);

  const rateAt = (currency: string, at: number): number | undefined => {
    const asset = Object.hasOwn(assetCurrencies, currency) ? assetCurrencies[currency] : undefined;
    if (asset === undefined) return Object.hasOwn(dollarRates, currency) ? dollarRates[currency] : undefined;
    const entry = entries.get(asset.id);
    return entry === undefined ? undefined : asset.perUnit / walkPrice(entry.walker, at);
  };

  return {
    kind: 'simulated',
    exact: false,
    listings: () => listings,
    listing: (id) => entries.get(id)?.asset ?? unpriced.get(id),
    ranked: () => ranking.current().ids,
    rank: (id) => ranking.current().ranks.get(id) ?? null,
    now,
    observe(id, currency) {
      const [at, entry] = [now(), entries.get(id)];
      const [rate, rateDayAgo] = [rateAt(currency, at), rateAt(currency, at - dayMs)];
      if (rate === undefined || rateDayAgo === undefined) return undefined;
      return entry === undefined ? unpricedObservation : observeEntry(entry, at, { rate, rateDayAgo });
    },
    dayRange(id, currency) {
      const [at, entry] = [now(), entries.get(id)];
      const rate = rateAt(currency, at);
      return entry === undefined || rate === undefined ? null : rangeOf(entry, at, rate);
    },
    priceAgo(id, currency, agoMs) {
      const [at, entry] = [now() - agoMs, entries.get(id)];
      const rate = rateAt(currency, at);
      return entry === undefined || rate === undefined ? null : walkPrice(entry.walker, at) * rate;
    },
    history(id, currency, range) {
      const entry = entries.get(id);
      return entry === undefined
        ? []
        : samplesOf(entry, momentsOf(range, now()), (at) => rateAt(currency, at));
    },
  };
}

/** Most samples of one stretch: a year of hours and some more. */
const maxSamples = 10_000;

function momentsOf({ from, to, stepMs }: Parameters<MarketSource['history']>[2], now: number): number[] {
  const end = Math.min(to, now);
  const first = Math.ceil(from / stepMs) * stepMs;
  const count = Math.max(0, Math.min(maxSamples, Math.floor((end - first) / stepMs) + 1));
  return Array.from({ length: count }, (_, index) => first + index * stepMs);
}

function samplesOf(
  { asset, walker, turnover }: Entry,
  moments: readonly number[],
  rateAt: (at: number) => number | undefined,
): Sample[] {
  return moments.flatMap((at) => {
    const rate = rateAt(at);
    if (rate === undefined) return [];
    const price = walkPrice(walker, at) * rate;
    const marketCap = price * asset.supply;
    return { at, price, marketCap, volume: marketCap * turnover * volumeNoise(walker, at) };
  });
}

function volumeNoise({ key }: Walker, at: number): number {
  return 0.8 + 0.4 * unitNoise(key, Math.floor(at / 60_000));
}

function createEntries(seed: number, assets: readonly SimulatedAsset[]): Map<string, Entry> {
  const marketKey = walkKey(seed, '*market*');
  const entries = new Map<string, Entry>();
  for (const asset of assets) {
    const key = walkKey(seed, asset.id);
    const walker = { base: asset.basePrice, volatility: asset.volatility, key, marketKey };
    entries.set(asset.id, {
      asset,
      walker,
      turnover: 0.01 + 0.12 * unitNoise(key, 7),
      step: Number.NaN,
      usd: 0,
    });
  }
  return entries;
}

function listingOf({ id, symbol, name }: Listing): Listing {
  return { id, symbol, name };
}

function dollarPrice(entry: Entry, at: number): number {
  if (entry.step === at) return entry.usd;
  entry.step = at;
  entry.usd = walkPrice(entry.walker, at);
  return entry.usd;
}

function observeEntry(entry: Entry, at: number, rates: { rate: number; rateDayAgo: number }): Observation {
  const { asset, walker } = entry;
  const price = dollarPrice(entry, at) * rates.rate;
  const priceDayAgo = walkPrice(walker, at - dayMs) * rates.rateDayAgo;
  const marketCap = price * asset.supply;
  return {
    price,
    marketCap,
    volume: marketCap * entry.turnover * volumeNoise(walker, at),
    priceDayAgo,
    marketCapDayAgo: priceDayAgo * asset.supply,
    circulatingSupply: asset.supply,
    maxSupply: asset.maxSupply,
    asOf: at,
  };
}

function rangeOf({ walker }: Entry, at: number, rate: number): { high: number; low: number } {
  const prices = Array.from({ length: rangeSamples + 1 }, (_, sample) =>
    walkPrice(walker, at - (dayMs * sample) / rangeSamples),
  );
  return { high: Math.max(...prices) * rate, low: Math.min(...prices) * rate };
}

/** Sorts once per step and only when asked; the order hardly changes between steps, which makes sorting cheap. */
function createRanking(entries: Entry[], now: () => number) {
  let step = Number.NaN;
  let ids: readonly string[] = [];
  let ranks: ReadonlyMap<string, number> = new Map();
  return {
    current() {
      const at = now();
      if (at === step) return { ids, ranks };
      step = at;
      const cap = (entry: Entry): number => dollarPrice(entry, at) * entry.asset.supply;
      entries.sort((left, right) => cap(right) - cap(left));
      ids = entries.map(({ asset }) => asset.id);
      ranks = new Map(ids.map((id, index) => [id, index + 1]));
      return { ids, ranks };
    },
  };
}

/*
 * The simulated walk is a pure function of (seed, asset id, time): nothing is stored, so two markets with the same
 * seed and clock agree to the last digit, a restart does not jump, and "24 hours ago" costs as much as "now".
 *
 * It is value noise summed over octaves in log space: each octave draws a number in [-1, 1] for every multiple of its
 * period (by hashing) and glides between neighbours. The sum is bounded, so prices stay positive and near their base
 * for ever, and the move within a day has a hard bound (`maxDailyMove`).
 */

const second = 1_000;
const hour = 3_600 * second;
const day = 24 * hour;

/** Amplitudes in log price at volatility 1, which is that of a typical smaller coin. */
const octaves: readonly { readonly periodMs: number; readonly amplitude: number }[] = [
  { periodMs: 20 * second, amplitude: 0.0006 },
  { periodMs: 90 * second, amplitude: 0.0012 },
  { periodMs: 420 * second, amplitude: 0.0025 },
  { periodMs: 0.5 * hour, amplitude: 0.005 },
  { periodMs: 2.5 * hour, amplitude: 0.01 },
  { periodMs: 12 * hour, amplitude: 0.02 },
  { periodMs: 4 * day, amplitude: 0.05 },
  { periodMs: 25 * day, amplitude: 0.14 },
];

/** How much of an asset's move is the whole market's, as crypto assets move together. */
const marketShare = 0.5;

/** What the walk needs to know of an asset; made once by {@link walkKey}. */
export interface Walker {
  readonly base: number;
  /** 1 for a typical smaller coin, 0.4 for bitcoin, about 0.01 for a stablecoin. */
  readonly volatility: number;
  /** Hash of seed and id. */
  readonly key: number;
  /** Hash of the seed alone: the same for all assets of a market. */
  readonly marketKey: number;
}

/** 32-bit FNV-1a of a text, mixed with the seed. */
export function walkKey(seed: number, text: string): number {
  let hash = 0x811c9dc5 ^ mix(seed | 0);
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return mix(hash);
}

/** A number in [0, 1) for a key and a salt; deterministic. */
export function unitNoise(key: number, salt: number): number {
  return (mix(key ^ Math.imul(salt + 1, 0x9e3779b1)) >>> 0) / 0x1_0000_0000;
}

/** The price in the base's currency at `timeMs` (milliseconds since the epoch). Always positive and finite. */
export function walkPrice(walker: Walker, timeMs: number): number {
  const own = driftAt(walker.key, timeMs) * (1 - marketShare);
  const market = driftAt(walker.marketKey, timeMs) * marketShare;
  return walker.base * Math.exp(walker.volatility * (own + market));
}

/** Bound of |price(t) / price(t - 24 h) - 1| for a volatility: 0.15 means that no day moves more than 15 %. */
export function maxDailyMove(volatility: number): number {
  let bound = 0;
  // An octave cannot move by more than its whole range, nor faster than its steepest glide (1.5 x the mean slope).
  for (const { periodMs, amplitude } of octaves) bound += 2 * amplitude * Math.min(1, (1.5 * day) / periodMs);
  return Math.exp(volatility * bound) - 1;
}

function driftAt(key: number, timeMs: number): number {
  let sum = 0;
  for (let index = 0; index < octaves.length; index += 1) {
    const octave = octaves[index];
    if (octave === undefined) break;
    sum += octave.amplitude * noiseAt(key + Math.imul(index + 1, 0x85ebca6b), timeMs / octave.periodMs);
  }
  return sum;
}

function noiseAt(key: number, position: number): number {
  const left = Math.floor(position);
  const part = position - left;
  const glide = part * part * (3 - 2 * part);
  const from = lattice(key, left);
  return from + (lattice(key, left + 1) - from) * glide;
}

function lattice(key: number, index: number): number {
  return unitNoise(key, index | 0) * 2 - 1;
}

/** The finaliser of MurmurHash3: every input bit reaches every output bit. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
