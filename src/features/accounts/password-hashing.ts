/**
 * Passwords by bcrypt, in threads of the lowest priority: one hash keeps a core busy for a tenth of a second, and in bcrypt's
 * own pool a few logins a second multiply the p99 of cached reads. Here hashing gets only spare CPU time. When that is not
 * enough, logins wait: at most a hundred of strangers and fifty of known users. Beyond that, clients are asked to retry later.
 */
import bcrypt from 'bcrypt';
import { Piscina } from 'piscina';
import { messageOf, UnavailableError } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { limitSubjectOf } from '../../platform/http/network.ts';
import { decoyHash, type HashTask } from './hash-thread.ts';
import { FairQueue, type Caller } from '../../platform/concurrency/fair-queue.ts';

/** bcrypt reads only this many bytes; a longer password is refused openly instead of being cut silently. */
export const maxPasswordBytes = 72;

/**
 * Two, where their priority can be lowered: with 20 logins/s on two cores the p99 of reads rose by half, with one thread as
 * with two (in bcrypt's own pool: 3.6 x), and an idle machine logs in twice as many. Where they have normal priority, one,
 * which leaves a core.
 */
const threads = process.platform === 'linux' ? 2 : 1;
/** Time (ms) after which a thread without work ends and gives its memory back. */
const idleMs = 60_000;
const threadMemoryMb = 32;
const waiting = 100;
const waitingKnown = 50;
const waitingPerCaller = 10;
const longestWaitMs = 10_000;

/**
 * `from` is the caller by address: one address cannot fill the queue, and strangers, however many, cannot fill it for known
 * users (see {@link FairQueue}). An address alone counts as a stranger. Absent for internal callers.
 */
export interface Passwords {
  /** @throws {UnavailableError} too many are waiting, or it waited too long (code `logins_busy`). */
  hash(password: string, from?: string | Caller): Promise<string>;
  /**
   * Whether `password` belongs to `hash`. Without a hash (no such account), or with one of a lower cost, the same amount of
   * work is done.
   * @throws {UnavailableError} too many are waiting, or it waited too long (code `logins_busy`).
   */
  matches(password: string, hash: string | undefined, from?: string | Caller): Promise<boolean>;
  /** Whether the cost has risen since the hash was created. */
  needsRehash(hash: string): boolean;
  /** Ends the threads; waiting calls are refused. */
  close(): Promise<void>;
}

/** Builds {@link Passwords}. Threads start with the first password. */
export function createPasswords({
  cost,
  log,
}: {
  /** Work factor (2^cost rounds). */
  readonly cost: number;
  readonly log?: Logger;
}): Passwords {
  const queue = new FairQueue({
    width: threads,
    waiting,
    waitingKnown,
    waitingPerCaller,
    longestWaitMs,
    refusal: busy,
  });
  const decoy = decoyHash(cost);
  let pool: Piscina<HashTask, string | boolean> | undefined;
  let state: 'open' | 'closed' = 'open';

  const inOrder = (task: HashTask, from: string | Caller | undefined): Promise<string | boolean> =>
    queue.run(async () => {
      if (state === 'closed') throw busy();
      pool ??= openPool(log);
      return await pool.run(task).catch((error: unknown) => {
        throw state === 'closed' ? busy() : error;
      });
    }, callerOf(from));

  return {
    hash: async (password, from) => (await inOrder({ password, cost }, from)) as string,
    matches: async (password, hash, from) => {
      const same = await inOrder({ password, cost, compareWith: hash ?? decoy }, from);
      return same === true && hash !== undefined;
    },
    needsRehash: (hash) => bcrypt.getRounds(hash) < cost,
    async close() {
      state = 'closed';
      await pool?.destroy();
    },
  };
}

function callerOf(from: string | Caller | undefined): Caller | undefined {
  if (from === undefined) return undefined;
  const caller = typeof from === 'string' ? { from } : from;
  return { ...caller, from: limitSubjectOf(caller.from) };
}

function openPool(log: Logger | undefined): Piscina<HashTask, string | boolean> {
  // The same extension as this module: .ts when run from source, .js when built.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const pool = new Piscina<HashTask, string | boolean>({
    filename: new URL(`./hash-thread.${extension}`, import.meta.url).href,
    minThreads: 0,
    maxThreads: threads,
    idleTimeout: idleMs,
    resourceLimits: { maxOldGenerationSizeMb: threadMemoryMb, maxYoungGenerationSizeMb: 4 },
  });
  // A thread that fails without a task would otherwise end the process; the next task starts another.
  pool.on('error', (error) =>
    log?.error(
      { reason: messageOf(error) },
      'a password hashing thread crashed; the next login starts a new one',
    ),
  );
  return pool;
}

function busy(): UnavailableError {
  return new UnavailableError('Too many logins at the moment', { code: 'logins_busy', retryAfterSeconds: 5 });
}
