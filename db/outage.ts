import { BatchWaitError } from '../src/platform/concurrency/batcher.ts';
import { messageOf, UnavailableError } from '../src/domain/errors.ts';

/** SQLSTATE classes and codes that say "not now" rather than "not so": connection, resources, shutdown, lock and query timeouts. */
const passing = /^(08|53|57P|57014$|55P03$|40001$|40P01$)/;
const socketCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
]);
const messages = /timeout|connection terminated|connection ended|aborted|unable to acquire/i;

/** Whether a failed query means that Postgres cannot be had for the moment. */
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
  return error instanceof Error && 'code' in error && error.code === '57014';
}

/**
 * Settles as `query` does, but an outage of Postgres becomes the error that clients understand.
 * @throws {UnavailableError} Postgres cannot be had for the moment.
 */
export async function orUnavailable<T>(query: PromiseLike<T>): Promise<T> {
  try {
    return await query;
  } catch (error) {
    if (!isOutage(error)) throw error;
    throw new UnavailableError('The database does not answer', {
      code: 'database_unavailable',
      cause: error,
    });
  }
}
