/**
 * Passwords by bcrypt. Each hash occupies a thread of libuv's pool, which files and DNS need too: two run at once, a hundred
 * wait, and whoever comes after that is told to come back.
 */
import bcrypt from 'bcrypt';
import { UnavailableError } from '../lib/errors.ts';

/** bcrypt reads no further than this many bytes; a longer password is refused openly instead of being cut in silence. */
export const maxPasswordBytes = 72;

const runningLimit = 2;
const waitingLimit = 100;

export interface Passwords {
  /** @throws {UnavailableError} too many are waiting. */
  hash(password: string): Promise<string>;
  /**
   * Whether `password` belongs to `hash`. Without a hash (no such account) the same work is done and the answer is no.
   * @throws {UnavailableError} too many are waiting.
   */
  matches(password: string, hash: string | undefined): Promise<boolean>;
}

/** Builds {@link Passwords}; `cost` is the work factor (2^cost rounds). */
export function createPasswords({ cost }: { readonly cost: number }): Passwords {
  const inTurn = createTurns();
  let dummyHash: Promise<string> | undefined;

  return {
    hash: async (password) => inTurn(() => bcrypt.hash(password, cost)),
    matches: async (password, hash) =>
      inTurn(async () => {
        const reference = hash ?? (await (dummyHash ??= bcrypt.hash('nobody has this password', cost)));
        const same = await bcrypt.compare(password, reference);
        return same && hash !== undefined;
      }),
  };
}

/** Runs pieces of work, two at a time, in the order they came. */
function createTurns(): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let running = 0;

  return async (work) => {
    if (running >= runningLimit) {
      if (waiting.length >= waitingLimit) {
        throw new UnavailableError('Too many logins at the moment', {
          code: 'logins_busy',
          retryAfterSeconds: 5,
        });
      }
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else {
      running += 1;
    }
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
