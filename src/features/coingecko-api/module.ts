import type { ApiModule } from '../../platform/http/api-module.ts';
import type { Platform } from '../../platform/platform.ts';
import { coinListRoutes, passthroughRoutes } from './coin-routes.ts';
import { historyRoutes } from './history-routes.ts';
import { marketRoutes } from './markets-routes.ts';
import { keyRoute, simpleRoutes } from './simple-routes.ts';
import type { CoinGeckoApiDeps } from './types.ts';

/** The mirrored part of CoinGecko's contract. Literal paths come before those with a parameter in the same place. */
export function createCoinGeckoApiModule(
  { config, clock }: Pick<Platform, 'config' | 'clock'>,
  services: Omit<CoinGeckoApiDeps, 'config' | 'clock'>,
): ApiModule {
  const deps = { config, clock, ...services };
  return {
    routes: [
      ...simpleRoutes(deps),
      ...marketRoutes(deps),
      ...coinListRoutes(deps),
      ...historyRoutes(deps),
      ...passthroughRoutes(deps),
      keyRoute(deps),
    ],
  };
}
