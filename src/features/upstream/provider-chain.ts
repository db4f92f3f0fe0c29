/**
 * The price sources in their order. A request goes to the first one that can serve it, whose circuit breaker lets it pass and
 * whose budget grants a call; if that fails, it goes on to the next, within the time of the request. Every source has its own
 * budget, limiter and breaker, so that trouble with one never costs calls of another.
 */
import { signalWithDeadline } from './call-signal.ts';
import { type CircuitBreaker, verdictOf } from './circuit-breaker.ts';
import { BudgetWaitError, ProviderError, ProviderTimeoutError, retryAfterMsOf } from './provider-errors.ts';
import type { PriceProvider } from './provider.ts';
import type { LimiterRequest, GrantedCall, RequestLimiter } from './request-limiter-contract.ts';

/** A source with its breaker and limiter. */
export interface ChainMember {
  readonly provider: PriceProvider;
  readonly limiter: RequestLimiter;
  readonly breaker: CircuitBreaker;
}

/** Every source that could serve a request is known to fail, and none is called for `retryInMs`. */
export class ProviderOpenError extends ProviderError {
  readonly retryInMs: number;

  constructor(provider: string, retryInMs: number) {
    super(`${provider} fails and is not called for ${Math.ceil(retryInMs / 1000)} s`, { provider });
    this.retryInMs = retryInMs;
  }
}

/** None of the sources has what was requested. */
export class NoProviderError extends ProviderError {}

/** A call returns this to have the next source tried as well, because its own does not know everything. */
export const askNext = Symbol('ask the next provider');

export interface ChainRequest extends Omit<LimiterRequest, 'credits'> {
  /** Which sources may serve the call. Checked again right before each is called. Default: all. */
  readonly can?: (provider: PriceProvider) => boolean;
  /** Number of assets in the call, if known; a source may charge by it. Default 1. */
  readonly assets?: number;
}

/** What a call gets in addition to its grant. */
export interface SourceAttempt {
  readonly provider: PriceProvider;
  /** False for a fallback source: if it does not know an asset, that means nothing. */
  readonly isFirst: boolean;
}

/** The sources as callers see them. */
export interface ProviderChain {
  readonly members: readonly ChainMember[];
  /** The source that is tried first, and whose "not found" counts. */
  readonly first: PriceProvider;
  /**
   * Makes one call, trying one source after the other until one answers. Resolves with undefined when the last one passed the
   * request on.
   * @throws {BudgetWaitError | ProviderRateLimitError | ProviderBusyError} when a retry may soon succeed; else the first
   * source's error; {@link ProviderOpenError} when none may be called.
   */
  run<T>(
    request: ChainRequest,
    call: (grant: GrantedCall, attempt: SourceAttempt) => Promise<T | typeof askNext>,
  ): Promise<T | undefined>;
}

/** A wait of up to this time (ms) is reported rather than the failure of a source. */
const shortWaitMs = 10_000;

/** Builds the chain of a worker process. */
export function createProviderChain({
  members,
  failoverMs,
}: {
  readonly members: readonly [ChainMember, ...ChainMember[]];
  /** While another source is left, an urgent call gets this long (ms) before that one is tried. */
  readonly failoverMs: number;
}): ProviderChain {
  const [{ provider: first }] = members;
  return {
    members,
    first,
    async run(request, call) {
      const errors: unknown[] = [];
      for (const [index, member] of members.entries()) {
        request.signal.throwIfAborted();
        if (request.can?.(member.provider) === false) continue;
        const others = members.slice(index + 1).some(({ provider }) => request.can?.(provider) !== false);
        const limitMs = others && request.urgency === 'interactive' ? failoverMs : undefined;
        const outcome = await tryMember(member, { ...request, limitMs, isFirst: index === 0 }, call);
        if ('error' in outcome) errors.push(outcome.error);
        else if (outcome.value !== askNext) return outcome.value;
        else if (!others) return undefined;
      }
      throw worstOf(errors, first.source);
    },
  };
}

async function tryMember<T>(
  member: ChainMember,
  {
    limitMs,
    isFirst,
    assets,
    ...request
  }: ChainRequest & { readonly limitMs: number | undefined; readonly isFirst: boolean },
  call: (grant: GrantedCall, attempt: SourceAttempt) => Promise<T>,
): Promise<{ readonly value: T } | { readonly error: unknown }> {
  const { provider } = member;
  const credits = provider.creditsOf?.(assets ?? 1);
  const limit = { source: provider.source, ms: limitMs };
  try {
    const value = await runGuarded(
      member,
      { ...request, ...(credits === undefined ? {} : { credits }) },
      (grant) => withinLimit(grant, limit, (cut) => call(cut, { provider, isFirst })),
    );
    return { value };
  } catch (error) {
    request.signal.throwIfAborted();
    return { error };
  }
}

/** Runs a call of one source through its breaker and its limiter. */
async function runGuarded<T>(
  { provider, limiter, breaker }: ChainMember,
  request: LimiterRequest,
  call: (grant: GrantedCall) => Promise<T>,
): Promise<T> {
  const allowed = await breaker.acquire();
  if (allowed.state === 'open') throw new ProviderOpenError(provider.source, allowed.retryInMs);
  const probe = allowed.state === 'probe';
  const use = { released: false };
  try {
    const value = await limiter.run(request, (grant) => {
      const release = (): Promise<void> => {
        use.released = true;
        return grant.release();
      };
      return call({ ...grant, release });
    });
    // A call that turned out to be unnecessary says nothing about the source.
    if (!use.released) await breaker.succeeded();
    else if (probe) await breaker.cancel();
    return value;
  } catch (error) {
    await judge(breaker, { error, probe, refusalFails: request.refusalFails ?? false });
    throw error;
  }
}

/** The limiter of one source behind its breaker, for calls that only this source can answer. */
export function limiterOf(member: ChainMember): RequestLimiter {
  return { ...member.limiter, run: (request, call) => runGuarded(member, request, call) };
}

/** The call with the time limit that applies while another source is left. */
async function withinLimit<T>(
  grant: GrantedCall,
  limit: { readonly source: string; readonly ms: number | undefined },
  call: (grant: GrantedCall) => Promise<T>,
): Promise<T> {
  const { source, ms } = limit;
  if (ms === undefined) return await call(grant);
  const reason = (): Error =>
    new ProviderTimeoutError(`${source} took longer than ${ms} ms`, { provider: source });
  const { signal, dispose } = signalWithDeadline({ parent: grant.signal, ms, reason });
  try {
    return await call({ ...grant, signal });
  } finally {
    dispose();
  }
}

async function judge(
  breaker: CircuitBreaker,
  { error, probe, refusalFails }: { error: unknown; probe: boolean; refusalFails: boolean },
): Promise<void> {
  const verdict = verdictOf(error);
  const fails = verdict === 'fails' || (verdict === 'refuses' && refusalFails);
  if (fails) await breaker.failed(probe);
  else if (verdict === 'answers') await breaker.succeeded();
  else if (probe) await breaker.cancel();
}

/** The error to report when no source answered. */
function worstOf(errors: readonly unknown[], first: string): unknown {
  const waits = errors.filter((error) => waitMsOf(error) !== undefined);
  const [shortest] = waits.sort((left, right) => (waitMsOf(left) ?? 0) - (waitMsOf(right) ?? 0));
  if (shortest !== undefined && (waitMsOf(shortest) ?? 0) <= shortWaitMs) return shortest;
  const failure = errors.find(
    (error) => waitMsOf(error) === undefined && !(error instanceof ProviderOpenError),
  );
  const open = errors.filter((error) => error instanceof ProviderOpenError);
  const soonest = open.sort((left, right) => left.retryInMs - right.retryInMs)[0];
  return (
    failure ??
    soonest ??
    shortest ??
    new NoProviderError('No price source serves this request', { provider: first })
  );
}

function waitMsOf(error: unknown): number | undefined {
  if (error instanceof BudgetWaitError) return error.waitMs;
  return retryAfterMsOf(error);
}
