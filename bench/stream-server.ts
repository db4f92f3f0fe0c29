/**
 * The API process as it is wired in production, with two differences: a probe answers its parent, and streams may be updated
 * more often than clients may ask for (LEAST_INTERVAL_MS). Ticks come from Redis, as they always do. It submits no jobs.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { directoryOver } from '../src/features/assets/asset-directory.ts';
import { createAssetIndex } from '../src/features/assets/asset-index.ts';
import { loadConfig } from '../src/platform/config/load-config.ts';
import { createAccountService } from '../src/features/accounts/account-service.ts';
import { createAlertService } from '../src/features/alerts/alert-service.ts';
import { createCoinGeckoApiService } from '../src/features/coingecko-api/coingecko-api-service.ts';
import { createBooksService } from '../src/features/portfolios/books-service.ts';
import { createPortfolioService } from '../src/features/portfolios/portfolio-service.ts';
import { createApp } from '../src/app.ts';
import type { AppDeps } from '../src/app-deps.ts';
import { listen } from '../src/platform/http/listen.ts';
import { admitOf } from '../src/platform/http/admission.ts';
import { createUpgrade } from '../src/platform/realtime/upgrade.ts';
import { createHealth } from '../src/platform/observability/health.ts';
import { createLogger } from '../src/platform/observability/logger.ts';
import { createMetrics } from '../src/platform/observability/metrics-registry.ts';
import { createShutdown, onProcessEnd } from '../src/platform/observability/shutdown.ts';
import { openPlatform } from '../src/platform/platform.ts';
import { buildPipeline } from '../src/pipeline.ts';
import { createJobService } from '../src/features/jobs/job-service.ts';
import type { PriceHub } from '../src/features/quotes/price-hub.ts';
import { buildStreaming } from '../src/streaming.ts';
import { answerProbe } from './streams/probe.ts';

/** More unsent bytes than this, and a client gets nothing but the newest. */
const behindBytes = 65_536;

function quicken(hub: PriceHub, intervalMs: number): void {
  const watch = hub.watch.bind(hub);
  hub.watch = (asked, onUpdate) => watch({ ...asked, intervalMs }, onUpdate);
}

const noAssets = createAssetIndex([]);

/** The connections that are open, kept current. */
function openSocketsOf(server: Server): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return sockets;
}

async function main(): Promise<void> {
  const config = loadConfig();
  const log = createLogger({ level: config.LOG_LEVEL, name: 'bench', file: config.LOG_FILE });
  const shutdown = createShutdown(log);
  onProcessEnd(shutdown, log);
  const pipeline = buildPipeline(openPlatform({ config, log, shutdown }));
  const { clock, quotes, upstream } = pipeline;
  const access = createAccountService(pipeline);
  const { revocations } = access;
  const jobs = createJobService(pipeline, {
    kickWebhooks: () => undefined,
    onAccepted: () => undefined,
    wantedAssets: () => Promise.resolve(0),
    budget: upstream.budgetStatus,
  });
  const streaming = buildStreaming({ config, log, shutdown, pipeline, access, jobs });
  const { realtime, hub } = streaming;
  quicken(hub, Number(process.env['LEAST_INTERVAL_MS'] ?? 1_000));
  await revocations.whenKnown(5_000);

  const { history } = pipeline;
  const assets = directoryOver(() => noAssets);
  const books = createBooksService(pipeline, { store: quotes.store, past: history });
  const portfolios = createPortfolioService(pipeline, books, {
    assets,
    quotes: (asked) => quotes.getMany(asked),
  });
  const alerts = createAlertService(pipeline, {
    webhooks: pipeline.webhooks,
    assets,
    portfolios: portfolios.portfolios,
    realtime: streaming.realtime,
  });
  const deps: AppDeps = {
    ...access,
    config,
    log,
    clock,
    budgetStatus: upstream.budgetState,
    sources: () => Promise.resolve([]),
    ...streaming,
    metrics: createMetrics(),
    quotes,
    market: quotes,
    ...createCoinGeckoApiService(pipeline, quotes),
    history,
    ...portfolios,
    webhooks: pipeline.webhooks,
    webhookTargets: pipeline.webhooks.targets,
    alerts,
    alertStreams: alerts.streams,
    assets,
    health: createHealth({ clock, log, checks: [] }),
    jobDesk: jobs.desk,
  };
  const place = {
    host: '127.0.0.1',
    port: config.PORT,
    onUpgrade: createUpgrade({ ...deps, admit: admitOf(deps) }),
  };
  const listening = await listen(createApp(deps), place);
  shutdown.add('accept', 'http server', () => listening.close());
  const sockets = openSocketsOf(listening.server);
  answerProbe(() => ({
    streams: realtime.registry.size,
    slow: realtime.registry.ended()['slow'] ?? 0,
    behind: [...sockets].filter(({ writableLength }) => writableLength > behindBytes).length,
  }));
  process.send?.('ready');
}

await main();
