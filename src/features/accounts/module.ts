import type { ApiModule } from '../../platform/http/api-module.ts';
import type { Platform } from '../../platform/platform.ts';
import type { AccountService } from './account-service.ts';
import { apiKeyRoutes, passwordRoutes, recordRoutes, sessionRoutes, userRoutes } from './routes.ts';

/** Registering, logging in, accounts, API keys and usage over HTTP. */
export function createAccountsModule(
  platform: Pick<Platform, 'config' | 'clock'>,
  service: AccountService,
): ApiModule {
  return {
    routes: [
      ...sessionRoutes(platform, service),
      ...passwordRoutes(service),
      ...userRoutes(service),
      ...apiKeyRoutes(platform, service),
      ...recordRoutes(service),
    ],
  };
}
