/**
 * The simulated walk as a pure function of (seed, asset id, time): nothing is stored, so two markets with the same
 * seed and clock agree to the last digit, a restart does not jump, and "24 hours ago" costs as much as "now".
 *
 * It is value noise summed over octaves in log space: each octave draws a number in [-1, 1] for every multiple of its
 * period (by hashing) and glides between neighbours. The sum is bounded, so prices stay positive and near their base
 * for ever, and the move within a day has a hard bound ({@link maxDailyMove}).
 */

interface Octave {
  readonly periodMs: number;
  readonly amplitude: number;
}

const second = 1_000;
const hour = 3_600 * second;
const day = 24 * hour;

/** Amplitudes in log price at volatility 1, which is that of a typical smaller coin. */
const octaves: readonly Octave[] = [
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
