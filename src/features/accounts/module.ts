import type { ApiModule } from '../../platform/http/api-module.ts';
import type { Platform } from '../../platform/platform.ts';
import type { AccountService } from './account-service.ts';
import { accountRoutes } from './routes.ts';

/** The module of accounts in the API process. */
export function createAccountsModule(
  platform: Pick<Platform, 'config' | 'clock'>,
  { access }: { readonly access: AccountService },
): ApiModule {
  return { routes: accountRoutes(platform, access) };
}
