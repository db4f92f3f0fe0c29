import type { AppDeps } from '../../app-deps.ts';
import type { Route } from '../../platform/http/route.ts';
import { coinListRoutes } from './assets-routes.ts';
import { chartRoutes } from './charts-routes.ts';
import { coinHistoryRoutes } from './coin-history-routes.ts';
import { documentRoutes } from './documents-routes.ts';
import { keyRoutes } from './key-routes.ts';
import { marketRoutes } from './markets-routes.ts';
import { ohlcRoutes } from './ohlc-routes.ts';
import { simpleRoutes } from './simple-routes.ts';

/** CoinGecko's contract, as far as it is mirrored. Literal paths stand before those with a parameter in the same place. */
export function v3Routes(deps: AppDeps): Route[] {
  return [
    ...simpleRoutes(deps),
    ...marketRoutes(deps),
    ...coinListRoutes(deps),
    ...chartRoutes(deps),
    ...ohlcRoutes(deps),
    ...coinHistoryRoutes(deps),
    ...documentRoutes(deps),
    ...keyRoutes(deps),
  ];
}
