import {
  BudgetWaitError,
  ProviderConnectionError,
  ProviderResponseError,
  ProviderTimeoutError,
  ProviderUrlTooLongError,
  retryAfterMsOf,
} from '../../../src/features/upstream/provider-errors.ts';
import type { GrantedCall, RequestLimiter } from '../../../src/features/upstream/request-limiter-contract.ts';
import { sleep } from '../../../src/platform/concurrency/sleep.ts';
import type { Urgency } from '../../../src/domain/quote.ts';
import type {
  askNext,
  ProviderChain,
  ChainRequest,
  SourceAttempt,
} from '../../../src/features/upstream/provider-chain.ts';
import type { JobContext } from '../../runtime/processor.ts';

const maxTries = 3;
const backoffMs = 250;
const maxBudgetWaitMs = 1_000;

/**
 * Runs `call` through the limiter until it succeeds or finally fails: up to three tries, each with a grant of its own, so that
 * retries are paid for like first calls. A wait for the budget of more than a second is left to requeueing the job, so that
 * waiting occupies nobody.
 * @throws the last error; one that has a {@link waitOf} at once, because it says when to retry.
 */
export async function callUpstream<T>(
  {
    limiter,
    urgency,
    context,
    refusalFails = false,
  }: {
    readonly limiter: RequestLimiter;
    readonly urgency: Urgency;
    readonly context: JobContext;
    /** Whether a refusal of the key says that the source cannot be used at all. */
    readonly refusalFails?: boolean;
  },
  call: (grant: GrantedCall) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      // Bounded waiting, so that the signal can be the one that lets a call under way finish.
      const signal = context.callSignal;
      return await limiter.run({ urgency, maxWaitMs: maxBudgetWaitMs, signal, refusalFails }, call);
    } catch (error) {
      if (attempt === maxTries || !isWorthARetry(error)) throw error;
      await sleep(backoffMs * 2 ** (attempt - 1) * (0.5 + Math.random()), context.waitSignal);
    }
  }
}

/** Going on to the next source is the better second try, so the whole chain is only gone through twice. */
const maxRounds = 2;

/**
 * The same for a call that several sources could answer: the next one is asked before the first is asked again.
 * @throws what {@link ProviderChain.run} throws.
 */
export async function callChain<T>(
  {
    chain,
    context,
    ...request
  }: Pick<ChainRequest, 'can' | 'assets' | 'refusalFails'> & {
    readonly chain: ProviderChain;
    readonly urgency: Urgency;
    readonly context: JobContext;
  },
  call: (grant: GrantedCall, attempt: SourceAttempt) => Promise<T | typeof askNext>,
): Promise<T | undefined> {
  const rounds = chain.members.length > 1 ? maxRounds : maxTries;
  const requested = { ...request, maxWaitMs: maxBudgetWaitMs, signal: context.callSignal };
  for (let round = 1; ; round++) {
    try {
      return await chain.run(requested, call);
    } catch (error) {
      if (round === rounds || !isWorthARetry(error)) throw error;
      await sleep(backoffMs * 2 ** (round - 1) * (0.5 + Math.random()), context.waitSignal);
    }
  }
}

function isWorthARetry(error: unknown): boolean {
  if (retryAfterMsOf(error) !== undefined) return false;
  return [ProviderTimeoutError, ProviderConnectionError, ProviderResponseError, ProviderUrlTooLongError].some(
    (kind) => error instanceof kind,
  );
}

/** For how long (ms) nothing can be had, when that is why a call failed; undefined for any other failure. */
export function waitOf(error: unknown): number | undefined {
  if (error instanceof BudgetWaitError) return Math.max(50, error.waitMs);
  return retryAfterMsOf(error);
}
