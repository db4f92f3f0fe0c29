/** The HTTP application: the layers in their order, and the route table. */
import type { RequestListener } from 'node:http';
import Koa from 'koa';
import { messageOf } from './domain/errors.ts';
import type { ApiState } from './platform/http/context.ts';
import type { AppDeps } from './app-deps.ts';
import { cors } from './platform/http/headers.ts';
import { admitOf, type Admit } from './platform/http/admission.ts';
import { telemetry } from './platform/http/telemetry.ts';
import { quickReads } from './platform/http/fast-path.ts';
import { createReception } from './platform/http/request-context.ts';
import type { Route } from './platform/http/route.ts';
import { routing } from './platform/http/router.ts';
import { createAccountsModule } from './features/accounts/module.ts';
import { createAdminModule } from './features/admin/module.ts';
import { createAlertsModule } from './features/alerts/module.ts';
import { createAssetsModule } from './features/assets/module.ts';
import { cacheRoutes, priceRoutes, submissionRoutes } from './features/quotes/routes.ts';
import { docsRoutes } from './platform/http/docs-routes.ts';
import { jobRoutes } from './features/jobs/routes.ts';
import { createPortfolioModule } from './features/portfolios/module.ts';
import { streamRoutes } from './features/quotes/stream-routes.ts';
import { createRealtimeModule } from './platform/realtime/module.ts';
import { webhookRoutes } from './features/webhooks/routes.ts';
import { createCoinGeckoApiModule } from './features/coingecko-api/module.ts';

/** The application, as a server listens for it. */
interface Application {
  callback(): RequestListener;
}

/** Builds the application. It owns nothing: whoever made the parts closes them. */
export function createApp(deps: AppDeps): Application {
  return serveRoutes(routeTable(deps), { ...deps, admit: admitOf(deps) });
}

type ServeDeps = Pick<AppDeps, 'config' | 'log' | 'metrics'> & { readonly admit: Admit };

/** The layers that every application has, around the routes of a table. */
export function serveRoutes(
  table: readonly Route[],
  { admit, config, log, metrics }: ServeDeps,
): Application {
  const app = new Koa<ApiState>();
  // Koa's own error handler prints to the console; what gets here is a response that broke while it was sent.
  app.on('error', (error: unknown) => log.warn({ reason: messageOf(error) }, 'a response broke off'));
  const reception = createReception({ config, log, metrics });
  app.use(telemetry({ reception, log }));
  app.use(cors(config));
  app.use(routing(table, { admit, metrics }));
  const answerQuickly = quickReads(table, { admit, metrics, reception });
  return {
    callback() {
      const answer = app.callback();
      return (req, res) => {
        if (!answerQuickly(req, res)) void answer(req, res);
      };
    },
  };
}

/** Every route there is. Literal paths stand before those with a parameter in the same place. */
export function routeTable(deps: AppDeps): Route[] {
  const described = [
    ...createAccountsModule(deps, deps).routes,
    ...cacheRoutes(deps),
    ...streamRoutes(deps),
    ...createRealtimeModule(deps.realtime).routes,
    ...submissionRoutes(deps),
    ...createAssetsModule(deps).routes,
    ...priceRoutes(deps),
    ...jobRoutes(deps),
    ...webhookRoutes(deps),
    ...createAlertsModule(deps).routes,
    ...createPortfolioModule(deps, deps, deps).routes,
    ...createAdminModule(deps, deps).routes,
    ...createCoinGeckoApiModule(deps).routes,
  ];
  return [...described, ...docsRoutes(described)];
}
