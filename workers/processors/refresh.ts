import type { ProcessorsOf } from '../runtime/processor.ts';
import { refreshMarkets } from './refresh-markets.ts';
import type { RefreshDeps } from './refresh-outcome.ts';
import { refreshQuotes } from './refresh-quotes.ts';

/** The processors of the `refresh` queue: the only ones that call a provider. */
export function createRefreshProcessors(deps: RefreshDeps): ProcessorsOf<'refresh'> {
  return {
    'quotes.refresh': (job, context) => refreshQuotes(deps, job, context),
    'markets.refresh': (job, context) => refreshMarkets(deps, job, context),
  };
}
