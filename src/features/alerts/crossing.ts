/**
 * Decides when an alert fires: a state machine without clock or I/O. An armed alert fires when the value reaches the threshold.
 * After that nothing happens until the value has moved back beyond the threshold by more than the hysteresis, so that a value
 * that oscillates around the threshold fires once.
 *
 * People who set an alert expect a crossing. An alert whose condition already holds when it is created therefore waits
 * (`pending`) for the value to be on the other side, unless it is to fire at once.
 *
 * Values may arrive twice and late: one that was received before the last state transition changes nothing.
 */
import { Decimal } from 'decimal.js';
import { freshness, type CachedQuote } from '../../domain/cached-quote.ts';
import { minBetweenFiringsMs, type Alert, type AlertRule, type FiringQuote } from './alert.ts';

/**
 * A value in units of 10^-36, so that values and thresholds are compared exactly: the shortest decimal text of every double of
 * 10^-18 or more has no more digits after the point, and every threshold has 18 at most.
 */
export type Level = bigint;

const scale = 36;

/** The level of 1. */
export const oneLevel: Level = 10n ** BigInt(scale);

const plain = /^(-?)(\d+)(?:\.(\d+))?$/;

/**
 * The level of plain decimal text; digits after the 36th are cut off, which affects no comparison with a threshold.
 * @throws {RangeError} it is not plain decimal text.
 */
export function levelOf(text: string): Level {
  const match = plain.exec(text);
  if (match === null) throw new RangeError('not a decimal');
  const [, sign, whole = '', fraction = ''] = match;
  const level = BigInt(whole + fraction.slice(0, scale).padEnd(scale, '0'));
  return sign === '-' ? -level : level;
}

/** Decimal text of a price: the shortest that denotes the same double, without an exponent. */
export function textOfPrice(price: number): string {
  return new Decimal(price).toFixed();
}

/** Decimal text of a level, rounded towards zero to `digits` after the point, without redundant zeros. */
export function textOfLevel(level: Level, digits: number): string {
  const text = (level < 0n ? -level : level).toString().padStart(scale + 1, '0');
  const whole = text.slice(0, -scale);
  const fraction = text.slice(-scale).slice(0, digits).replace(/0+$/, '');
  const plainText = fraction === '' ? whole : `${whole}.${fraction}`;
  return level < 0n && /[1-9]/.test(plainText) ? `-${plainText}` : plainText;
}

/**
 * Change from `reference` to `now` in per cent, rounded down at the 36th digit. Undefined without a positive reference.
 */
export function percentChange(now: Level, reference: Level): Level | undefined {
  if (reference <= 0n) return undefined;
  const dividend = (now - reference) * 100n * oneLevel;
  // Rounded down, for falls too.
  return dividend / reference - (dividend % reference < 0n ? 1n : 0n);
}

/** The next state transition of an alert; a firing is the transition to `fired`. */
export type TransitionTarget = 'armed' | 'fired';

type AlertStatus = AlertRule & Pick<Alert, 'state' | 'observedAt' | 'firedAt'>;

/** Whether anything can happen to an alert without its owner. */
export function isWatched({ state, repeat }: Pick<Alert, 'state' | 'repeat'>): boolean {
  return state === 'pending' || state === 'armed' || (state === 'fired' && repeat === 'every');
}

/** The state transition of an alert at a value; undefined when it stays. */
export function transitionOf(
  alert: AlertStatus,
  observation: Pick<Observation, 'value' | 'at' | 'isFresh'>,
): TransitionTarget | undefined {
  const transition = nextTransition(alert, observation);
  const isSoon = alert.firedAt !== null && observation.at < alert.firedAt.getTime() + minBetweenFiringsMs;
  return transition === 'fired' && isSoon ? undefined : transition;
}

function nextTransition(
  alert: AlertStatus,
  { value, at, isFresh }: Pick<Observation, 'value' | 'at' | 'isFresh'>,
): TransitionTarget | undefined {
  if (alert.observedAt !== null && at < alert.observedAt.getTime()) return undefined;
  const { atLeast, atMost } = triggersOf(alert);
  const isReached = (atLeast !== undefined && value >= atLeast) || (atMost !== undefined && value <= atMost);
  if (!isReached) return undefined;
  if (alert.state === 'fired') return 'armed';
  if (alert.state === 'armed') return 'fired';
  // A value that was received long before the alert was created cannot be a crossing that its owner meant.
  if (!isFresh) return undefined;
  const threshold = levelOf(alert.threshold);
  const holds = alert.direction === 'above' ? value >= threshold : value <= threshold;
  return holds ? 'fired' : 'armed';
}

/**
 * The values that cause a transition of an alert: `atLeast` and above, and `atMost` and below. Levels are integers, so that
 * "more than x" is "at least x + 1".
 */
export function triggersOf(alert: AlertStatus): { readonly atLeast?: Level; readonly atMost?: Level } {
  if (!isWatched(alert)) return {};
  const threshold = levelOf(alert.threshold);
  const isAbove = alert.direction === 'above';
  if (alert.state === 'armed') return isAbove ? { atLeast: threshold } : { atMost: threshold };
  if (alert.state === 'fired') {
    const band = hysteresisOf(alert, threshold);
    return isAbove ? { atMost: threshold - band - 1n } : { atLeast: threshold + band + 1n };
  }
  const other = isAbove ? { atMost: threshold - 1n } : { atLeast: threshold + 1n };
  if (!alert.fireIfTrue) return other;
  return isAbove ? { ...other, atLeast: threshold } : { ...other, atMost: threshold };
}

function hysteresisOf({ hysteresis, hysteresisUnit }: AlertRule, threshold: Level): Level {
  const size = levelOf(hysteresis);
  if (hysteresisUnit === 'absolute') return size;
  const magnitude = threshold < 0n ? -threshold : threshold;
  return (magnitude * size) / (100n * oneLevel);
}

/** A value at a given time, with the details for a firing. */
export interface Observation {
  readonly value: Level;
  /** When the newest quote behind it was received (ms since the epoch). */
  readonly at: number;
  readonly isFresh: boolean;
  /** The value as decimal text. */
  readonly text: string;
  readonly quote: FiringQuote;
  /** For a change: the price from which it is measured. */
  readonly reference?: { readonly price: string; readonly at: string } | undefined;
}

/** A quote as alerts use it. */
export interface AlertQuote extends FiringQuote {
  /** As its source sent it. */
  readonly price: number;
}

/** Reads a cached quote at `now`; `freshMs` is the age from which it is stale. */
export function alertQuoteOf(cached: CachedQuote, now: number, freshMs: number): AlertQuote {
  const head = JSON.parse(`${cached.head}}`) as { price: number; source: string; as_of: string | null };
  return {
    price: head.price,
    asOf: head.as_of,
    receivedAt: cached.receivedAt,
    source: head.source,
    state: freshness(cached, now, freshMs),
  };
}

/** The price of a quote as an observation. */
export function priceObservation({ price, ...quote }: AlertQuote): Observation {
  const text = textOfPrice(price);
  return { value: levelOf(text), text, at: quote.receivedAt, isFresh: quote.state === 'fresh', quote };
}
