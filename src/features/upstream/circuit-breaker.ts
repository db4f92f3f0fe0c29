/**
 * The circuit breaker of a provider, for the whole fleet. After a few failures in a row nobody calls the provider for a while
 * (open); then one process may try (half-open, the probe): its success lets all calls pass again (closed), its failure doubles
 * the pause. So a provider that is down costs one call per pause, and one that recovers is not overrun: the budget grants the
 * waiting calls one after the other.
 *
 * The state is in Redis, and Redis's clock decides. Without Redis the breaker lets calls pass: the budget, which needs Redis
 * too, grants none then.
 */
import type { Redis } from 'ioredis';
import type { PriceSourceState } from '../../domain/budget-state.ts';
import { withDeadline } from '../../platform/concurrency/deadline.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { redisScript, runScript, type RedisScript } from '../../platform/redis/redis-script.ts';
import {
  ProviderError,
  ProviderKeyError,
  ProviderRangeError,
  ProviderRejectedError,
  ProviderUrlTooLongError,
  ProviderRateLimitError,
} from './provider-errors.ts';

/** No method rejects. */
export interface CircuitBreaker {
  /** Whether a call may be made. A caller that gets `probe` must end it with one of the other methods. */
  acquire(): Promise<
    | { readonly state: 'closed' | 'probe' }
    /** No call before `retryInMs` is over. */
    | { readonly state: 'open'; readonly retryInMs: number }
  >;
  /** Reports a good response from the provider. */
  succeeded(): Promise<void>;
  /** Reports a failure of the provider. `probe`: this was the probe. */
  failed(probe: boolean): Promise<void>;
  /** Reports that no call was made after all: the next one may be the probe. */
  cancel(): Promise<void>;
}

const redisTimeoutMs = 1_000;
/** A probe without an end (its process died) is given to another after this time (ms). */
const probeMs = 30_000;
const firstPauseMs = 1_000;
/** State of a provider that is no longer called expires after this time (ms). */
const keptMs = 86_400_000;

/** ARGV[1] is the time or ''. Fields: failures, opens, until (end of the pause), probe (end of the probe). */
const clock = `
local key = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local function number(field) return tonumber(redis.call('HGET', key, field) or '0') end
local function text(value) return string.format('%.0f', value) end
`;

/** ARGV: now, length of a probe. Returns the state and how long it lasts. */
const acquireScript = redisScript(`${clock}
local untilAt = number('until')
if untilAt == 0 then return { 'closed', '0' } end
if now < untilAt then return { 'open', text(untilAt - now) } end
local probeAt = number('probe')
if now < probeAt then return { 'open', text(probeAt - now) } end
redis.call('HSET', key, 'probe', text(now + ARGV[2]))
return { 'probe', '0' }`);

/**
 * ARGV: now, failures that open it, pauses (first, longest), jitter in [0, 1), whether it was the probe, how long the state is
 * kept. A failure of a call that was sent before the breaker opened changes nothing. Returns the pause that starts, or 0.
 */
const failedScript = redisScript(`${clock}
local most, first, longest = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local failures = redis.call('HINCRBY', key, 'failures', 1)
redis.call('PEXPIRE', key, ARGV[7])
local untilAt = number('until')
if untilAt > 0 and ARGV[6] == '0' then return { '0' } end
if untilAt == 0 and failures < most then return { '0' } end
local opens = number('opens')
local pause = math.min(longest, first * 2 ^ math.min(opens, 30)) * (1 - 0.5 * tonumber(ARGV[5]))
redis.call('HSET', key, 'opens', text(opens + 1), 'until', text(now + pause))
redis.call('HDEL', key, 'probe')
return { text(pause) }`);

const statusScript = redisScript(`${clock}
local untilAt, probeAt = number('until'), number('probe')
return { text(untilAt == 0 and 0 or math.max(1, untilAt - now)), text(math.max(0, probeAt - now)), text(number('failures')) }`);

/** Builds the breaker of a provider. */
export function createCircuitBreaker(options: {
  readonly redis: Redis;
  readonly log: Logger;
  /** Name of the provider. */
  readonly name: string;
  /** Key of its hash. */
  readonly key: string;
  /** Consecutive failures that open it. */
  readonly failures: number;
  /** Longest pause (ms) before a probe. */
  readonly longestMs: number;
  /** First pause (ms). Default 1 s. */
  readonly firstMs?: number;
  /** Time used instead of Redis's own, for tests (ms since the epoch). */
  readonly now?: () => number;
}): CircuitBreaker {
  const { log, name, redis, key } = options;
  const now = (): string | number => options.now?.() ?? '';
  const run = (script: RedisScript, ...args: readonly (string | number)[]): Promise<string[]> =>
    runIn(redis, script, { key, args });
  const quietly = async (what: Promise<unknown>): Promise<void> => {
    await what.catch((error: unknown) =>
      log.debug(
        { provider: name, reason: messageOf(error) },
        'whether the provider is paused after failures could not be stored in Redis: other processes may call it all the same',
      ),
    );
  };

  return {
    async acquire() {
      try {
        const [state, ms] = await run(acquireScript, now(), probeMs);
        if (state === 'open') return { state, retryInMs: Math.max(1, Number(ms)) };
        return { state: state === 'probe' ? 'probe' : 'closed' };
      } catch (error) {
        log.debug({ provider: name, reason: messageOf(error) }, 'a circuit breaker cannot be read');
        return { state: 'closed' };
      }
    },
    async succeeded() {
      await quietly(
        withDeadline(redis.del(key), redisTimeoutMs, 'Redis').then((removed) => {
          if (removed > 0)
            log.info({ provider: name }, 'circuit breaker closed: the provider responds again');
        }),
      );
    },
    async failed(probe) {
      const { failures, longestMs, firstMs = firstPauseMs } = options;
      const args = [now(), failures, firstMs, longestMs, Math.random(), probe ? 1 : 0, keptMs];
      await quietly(
        run(failedScript, ...args).then(([pause]) => {
          if (Number(pause) > 0)
            log.warn(
              { provider: name, pauseMs: Number(pause) },
              'circuit breaker opened: the provider fails and is not called for a while',
            );
        }),
      );
    },
    cancel: () => quietly(withDeadline(redis.hdel(key, 'probe'), redisTimeoutMs, 'Redis')),
  };
}

async function runIn(
  redis: Redis,
  script: RedisScript,
  { key, args }: { key: string; args: readonly (string | number)[] },
): Promise<string[]> {
  const reply = await withDeadline(runScript(redis, script, { keys: [key], args }), redisTimeoutMs, 'Redis');
  return (reply as unknown[]).map(String);
}

/** Reads the state of a breaker, for people. @throws when Redis does not answer. */
export async function readBreaker(
  redis: Redis,
  key: string,
  now?: () => number,
): Promise<Omit<PriceSourceState, 'name' | 'lastFailure'>> {
  const reply = await runIn(redis, statusScript, { key, args: [now?.() ?? ''] });
  const [openFor = 0, probeFor = 0, failures = 0] = reply.map(Number);
  if (openFor === 0) return { state: 'closed', failures, retryInMs: 0 };
  const isHalfOpen = openFor <= 1;
  return { state: isHalfOpen ? 'half_open' : 'open', failures, retryInMs: isHalfOpen ? probeFor : openFor };
}

/** Statuses of a key, a plan or an address that is refused: no call can succeed with it. */
const refusals: ReadonlySet<number> = new Set([401, 402, 403]);

/**
 * What an error says of the provider's health. `refuses`: it refuses us, or this kind of request. `answers`: it works, but
 * refused this request or asks us to wait (which the budget handles). `unsent`: it was not called at all.
 */
export function verdictOf(error: unknown): 'fails' | 'refuses' | 'answers' | 'unsent' {
  if (!(error instanceof ProviderError)) return 'unsent';
  if (error instanceof ProviderRateLimitError || error instanceof ProviderUrlTooLongError)
    return error.providerStatus === undefined ? 'unsent' : 'answers';
  if (!(error instanceof ProviderRejectedError)) return 'fails';
  // A time range that a plan does not include is refused with the status of a wrong key.
  if (error instanceof ProviderRangeError) return 'answers';
  if (error.providerStatus === undefined) return 'unsent';
  return isRefusal(error) ? 'refuses' : 'answers';
}

function isRefusal(error: ProviderRejectedError): boolean {
  return error instanceof ProviderKeyError || refusals.has(error.providerStatus ?? 0);
}
