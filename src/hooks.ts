/** Webhooks and alerts of the API process, wired. A composition root like the pipeline. */
import { createFiringQueries } from './features/alerts/queries/alert-firings.ts';
import { createAlertQueries } from './features/alerts/queries/alerts.ts';
import { createAlertDesk } from './features/alerts/alert-service.ts';
import { firingsKeptSeconds } from './features/alerts/evaluator.ts';
import type { AssetDirectory } from './features/assets/asset-directory.ts';
import type { Config } from './platform/config/load-config.ts';
import { createAlertNews } from './features/alerts/alert-channel.ts';
import type { AppDeps } from './app-deps.ts';
import type { Logger } from './platform/observability/logger.ts';
import type { Shutdown } from './platform/observability/shutdown.ts';
import type { Pipeline } from './pipeline.ts';
import type { PortfolioDesk } from './features/portfolios/portfolio-service.ts';
import type { Streaming } from './streaming.ts';
import { createAlertStreams } from './features/alerts/alert-streams.ts';

interface HooksParts {
  readonly config: Config;
  readonly pipeline: Pipeline;
}

export interface AlertParts extends HooksParts {
  readonly log: Logger;
  readonly shutdown: Shutdown;
  readonly assets: Pick<AssetDirectory, 'isKnown' | 'byId'>;
  readonly portfolios: Pick<PortfolioDesk, 'get'>;
  readonly streaming: Pick<Streaming, 'realtime'>;
}

/** What the API serves of alerts; they are evaluated by workers. */
export function buildAlerts(parts: AlertParts): Pick<AppDeps, 'alerts' | 'alertStreams'> {
  const { log, shutdown, assets, portfolios, streaming } = parts;
  const { knex, redis, subscriber, keys, clock, webhooks } = parts.pipeline;
  const news = createAlertNews({ redis, subscriber, channel: keys.alerts });
  const firings = createFiringQueries(knex);
  const alertStreams = createAlertStreams({
    firings,
    news,
    log,
    realtime: streaming.realtime,
    clock,
    keptSeconds: firingsKeptSeconds,
  });
  shutdown.add('queues', 'streams of alerts', () => alertStreams.close());
  const alerts = createAlertDesk({
    alerts: createAlertQueries(knex),
    firings,
    news,
    log,
    baseCurrencyOf: async (id, viewer) => (await portfolios.get(id, viewer)).baseCurrency,
    isAsset: (id) => !assets.isKnown() || assets.byId(id) !== undefined,
    checkUrl: (url, field) => webhooks.targets.checked(url, field),
  });
  return { alerts, alertStreams };
}
