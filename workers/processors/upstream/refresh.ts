import { refreshAssets, type AssetRefreshDeps } from './assets.ts';
import type { ProcessorsOf } from '../../runtime/processor.ts';
import { refreshMarkets } from './refresh-markets.ts';
import type { RefreshDeps } from './refresh-outcome.ts';
import { refreshQuotes } from './refresh-quotes.ts';
import { refreshTier, type TierDeps } from './tier.ts';

/** The processors of the `refresh` queue: the only ones that call a provider. */
export function createRefreshProcessors(
  deps: RefreshDeps & TierDeps & AssetRefreshDeps,
): Omit<ProcessorsOf<'refresh'>, 'document.refresh' | 'history.backfill'> {
  return {
    'quotes.refresh': (job, context) => refreshQuotes(deps, job, context),
    'markets.refresh': (job, context) => refreshMarkets(deps, job, context),
    'tier.refresh': (_job, context) => refreshTier(deps, context),
    'assets.refresh': (_job, context) => refreshAssets(deps, context),
  };
}
