import { DeadlineError } from '../concurrency/deadline.ts';

/** What Redis and its client say when a command could not be run now, and might be later. */
const passing = new RegExp(
  [
    'command timed out',
    'socket timeout',
    'connection is closed',
    'connection is in monitoring',
    "stream isn't writeable",
    'redis is not connected',
    'reached the max retries per request',
    '^(loading|readonly|oom|misconf|masterdown|tryagain|busy|noreplicas|unblocked)\\b',
  ].join('|'),
  'i',
);
const socketCodes = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN']);

/** Whether a failed command, or what was thrown because of it, means that Redis cannot be had for the moment. */
export function isRedisOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof DeadlineError || passing.test(error.message)) return true;
  if ('code' in error && typeof error.code === 'string' && socketCodes.has(error.code)) return true;
  return isRedisOutage(error.cause);
}
