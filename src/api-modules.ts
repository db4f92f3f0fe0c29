/** What the API process serves: a row for each feature. */
import { createAccountsModule } from './features/accounts/module.ts';
import { createAdminModule } from './features/admin/module.ts';
import { createAlertsModule } from './features/alerts/module.ts';
import { createAssetsModule } from './features/assets/module.ts';
import { createCoinGeckoApiModule } from './features/coingecko-api/module.ts';
import { createHistoryModule } from './features/history/module.ts';
import { createJobsModule } from './features/jobs/module.ts';
import { createPortfoliosModule } from './features/portfolios/module.ts';
import { createQuotesModule } from './features/quotes/module.ts';
import { createUpstreamModule } from './features/upstream/module.ts';
import { createWebhooksModule } from './features/webhooks/module.ts';
import type { ApiModule } from './platform/http/api-module.ts';
import { createRealtimeModule } from './platform/realtime/module.ts';

/** In the order of features; of two routes that a path fits, the first is served. */
const features = [
  createRealtimeModule,
  createAccountsModule,
  createAssetsModule,
  createWebhooksModule,
  createJobsModule,
  createQuotesModule,
  createUpstreamModule,
  createHistoryModule,
  createCoinGeckoApiModule,
  createPortfoliosModule,
  createAlertsModule,
  createAdminModule,
] as const;

/** What the modules of all features together need: of the platform, and by name of the services. */
type Needs = (typeof features)[number] extends (
  platform: infer Platform extends object,
  services: infer Services extends object,
) => ApiModule
  ? { readonly platform: Platform; readonly services: Services }
  : never;

/** Makes the modules of all features. */
export function createApiModules(
  platform: Needs['platform'],
  services: Needs['services'],
): readonly ApiModule[] {
  return features.map((create) => create(platform, services));
}
