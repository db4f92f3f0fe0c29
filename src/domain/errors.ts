/**
 * The error tree. Every error that is meant for a client or that steers a job is one of these; anything else is
 * a bug and becomes a 500 without detail. `code` is stable and machine-readable; `message` may be shown to clients.
 */
import type { LimitState } from './rate-limit.ts';

export interface FieldProblem {
  /** Path of the offending field, such as `coins[3]` or `query.limit`. */
  readonly field: string;
  readonly message: string;
}

/** Base of all errors with a meaning to clients. */
export class AppError extends Error {
  readonly code: string;
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;
  readonly fields: readonly FieldProblem[] | undefined;

  constructor(
    message: string,
    options: {
      readonly code: string;
      /** HTTP status that the API answers with. */
      readonly status: number;
      readonly cause?: unknown;
      /** Seconds after which a retry makes sense; becomes `Retry-After`. */
      readonly retryAfterSeconds?: number;
      readonly fields?: readonly FieldProblem[];
    },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = options.code;
    this.status = options.status;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.fields = options.fields;
  }
}

/** 422: the request was read, and one or more fields break a rule. */
export class ValidationError extends AppError {
  constructor(message: string, fields: readonly FieldProblem[]) {
    super(message, { code: 'validation_failed', status: 422, fields });
  }
}

/** 401: the request has no valid credential. */
export class UnauthenticatedError extends AppError {
  constructor(
    message = 'Authentication is required: send an access token or an API key as Authorization: Bearer',
    code = 'unauthenticated',
  ) {
    super(message, { code, status: 401 });
  }
}

/** 403: the credential is valid, but does not allow this. */
export class ForbiddenError extends AppError {
  constructor(message: string, code = 'forbidden') {
    super(message, { code, status: 403 });
  }
}

/** 404: it does not exist, or the caller may not see it. */
export class NotFoundError extends AppError {
  constructor(message = 'Not found', code = 'not_found') {
    super(message, { code, status: 404 });
  }
}

/** 409: it conflicts with what is stored. */
export class ConflictError extends AppError {
  constructor(message: string, code = 'conflict') {
    super(message, { code, status: 409 });
  }
}

/** 412: it has changed since the client saw it. */
export class PreconditionFailedError extends AppError {
  constructor(message = 'It has changed since you read it: read it again, then send its new ETag') {
    super(message, { code: 'precondition_failed', status: 412 });
  }
}

/** 422: an idempotency key was used again with another body. */
export class IdempotencyMismatchError extends AppError {
  constructor() {
    super('This Idempotency-Key was used with a different request body', {
      code: 'idempotency_key_reused',
      status: 422,
      fields: [
        {
          field: 'Idempotency-Key',
          message: 'was used with another body; choose a new key for a new request',
        },
      ],
    });
  }
}

/** 429: more than allowed; try again after `retryAfterSeconds`. */
export class RateLimitedError extends AppError {
  /** State of the limit that was reached, for the `RateLimit` fields; undefined if it is not shown. */
  readonly limit: LimitState | undefined;

  constructor(message: string, options: { code?: string; retryAfterSeconds: number; limit?: LimitState }) {
    super(message, {
      code: options.code ?? 'rate_limited',
      status: 429,
      retryAfterSeconds: Math.max(1, Math.ceil(options.retryAfterSeconds)),
    });
    this.limit = options.limit;
  }
}

/** 503: a dependency is down or a limit is reached; try again after `retryAfterSeconds`. */
export class UnavailableError extends AppError {
  constructor(message: string, options: { code?: string; retryAfterSeconds?: number; cause?: unknown } = {}) {
    super(message, {
      code: options.code ?? 'unavailable',
      status: 503,
      retryAfterSeconds: options.retryAfterSeconds ?? 1,
      cause: options.cause,
    });
  }
}

/** Text of an unknown thrown value, for logs. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Whether a job that failed with this error would fail again: it is not retried. Errors say so by a property of their
 * own, `isUnrecoverable`.
 */
export function isUnrecoverable(error: unknown): boolean {
  return error instanceof Error && 'isUnrecoverable' in error && error.isUnrecoverable === true;
}

/** Errors that no outage can cause. */
const bugs = [TypeError, RangeError, ReferenceError, SyntaxError];

/** Throws an error that no outage can cause; any other is left to the caller. */
export function throwBugs(error: unknown): void {
  if (bugs.some((kind) => error instanceof kind)) throw error as Error;
}
