import { BatchWaitError } from '../src/platform/concurrency/batcher.ts';
import { messageOf, UnavailableError } from '../src/domain/errors.ts';

/** Postgres takes no change: its disk is full, or it is a replica (a primary that was demoted behind the same address). */
const readOnly = '25006';
/** SQLSTATE classes and codes that say "not now" rather than "not so": connection, resources, shutdown, lock and query timeouts. */
const passing = new RegExp(`^(08|53|57P|57014$|55P03$|40001$|40P01$|${readOnly}$)`);
const socketCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
]);
/** The driver's own errors have no code. The last two are what is left of a transaction whose connection has died. */
const messages =
  /timeout|connection terminated|connection ended|aborted|unable to acquire|is not queryable|transaction query already complete/i;

/** Whether a failed query means that Postgres is unavailable for the moment. */
export function isOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof BatchWaitError) return true;
  // Objection wraps what the driver throws, and the wrapper of what it does not know has no code.
  if ('nativeError' in error) return isOutage(error.nativeError);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  if (code !== undefined) return passing.test(code) || socketCodes.has(code);
  return error.name === 'KnexTimeoutError' || messages.test(messageOf(error));
}

/** Whether Postgres has ended a statement that took too long: less of it at once may end in time. */
export function isCancelled(error: unknown): boolean {
  return codeOf(error) === '57014';
}

/** The SQLSTATE of what the driver throws, or of what a wrapper of it holds. */
function codeOf(error: unknown): unknown {
  if (!(error instanceof Error)) return undefined;
  if ('nativeError' in error) return codeOf(error.nativeError);
  return 'code' in error ? error.code : undefined;
}

/** An outage of Postgres as the error that clients understand; any other error as it is. */
export function asUnavailable(error: unknown): unknown {
  if (!isOutage(error)) return error;
  return codeOf(error) === readOnly
    ? new UnavailableError('Database is read-only for now', {
        code: 'database_read_only',
        retryAfterSeconds: 5,
        cause: error,
      })
    : new UnavailableError('Database unavailable', { code: 'database_unavailable', cause: error });
}

/**
 * Settles as `query` does, but an outage of Postgres becomes the error that clients understand.
 * @throws {UnavailableError} Postgres is unavailable for the moment, or accepts no changes.
 */
export async function orUnavailable<T>(query: PromiseLike<T>): Promise<T> {
  try {
    return await query;
  } catch (error) {
    throw asUnavailable(error);
  }
}
