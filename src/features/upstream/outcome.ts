import type { CallOutcome } from './budget/budget.ts';
import {
  ProviderConnectionError,
  ProviderRateLimitError,
  ProviderRejectedError,
  ProviderResponseError,
  ProviderUrlTooLongError,
} from './provider-errors.ts';

/** The outcome of a call that failed with `error`. Calls that may not have been answered count as unanswered. */
export function outcomeOf(error: unknown): CallOutcome {
  if (error instanceof ProviderRateLimitError) return 'rate_limited';
  if (error instanceof ProviderRejectedError) return 'rejected';
  if (error instanceof ProviderUrlTooLongError) return 'url_too_long';
  if (error instanceof ProviderResponseError) return 'bad_response';
  const answered = error instanceof ProviderConnectionError && error.providerStatus !== undefined;
  return answered ? 'server_error' : 'unanswered';
}

/** True when the provider's client refused to send the request, so that nothing went out. */
export function wasNeverSent(error: unknown): boolean {
  const refusal = error instanceof ProviderRejectedError || error instanceof ProviderUrlTooLongError;
  return refusal && error.providerStatus === undefined;
}
