/** The HTTP application: the layers in their order, and the route table. */
import type { RequestListener } from 'node:http';
import Koa from 'koa';
import { messageOf } from '../lib/errors.ts';
import type { ApiState } from './context.ts';
import type { AppDeps } from './deps.ts';
import { cors } from './middleware/headers.ts';
import { admitOf, type Admit } from './middleware/admit.ts';
import { telemetry } from './middleware/telemetry.ts';
import { quickReads } from './quick-reads.ts';
import { createReception } from './reception.ts';
import type { Route } from './route.ts';
import { routing } from './router.ts';
import { adminRoutes } from './routes/admin.ts';
import { alertRoutes } from './routes/alerts.ts';
import { apiKeyRoutes } from './routes/api-keys.ts';
import { assetRoutes } from './routes/assets.ts';
import { authRoutes } from './routes/auth.ts';
import { cacheRoutes } from './routes/cache.ts';
import { docsRoutes } from './routes/docs.ts';
import { exportRoutes } from './routes/exports.ts';
import { importRoutes } from './routes/imports.ts';
import { jobRoutes } from './routes/jobs.ts';
import { operationRoutes } from './routes/operations.ts';
import { passwordRoutes } from './routes/passwords.ts';
import { performanceRoutes } from './routes/performance.ts';
import { positionRoutes } from './routes/positions.ts';
import { portfolioRoutes } from './routes/portfolios.ts';
import { priceRoutes } from './routes/prices.ts';
import { streamRoutes } from './routes/streams.ts';
import { submissionRoutes } from './routes/submissions.ts';
import { transactionChangeRoutes } from './routes/transaction-changes.ts';
import { transactionRoutes } from './routes/transactions.ts';
import { usageRoutes } from './routes/usage.ts';
import { userRoutes } from './routes/users.ts';
import { valuationRoutes } from './routes/valuation.ts';
import { webhookRoutes } from './routes/webhooks.ts';
import { v3Routes } from './v3/routes.ts';

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
    ...authRoutes(deps),
    ...passwordRoutes(deps),
    ...userRoutes(deps),
    ...apiKeyRoutes(deps),
    ...usageRoutes(deps),
    ...adminRoutes(deps),
    ...cacheRoutes(deps),
    ...streamRoutes(deps),
    ...submissionRoutes(deps),
    ...assetRoutes(deps),
    ...priceRoutes(deps),
    ...jobRoutes(deps),
    ...webhookRoutes(deps),
    ...alertRoutes(deps),
    ...portfolioRoutes(deps),
    ...performanceRoutes(deps),
    ...transactionRoutes(deps),
    ...transactionChangeRoutes(deps),
    ...positionRoutes(deps),
    ...valuationRoutes(deps),
    ...importRoutes(deps),
    ...exportRoutes(deps),
    ...operationRoutes(deps),
    ...v3Routes(deps),
  ];
  return [...described, ...docsRoutes(described)];
}
