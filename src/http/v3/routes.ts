import type { AppDeps } from '../deps.ts';
import type { Route } from '../route.ts';
import { coinListRoutes } from './routes/assets.ts';
import { chartRoutes } from './routes/charts.ts';
import { coinHistoryRoutes } from './routes/coin-history.ts';
import { documentRoutes } from './routes/documents.ts';
import { keyRoutes } from './routes/key.ts';
import { marketRoutes } from './routes/markets.ts';
import { ohlcRoutes } from './routes/ohlc.ts';
import { simpleRoutes } from './routes/simple.ts';

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
