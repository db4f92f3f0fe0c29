import type { ApiModule } from '../../platform/http/api-module.ts';
import type { AssetDirectory } from './asset-directory.ts';
import { assetRoutes } from './routes.ts';

/** Routes of the list of coins. */
export function createAssetsModule(
  _platform: unknown,
  services: { readonly assets: AssetDirectory },
): ApiModule {
  return { routes: assetRoutes(services) };
}
