/** What follows an attempt: the end, or another attempt later. */

/** The outcome of an attempt. */
export interface Attempted {
  /** Status that the receiver answered; undefined if there was no answer. */
  readonly status?: number | undefined;
  /** What went wrong; undefined if the receiver accepted it. */
  readonly error?: string | undefined;
  /** Another attempt would be useless. */
  readonly isHopeless?: boolean | undefined;
  /** How long (ms) the receiver asks not to be called. */
  readonly retryAfterMs?: number | undefined;
}

const seconds = 1_000;
const minutes = 60 * seconds;
const hours = 60 * minutes;

/** Pauses (ms) after the first attempt, the second and so on; the attempt after the last pause is the last. */
export const retryPausesMs: readonly number[] = [
  5 * seconds,
  30 * seconds,
  2 * minutes,
  10 * minutes,
  1 * hours,
  6 * hours,
  24 * hours,
];

/** Longest pause (ms) that a receiver can ask for. */
const longestPauseMs = 24 * hours;
/** A pause is longer by up to this share, so that deliveries that failed together are not retried together. */
const jitter = 0.2;

/**
 * Decides what follows attempt number `attempt`, counted from 1: the end, or another attempt after a pause (ms).
 * @param rules.random from 0 to 1.
 */
export function verdictOf(
  attempted: Attempted,
  attempt: number,
  { pausesMs, random }: { readonly pausesMs: readonly number[]; readonly random: () => number },
): 'delivered' | 'dead' | { readonly afterMs: number } {
  if (attempted.error === undefined) return 'delivered';
  const pause = pausesMs[attempt - 1];
  if (attempted.isHopeless === true || pause === undefined) return 'dead';
  const requested = Math.min(attempted.retryAfterMs ?? 0, longestPauseMs);
  return { afterMs: Math.round(Math.max(pause, requested) * (1 + jitter * random())) };
}

/** Milliseconds of a `Retry-After` header (seconds, or a date); undefined if it has none. */
export function retryAfterMsOf(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * seconds;
  const at = Date.parse(header);
  return Number.isNaN(at) || at <= now ? undefined : at - now;
}
