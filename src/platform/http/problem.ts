/**
 * The one place where an error becomes a response. Anything that is neither an {@link AppError} nor a known refusal of the body
 * parser is a fault of ours: the client gets only the request id, the log gets everything.
 */
import { asUnavailable } from '../../../db/outage.ts';
import { AppError, UnavailableError, type FieldProblem } from '../../domain/errors.ts';

/** An error as a client sees it. */
export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly fields: readonly FieldProblem[] | undefined;
  readonly retryAfterSeconds: number | undefined;
}

/** Refusals by Koa and the body reader, whose own texts may quote the request. */
const refusals: Readonly<Record<number, { readonly code: string; readonly message: string }>> = {
  400: { code: 'malformed_request', message: 'The request body cannot be read as JSON' },
  404: { code: 'not_found', message: 'Path not found' },
  405: { code: 'method_not_allowed', message: 'This method is not allowed for this path' },
  413: { code: 'body_too_large', message: 'The request body is larger than 1 MB' },
  415: { code: 'unsupported_media_type', message: 'The request body must be application/json' },
  431: { code: 'headers_too_large', message: 'The request headers are too large' },
};

const internal: Problem = {
  status: 500,
  code: 'internal_error',
  message: 'Something went wrong on our side',
  fields: undefined,
  retryAfterSeconds: undefined,
};

/** The response to a client for an error. */
export function toProblem(error: unknown): Problem {
  if (error instanceof AppError) {
    const { status, code, message, fields, retryAfterSeconds } = error;
    return { status, code, message, fields, retryAfterSeconds };
  }
  const status = statusOf(error);
  const refusal = status === undefined ? undefined : refusals[status];
  if (status === undefined || refusal === undefined) {
    // Whatever statement it was, and whether or not somebody thought of it.
    const known = asUnavailable(error);
    return known instanceof AppError ? toProblem(known) : internal;
  }
  return { status, ...refusal, fields: undefined, retryAfterSeconds: undefined };
}

/** JSON text of a problem. */
export function problemJson({ code, message, fields }: Problem, requestId: string): string {
  const named = fields !== undefined && fields.length > 0;
  const detail = named ? fields.map((each) => `${each.field}: ${each.message}`).join('; ') : message;
  const error = named ? { code, detail, fields } : { code, detail };
  return JSON.stringify({ success: false, message, error, request_id: requestId });
}

/**
 * The log level of an error: our own faults are errors, a deliberate 503 is a warning. Undefined for faults of the client, and
 * for a dependency that is known to be away, which the health checks report.
 */
export function severityOf(error: unknown, { status }: Problem): 'error' | 'warn' | undefined {
  // 501 is a choice of the operator.
  if (status < 500 || status === 501 || error instanceof UnavailableError) return undefined;
  return status === 503 ? 'warn' : 'error';
}

function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  // A body that says it is compressed and is not.
  if ('code' in error && typeof error.code === 'string' && error.code.startsWith('Z_')) return 400;
  return 'status' in error && typeof error.status === 'number' ? error.status : undefined;
}
