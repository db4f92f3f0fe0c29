import { noGuard, type DeviationGuard } from '../../src/features/quotes/deviation-guard.ts';
import type { CircuitBreaker } from '../../src/features/upstream/circuit-breaker.ts';
import { createProviderChain, type ProviderChain } from '../../src/features/upstream/provider-chain.ts';
import type { PriceProvider } from '../../src/features/upstream/provider.ts';
import type { RequestLimiter } from '../../src/features/upstream/request-limiter-contract.ts';

/** A breaker that never opens. */
const openDoor: CircuitBreaker = {
  acquire: () => Promise.resolve({ state: 'closed' }),
  succeeded: () => Promise.resolve(),
  failed: () => Promise.resolve(),
  cancel: () => Promise.resolve(),
};

/** What processors get for one source without a breaker and without a guard. */
export function upstreamOf(
  provider: PriceProvider,
  limiter: RequestLimiter,
): { chain: ProviderChain; provider: PriceProvider; limiter: RequestLimiter; guard: DeviationGuard } {
  const member = { provider, limiter, breaker: openDoor };
  return {
    chain: createProviderChain({ members: [member], failoverMs: 2_000 }),
    provider,
    limiter,
    guard: noGuard,
  };
}
