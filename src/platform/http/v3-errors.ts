/**
 * Errors in CoinGecko's shapes, which differ by status: `{"error": "…"}` for faults of a request, and `{"status":
 * {"error_code": …, "error_message": "…"}}` for keys, limits and outages.
 */
import { AppError, NotFoundError, ValidationError } from '../../domain/errors.ts';
import type { Problem } from './problem.ts';

/** 422: a required parameter is missing. */
export function missingParameter(name: string): AppError {
  return new AppError(`Missing parameter ${name}`, { code: 'missing_parameter', status: 422 });
}

/** 422: a parameter that CoinGecko refuses, in its words. */
export function invalidParameter(message: string): AppError {
  return new AppError(message, { code: 'invalid_parameter', status: 422 });
}

/** 404: no asset has this id. */
export function coinNotFound(): AppError {
  return new NotFoundError('coin not found', 'coin_not_found');
}

/** 401, in CoinGecko's form: no source has data that old. */
export function outOfReach(days: number): AppError {
  const message = `Your request exceeds the allowed time range. The price source provides the past ${days} days, and nothing older is stored here.`;
  return new AppError(message, { code: outOfReachCode, status: 401 });
}

/** Whether an error is that of {@link outOfReach}. */
export function isOutOfReach(error: unknown): boolean {
  return error instanceof AppError && error.code === outOfReachCode;
}

/** 503: unavailable at the moment, and no older value exists. */
export function notYet(message: string, retryAfterSeconds: number): AppError {
  return new AppError(message, { code: 'not_available', status: 503, retryAfterSeconds });
}

const outOfReachCode = 'time_range_exceeded';
/** CoinGecko's code for it. */
const timeRangeCode = 10_012;
/** CoinGecko's codes for keys. */
const keyCodes: Readonly<Record<number, number>> = { 401: 10_002, 403: 10_005 };
const incorrectPath =
  'Incorrect path. Please check the documentation of this server at /docs for the paths that it has.';
/**
 * No client should sleep longer than this (s) over a request: beyond it, the response asks clients not to retry by themselves.
 */
const longestSleep = 30;

/** How a refusal goes out. */
interface V3Refusal {
  readonly status: number;
  readonly json: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** An error in CoinGecko's shape. `error` is what was thrown. */
export function toV3Refusal(error: unknown, problem: Problem): V3Refusal {
  // CoinGecko knows no other methods than GET and HEAD: to it, they are paths that it does not have.
  const status = problem.status === 405 ? 404 : problem.status;
  const sleepsTooLong = (problem.retryAfterSeconds ?? 0) > longestSleep;
  return {
    status,
    json: JSON.stringify(bodyOf({ ...problem, status, message: messageOf(error, problem) })),
    headers: {
      'Access-Control-Allow-Origin': '*',
      'Access-Control-Expose-Headers': 'retry-after, ratelimit, ratelimit-policy, x-request-id',
      ...(sleepsTooLong ? { 'X-Should-Retry': 'false' } : {}),
    },
  };
}

function messageOf(error: unknown, { status, code, message }: Problem): string {
  if (status === 405 || (status === 404 && code === 'not_found')) return incorrectPath;
  if (!(error instanceof ValidationError)) return message;
  const [first] = error.fields ?? [];
  const name = first?.field.replace(/^query\./, '') ?? '';
  return first?.message === 'is required' ? `Missing parameter ${name}` : `Invalid parameter ${name}`;
}

function bodyOf({ status, code, message }: Pick<Problem, 'status' | 'code' | 'message'>): object {
  if (code === outOfReachCode) {
    const timestamp = new Date().toISOString();
    return { error: { status: { timestamp, error_code: timeRangeCode, error_message: message } } };
  }
  const keyCode = keyCodes[status];
  if (keyCode !== undefined) {
    const timestamp = new Date().toISOString();
    return { status: { timestamp, error_code: keyCode, error_message: message } };
  }
  if (status === 429 || status === 503) return { status: { error_code: status, error_message: message } };
  return status === 500 ? { status, error: 'Internal Server Error' } : { error: message };
}
