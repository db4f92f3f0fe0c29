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
import { createApiModules } from '../src/api-modules.ts';
import { listen } from '../src/platform/http/listen.ts';
import { createAdmit } from '../src/platform/http/admission.ts';
import { serveModules } from '../src/platform/http/serve-modules.ts';
import { createRealtime } from '../src/platform/realtime/realtime.ts';
import { createUpgrade } from '../src/platform/realtime/upgrade.ts';
import { createHealth } from '../src/platform/observability/health.ts';
import { createLogger } from '../src/platform/observability/logger.ts';
import { createMetrics } from '../src/platform/observability/metrics-registry.ts';
import { createShutdown, onProcessEnd } from '../src/platform/observability/shutdown.ts';
import { openPlatform } from '../src/platform/platform.ts';
import { createHistoryService } from '../src/features/history/history-service.ts';
import { createJobService } from '../src/features/jobs/job-service.ts';
import type { PriceHub } from '../src/features/quotes/price-hub.ts';
import { createPriceStreams } from '../src/features/quotes/price-streams.ts';
import { createQuoteService, type QuoteService } from '../src/features/quotes/quote-service.ts';
import { createUpstreamService } from '../src/features/upstream/upstream-service.ts';
import { createWebhookService } from '../src/features/webhooks/webhook-service.ts';
import { answerProbe } from './streams/probe.ts';

/** More unsent bytes than this, and a client gets nothing but the newest. */
const behindBytes = 65_536;

function quicken(hub: PriceHub, intervalMs: number): void {
  const watch = hub.watch.bind(hub);
  hub.watch = (requested, onUpdate) => watch({ ...requested, intervalMs }, onUpdate);
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
  const platform = openPlatform({ config, log, shutdown });
  const { clock } = platform;
  const access = createAccountService(platform);
  const realtime = createRealtime(platform, access.streamAccess);
  const assets = directoryOver(() => noAssets);
  const webhooks = createWebhookService(platform);
  const jobs = createJobService(platform, {
    access,
    webhooks,
    realtime,
    wantedAssets: () => Promise.resolve(0),
    budget: () => upstream.budgetStatus(),
  });
  const quotes: QuoteService = createQuoteService(platform, { budgetState: () => upstream.budgetStatus() });
  const hub = quotes.openHub();
  quicken(hub, Number(process.env['LEAST_INTERVAL_MS'] ?? 1_000));
  const prices = createPriceStreams({ assets, realtime, hub, clock });
  const upstream = createUpstreamService(platform, { quotes });
  const history = createHistoryService(platform);
  const { documents } = createCoinGeckoApiService(platform, quotes);
  const books = createBooksService(platform, { quotes, past: history });
  const portfolios = createPortfolioService(platform, books, { assets, quotes, prices, realtime });
  const alerts = createAlertService(platform, { webhooks, assets, quotes, portfolios, realtime });
  const metrics = createMetrics();
  const health = createHealth({ clock, log, checks: [] });
  await access.revocations.whenKnown(5_000);

  const modules = createApiModules(platform, {
    ...{ access, realtime, assets, webhooks, jobs, quotes, prices, upstream, history, documents, portfolios },
    ...{ alerts, metrics, health },
  });
  const serving = { config, log, metrics, realtime, admit: createAdmit({ ...access, config, clock }) };
  const listening = await listen(serveModules(modules, serving), {
    host: '127.0.0.1',
    port: config.PORT,
    onUpgrade: createUpgrade(serving),
  });
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
