/**
 * Slows down password guessing without giving an attacker the means to lock an owner out. An attempt counts as failed before
 * its password is checked, and success takes that back, so parallel attempts cannot pass together. Three counts limit the
 * guesses:
 *
 * - Pair of account and address: 5 failures a day are free, because people mistype and try their other passwords. After that,
 *   each further failure blocks the pair for 10 s, 20 s and so on, up to 5 minutes: that is some 300 guesses a day, far too few
 *   for any password that was allowed, and a wait that an owner behind the same address can sit out.
 * - Address: 50 failures in 15 minutes, over all accounts. Stops a list of leaked passwords from being tried on many accounts;
 *   lets an office behind one address make its mistakes.
 * - Account: 50 failures in 15 minutes over all addresses, so that a thousand machines guess no faster than one.
 *
 * An address from which the owner of an account has logged in before is known for it, and skips the limits of address and
 * account; the limit of the pair still applies. So neither a thousand machines nor one colleague who makes up e-mails can keep
 * owners out of addresses they have used, and the exception allows only the few guesses of a pair for each account that was
 * used there. Failures of strangers who are turned away are not counted, so the windows always end.
 *
 * Refused attempts are not counted (except those at the same instant), and no window is ever prolonged, so Retry-After stays
 * true and waiting always helps. Nothing depends on whether the account exists; only those who exhaust a limit at an address
 * learn which accounts were used from there. Keys hold digests. While Redis is away each process counts on its own.
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { LRUCache } from 'lru-cache';
import { messageOf, RateLimitedError } from '../../domain/errors.ts';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { withDeadline } from '../../platform/concurrency/deadline.ts';
import { limitSubjectOf } from '../../platform/http/network.ts';
import { createCounters, type Count } from '../../platform/observability/counters.ts';
import type { Logger } from '../../platform/observability/logger.ts';

export interface LoginThrottle {
  /**
   * Counts an attempt whose password may then be checked. `account` is the e-mail in lower case, whether or not such an account
   * exists.
   * @throws {RateLimitedError} `login_throttled`: too many failures; try again after `retryAfterSeconds`.
   */
  begin(login: { readonly account: string; readonly address: string }): Promise<{
    /** Whether the account was logged into from this address before. */
    readonly isKnown: boolean;
    /**
     * Takes the failure back and remembers the address as one of the owner's. If it is not called, the attempt has failed.
     * Never rejects.
     */
    succeeded(): Promise<void>;
  }>;
}

/** The fifth failure is still allowed, and starts the first pause. */
const failuresBeforeGate = 4;
const pairWindowSeconds = 86_400;
const firstBlockSeconds = 10;
const longestBlockSeconds = 300;

const failuresOfAddress = 50;
const failuresOfAccount = 50;
const windowSeconds = 15 * 60;

/** How long an address is known after a login to an account, and how many are kept per account, the newest. */
const knownSeconds = 30 * 86_400;
const maxKnownOfAccount = 20;
/** Pairs of account and address that this process knows for use while Redis is away. */
const maxKnownHere = 10_000;
const knownAnswerMs = 500;

/** Builds the {@link LoginThrottle}. `prefix` is that of its keys in Redis. */
export function createLoginThrottle({
  redis,
  prefix,
  clock,
  log,
}: {
  readonly redis: Redis;
  readonly prefix: string;
  readonly clock: Clock;
  readonly log: Logger;
}): LoginThrottle {
  const counters = createCounters({ redis, prefix, clock });
  const knownHere = new LRUCache<string, true>({ max: maxKnownHere });
  const knownKey = (owner: string): string => `${prefix}login:known:${owner}`;

  /** Whether an account was logged into from an address before. Never rejects. Both are digests. */
  async function isKnownAt(owner: string, place: string): Promise<boolean> {
    try {
      const answer = redis.zscore(knownKey(owner), place);
      const at = await withDeadline(answer, knownAnswerMs, 'Reading known addresses');
      return at !== null && Number(at) > clock.now() - knownSeconds * 1_000;
    } catch {
      return knownHere.has(owner + place);
    }
  }

  /** Never rejects. */
  async function remember(owner: string, place: string): Promise<void> {
    knownHere.set(owner + place, true);
    const key = knownKey(owner);
    const change = redis
      .multi()
      .zadd(key, clock.now(), place)
      .zremrangebyrank(key, 0, -1 - maxKnownOfAccount)
      .expire(key, knownSeconds)
      .exec();
    try {
      await withDeadline(change, knownAnswerMs, 'Storing a known address');
    } catch (error) {
      log.warn(
        { reason: messageOf(error) },
        'login succeeded, but its address was not remembered in Redis; while under attack, the user may be throttled there',
      );
    }
  }

  async function passPair(pair: string): Promise<void> {
    const tried = await counters.add(`login:pair:${pair}`, { by: 1, windowSeconds: pairWindowSeconds });
    if (tried.total <= failuresBeforeGate) return;
    const passed = await counters.read(`login:passed:${pair}`);
    const blockSeconds = Math.min(longestBlockSeconds, firstBlockSeconds * 2 ** (passed?.total ?? 0));
    const gate = await counters.add(`login:gate:${pair}`, { by: 1, windowSeconds: blockSeconds });
    if (gate.total > 1) throw throttled(gate.msLeft);
    await counters.add(`login:passed:${pair}`, { by: 1, windowSeconds: pairWindowSeconds });
  }

  return {
    async begin({ account, address }) {
      const subject = limitSubjectOf(address);
      const [owner, place, pair] = [digestOf(account), digestOf(subject), digestOf(`${account}\n${subject}`)];
      const byAddress = `login:address:${place}`;
      const byAccount = `login:account:${owner}`;
      const [ofAddress, ofAccount, isKnown] = await Promise.all([
        counters.read(byAddress),
        counters.read(byAccount),
        isKnownAt(owner, place),
      ]);
      if (!isKnown) refuseSpent(ofAddress, ofAccount);
      await passPair(pair);
      // Many attempts may have reached this point at the same time; now each has a number.
      const failure = { by: 1, windowSeconds };
      const [here, there] = await Promise.all([
        counters.add(byAddress, failure),
        counters.add(byAccount, failure),
      ]);
      if (!isKnown) refuseSpent(before(here), before(there));

      return {
        isKnown,
        async succeeded() {
          await Promise.all([
            counters.remove([`login:pair:${pair}`, `login:passed:${pair}`, `login:gate:${pair}`]),
            counters.add(byAddress, { by: -1, windowSeconds }),
            counters.add(byAccount, { by: -1, windowSeconds }),
            remember(owner, place),
          ]);
        },
      };
    },
  };
}

function refuseSpent(ofAddress: Count | undefined, ofAccount: Count | undefined): void {
  if (ofAddress !== undefined && ofAddress.total >= failuresOfAddress) throw throttled(ofAddress.msLeft);
  if (ofAccount !== undefined && ofAccount.total >= failuresOfAccount) throw throttled(ofAccount.msLeft);
}

/** A count without the failure just added. */
function before({ total, msLeft }: Count): Count {
  return { total: total - 1, msLeft };
}

function throttled(msLeft: number): RateLimitedError {
  return new RateLimitedError('Too many failed logins', {
    code: 'login_throttled',
    retryAfterSeconds: msLeft / 1_000,
  });
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
