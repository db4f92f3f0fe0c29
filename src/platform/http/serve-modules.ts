/** The HTTP application: its layers, in their order, around the routes of the modules. */
import type { RequestListener } from 'node:http';
import Koa from 'koa';
import { messageOf } from '../../domain/errors.ts';
import type { Metrics } from '../observability/metrics-registry.ts';
import type { Platform } from '../platform.ts';
import type { Admit } from './admission.ts';
import type { ApiModule } from './api-module.ts';
import type { ApiState } from './context.ts';
import { docsRoutes } from './docs-routes.ts';
import { createFastPath } from './fast-path.ts';
import { cors } from './headers.ts';
import { createRequestContext } from './request-context.ts';
import type { Route } from './route.ts';
import { routing } from './router.ts';
import { telemetry } from './telemetry.ts';

/**
 * Builds the application, and registers the metrics of its modules. Literal paths come before those with a parameter in the
 * same place. It owns nothing: the creator of the parts closes them.
 */
export function serveModules(
  modules: readonly ApiModule[],
  {
    admit,
    config,
    log,
    metrics,
  }: Pick<Platform, 'config' | 'log'> & { readonly metrics: Metrics; readonly admit: Admit },
): {
  /** Every route there is. */
  readonly routes: readonly Route[];
  /** Makes what a server calls for each request. */
  callback(): RequestListener;
} {
  for (const module of modules) module.metrics?.(metrics);
  const described = modules.flatMap(({ routes }) => routes);
  const routes = [...described, ...docsRoutes(described)];
  const app = new Koa<ApiState>();
  // Koa's own error handler prints to the console; what gets here is a response that broke while it was sent.
  app.on('error', (error: unknown) =>
    log.warn(
      { reason: messageOf(error) },
      'a response could not be sent completely: the connection to the client broke, or its data failed midway',
    ),
  );
  const requestContext = createRequestContext({ config, log, metrics });
  app.use(telemetry({ requestContext, log }));
  app.use(cors(config));
  app.use(routing(routes, { admit, metrics }));
  const tryFastPath = createFastPath(routes, { admit, metrics, requestContext });
  return {
    routes,
    callback() {
      const answer = app.callback();
      return (req, res) => {
        if (!tryFastPath(req, res)) void answer(req, res);
      };
    },
  };
}
