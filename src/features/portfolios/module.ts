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
import type { PortfolioStreams } from './portfolio-stream.ts';

/** Builds what the API process serves of portfolios; the rest is how jobs are submitted and streams are opened. */
export function createPortfolioModule(
  { config, clock, log }: Pick<Platform, 'config' | 'clock' | 'log'>,
  service: PortfolioService,
  others: SubmitDeps & {
    readonly assets: Pick<AssetDirectory, 'isKnown' | 'byId'>;
    readonly realtime: Realtime;
    readonly portfolioStreams: PortfolioStreams;
  },
): ApiModule {
  const deps = { config, clock, log, ...service, ...others };
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
