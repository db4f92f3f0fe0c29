import type { ApiModule } from '../../platform/http/api-module.ts';
import type { Realtime } from '../../platform/realtime/realtime.ts';
import type { Platform } from '../../platform/platform.ts';
import type { AssetDirectory } from '../assets/asset-directory.ts';
import type { SubmitDeps } from '../jobs/submit-job.ts';
import { exportRoutes } from './exports/routes.ts';
import { importRoutes } from './importers/routes.ts';
import { performanceRoutes } from './performance/routes.ts';
import type { PortfolioService } from './portfolio-service.ts';
import { positionRoutes } from './positions/routes.ts';
import { portfolioRoutes } from './routes.ts';
import { transactionRoutes } from './transactions/routes.ts';
import { valuationRoutes } from './valuation/routes.ts';

/** The module of portfolios: their contents, their figures, and the jobs on them. */
export function createPortfoliosModule(
  { config, clock, log }: Pick<Platform, 'config' | 'clock' | 'log'>,
  {
    portfolios,
    ...others
  }: SubmitDeps & {
    readonly portfolios: PortfolioService;
    readonly assets: Pick<AssetDirectory, 'isKnown' | 'byId' | 'idOf'>;
    readonly realtime: Pick<Realtime, 'hijack'>;
  },
): ApiModule {
  const deps = { config, clock, log, ...others, ...portfolios };
  return {
    routes: [
      ...portfolioRoutes(deps),
      ...performanceRoutes(deps),
      ...transactionRoutes(deps),
      ...positionRoutes(deps),
      ...valuationRoutes(deps),
      ...importRoutes(deps),
      ...exportRoutes(deps),
    ],
  };
}
