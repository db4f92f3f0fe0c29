/**
 * When an alert fires: a state machine without clock or I/O. An armed alert fires when the value reaches the threshold. After
 * that nothing happens until the value has come back beyond the threshold by more than the hysteresis, so that a value that
 * trembles at the threshold fires once.
 *
 * People who set an alert expect a crossing. One whose condition holds already when it is made therefore waits (`pending`) for
 * the value to be on the other side, unless it is to fire at once.
 *
 * Values may come twice and late: one that was received before the last change of the state changes nothing.
 */
import { leastBetweenFiringsMs, type Alert, type AlertRule } from './alert.ts';
import { levelOf, oneLevel, type Level } from './level.ts';

/** A value at a moment. */
export interface Observation {
  readonly value: Level;
  /** When the newest quote behind it was received (ms since the epoch). */
  readonly at: number;
  readonly isFresh: boolean;
}

/** What an alert does next; a firing is the move to `fired`. */
export type Move = 'armed' | 'fired';

/** The values at which an alert does something: those of `atLeast` and more, and those of `atMost` and less. */
export interface Triggers {
  readonly atLeast?: Level;
  readonly atMost?: Level;
}

type Standing = AlertRule & Pick<Alert, 'state' | 'observedAt' | 'firedAt'>;

/** Whether anything can happen to an alert without its owner. */
export function isWatched({ state, repeat }: Pick<Alert, 'state' | 'repeat'>): boolean {
  return state === 'pending' || state === 'armed' || (state === 'fired' && repeat === 'every');
}

/** Where an alert moves at a value; undefined when it stays. */
export function moveOf(alert: Standing, observation: Observation): Move | undefined {
  const move = nextMove(alert, observation);
  const isSoon = alert.firedAt !== null && observation.at < alert.firedAt.getTime() + leastBetweenFiringsMs;
  return move === 'fired' && isSoon ? undefined : move;
}

function nextMove(alert: Standing, { value, at, isFresh }: Observation): Move | undefined {
  if (alert.observedAt !== null && at < alert.observedAt.getTime()) return undefined;
  const { atLeast, atMost } = triggersOf(alert);
  const isReached = (atLeast !== undefined && value >= atLeast) || (atMost !== undefined && value <= atMost);
  if (!isReached) return undefined;
  if (alert.state === 'fired') return 'armed';
  if (alert.state === 'armed') return 'fired';
  // What was received long before somebody made the alert says nothing of a crossing that he could mean.
  if (!isFresh) return undefined;
  return holds(alert, value) ? 'fired' : 'armed';
}

/** The values at which an alert does something. Levels are whole numbers, so that "more than x" is "at least x + 1". */
export function triggersOf(alert: Standing): Triggers {
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

function holds({ direction, threshold }: AlertRule, value: Level): boolean {
  return direction === 'above' ? value >= levelOf(threshold) : value <= levelOf(threshold);
}

function hysteresisOf({ hysteresis, hysteresisUnit }: AlertRule, threshold: Level): Level {
  const size = levelOf(hysteresis);
  if (hysteresisUnit === 'absolute') return size;
  const magnitude = threshold < 0n ? -threshold : threshold;
  return (magnitude * size) / (100n * oneLevel);
}
