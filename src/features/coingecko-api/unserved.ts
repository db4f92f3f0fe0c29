import { withoutPriceReason, type QuoteReading } from '../../domain/cached-quote.ts';
import type { AppError } from '../../domain/errors.ts';
import type { AppDeps } from '../../app-deps.ts';
import { retryAfterSeconds } from '../../platform/http/retry-after.ts';
import { notYet } from '../../platform/http/v3-errors.ts';

const messages = {
  pending: 'The data is on its way; please try again',
  rate_limited: 'The upstream budget allows no call at the moment; please try again',
  unavailable: 'The price source does not answer; please try again',
} as const;

/** Why nothing can be served, as the 503 that says when to come back. */
export async function unserved(
  why: keyof typeof messages,
  budgetStatus: AppDeps['budgetStatus'],
): Promise<AppError> {
  return notYet(messages[why], await retryAfterSeconds(why, budgetStatus));
}

/** The state that says best why none of these readings has a quote. */
export function reasonOf(readings: Iterable<QuoteReading>): keyof typeof messages {
  const states = new Set([...readings].map(({ state }) => state));
  if (states.has('rate_limited')) return 'rate_limited';
  return states.has('pending') ? 'pending' : 'unavailable';
}

/** Whether an asset is one that the source knows and has no price for: nothing is awaited then. */
export function isWithoutPrice({ state, reason }: QuoteReading): boolean {
  return state === 'unavailable' && reason === withoutPriceReason;
}
