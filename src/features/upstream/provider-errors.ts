/** What is known of a failed call besides its kind. */
export interface FailureEvidence {
  /** Of the network, such as `ENOTFOUND` or `ERR_TLS_CERT_ALTNAME_INVALID`. */
  readonly code?: string | undefined;
  /** Host and port that were called. */
  readonly host?: string | undefined;
  /** The first characters of the response, or the message of the network error; without keys. */
  readonly said?: string | undefined;
}

/** Why a provider did not give an answer; the base of all errors that a {@link PriceProvider} rejects with. */
export class ProviderError extends Error {
  readonly provider: string;
  /** Status of the response, when there was one. */
  readonly providerStatus: number | undefined;
  /** Filled in by the code that made the call; empty for a call that was never made. */
  evidence: FailureEvidence = {};

  constructor(
    message: string,
    options: { provider: string; providerStatus?: number | undefined; cause?: unknown },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.provider = options.provider;
    this.providerStatus = options.providerStatus;
  }
}

/** The provider said "too many requests", in any of its forms. Nobody may call before `retryAfterMs` is over. */
export class ProviderRateLimitError extends ProviderError {
  readonly retryAfterMs: number;

  constructor(message: string, options: { provider: string; providerStatus?: number; retryAfterMs: number }) {
    super(message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** No complete answer within the time allowed. Worth a retry. */
export class ProviderTimeoutError extends ProviderError {}

/** Connection refused or reset, or a 5xx. Worth a retry. */
export class ProviderConnectionError extends ProviderError {}

/** A 503 that says when to retry. Nobody may call before `retryAfterMs` is over. */
export class ProviderBusyError extends ProviderConnectionError {
  readonly retryAfterMs: number;

  constructor(message: string, options: { provider: string; providerStatus: number; retryAfterMs: number }) {
    super(message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** How long (ms) the provider asks for no calls; undefined when it has not said so. */
export function retryAfterMsOf(error: unknown): number | undefined {
  const says = error instanceof ProviderRateLimitError || error instanceof ProviderBusyError;
  return says ? error.retryAfterMs : undefined;
}

/** An answer that cannot be used: HTML, truncated JSON, a body over the limit, an error body. Worth a retry. */
export class ProviderResponseError extends ProviderError {}

/** The provider refuses this request and will refuse it again (key, plan, parameters). Not worth a retry. */
export class ProviderRejectedError extends ProviderError {
  readonly isUnrecoverable = true;
}

/** The provider refuses our key, or refuses it for this call: missing, wrong, or of another plan or root. */
export class ProviderKeyError extends ProviderRejectedError {}

/** The provider answered that what was requested does not exist. This is an answer, not a failure. */
export class ProviderNotFoundError extends ProviderRejectedError {}

/** The time range lies outside of what the provider or the plan covers; another provider may have it. */
export class ProviderRangeError extends ProviderRejectedError {}

/** The request was too long for the provider (414); a smaller batch may pass. */
export class ProviderUrlTooLongError extends ProviderError {}

/** Why the budget does not grant a call now. */
export type BudgetWaitReason =
  /** The window is full. */
  | 'window'
  /** Grants are spread so that nobody waits a whole minute behind a crowd, or a more urgent caller goes first. */
  | 'paced'
  /** The credits of the month are spread over it, and this kind of call has none at the moment. */
  | 'month'
  /** The provider has asked for a pause. */
  | 'blocked'
  /** Redis or Postgres is unavailable; nothing is granted without them. */
  | 'unreachable'
  /** Too many callers wait in this process already. */
  | 'crowded'
  /** This process is shutting down. */
  | 'stopped';

/** No grant within the time that the caller can wait. Says nothing about the provider, which was not called. */
export class BudgetWaitError extends Error {
  /** How long to wait (ms) before asking again. A hint: others may be faster. */
  readonly waitMs: number;
  readonly reason: BudgetWaitReason;

  constructor({ waitMs, reason }: { waitMs: number; reason: BudgetWaitReason }) {
    super(`No upstream call is granted now (${reason}); ask again in ${Math.ceil(waitMs)} ms`);
    this.name = 'BudgetWaitError';
    this.waitMs = waitMs;
    this.reason = reason;
  }
}
