/**
 * Slows down the guessing of passwords without handing an attacker the means to lock an owner out. An attempt counts as
 * failed before its password is looked at, and success takes that back, so attempts in parallel cannot pass together.
 * Three counts stand between a guess and the hash:
 *
 * - Pair of account and address: 5 failures a day are free, because people mistype and try their other passwords. Then a gate
 *   closes after each further failure, for 10 s, 20 s and so on to 5 minutes at most: that is some 300 guesses a day,
 *   far too few for any password that was let in, and a wait that an owner behind the same address can sit out.
 * - Address: 50 failures in 15 minutes, whatever the accounts. Stops a list of leaked passwords being tried on many
 *   accounts; lets an office behind one address make its mistakes.
 * - Account: 50 failures in 15 minutes over all addresses, so that a thousand machines guess no more than one.
 *
 * An address that the owner of an account has logged in from before is known for it, and passes the limits of address and
 * account; the pair's holds for it as for all others. So neither a thousand machines nor one colleague who makes up e-mails
 * keeps owners out of where they have been, and what that lets through is the few guesses of a pair for each account that was
 * used there. The failures of strangers who are turned away are not counted, so the windows always end.
 *
 * Whoever is turned away is not counted (but for those who come at the same instant), and no window is ever prolonged, so
 * Retry-After stays true and waiting always helps. Nothing depends on whether the account exists; only those who spend a limit
 * at an address learn which accounts were used from there. Keys hold digests. While Redis is away each process counts for
 * itself.
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Clock } from '../../platform/concurrency/clock.ts';
import { createCounters, type Count } from '../../platform/observability/counters.ts';
import { RateLimitedError } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { limitSubjectOf } from '../../platform/http/network.ts';
import { createKnownAddresses } from './known-addresses.ts';

/** A login whose password may now be looked at. */
export interface LoginAttempt {
  /** The account was logged into from this address before. */
  readonly isKnown: boolean;
  /** Takes the failure back and remembers the address as one of the owner's. Not called: the attempt has failed. Never rejects. */
  succeeded(): Promise<void>;
}

export interface LoginThrottle {
  /**
   * Counts an attempt. `account` is the e-mail in lower case, whether or not there is such an account.
   * @throws {RateLimitedError} `login_throttled`: too many failures; worth a try again after `retryAfterSeconds`.
   */
  begin(login: { readonly account: string; readonly address: string }): Promise<LoginAttempt>;
}

interface LoginThrottleDeps {
  readonly redis: Redis;
  /** Of the keys in Redis. */
  readonly prefix: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The fifth failure passes the gate, and thereby closes it. */
const failuresBeforeGate = 4;
const pairWindowSeconds = 86_400;
const firstBlockSeconds = 10;
const longestBlockSeconds = 300;

const failuresOfAddress = 50;
const failuresOfAccount = 50;
const windowSeconds = 15 * 60;

/** Builds the {@link LoginThrottle}. */
export function createLoginThrottle(deps: LoginThrottleDeps): LoginThrottle {
  const { redis, prefix, clock } = deps;
  const counters = createCounters({ redis, prefix, clock });
  const known = createKnownAddresses(deps);

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
        known.has(owner, place),
      ]);
      if (!isKnown) refuseSpent(ofAddress, ofAccount);
      await passPair(pair);
      // Many may have come so far at the same time; now each has a number.
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
            known.remember(owner, place),
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
