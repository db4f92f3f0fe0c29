/** Entry of the API process: configuration, platform, services in the order of features, what they serve, and the order of the end. */
import { createApiModules } from './api-modules.ts';
import { createAccountService } from './features/accounts/account-service.ts';
import { createReadiness } from './features/admin/readiness.ts';
import { createAlertService } from './features/alerts/alert-service.ts';
import { createAssetService } from './features/assets/asset-service.ts';
import { createCoinGeckoApiService } from './features/coingecko-api/coingecko-api-service.ts';
import { createHistoryService } from './features/history/history-service.ts';
import { createJobService } from './features/jobs/job-service.ts';
import { createBooksService } from './features/portfolios/books-service.ts';
import { createPortfolioService } from './features/portfolios/portfolio-service.ts';
import { createPriceStreams } from './features/quotes/price-streams.ts';
import { createQuoteService, type QuoteService } from './features/quotes/quote-service.ts';
import { createUpstreamService } from './features/upstream/upstream-service.ts';
import { createWebhookService } from './features/webhooks/webhook-service.ts';
import { createAdmit } from './platform/http/admission.ts';
import { createTrust } from './platform/http/client-address.ts';
import { listen } from './platform/http/listen.ts';
import { serveModules } from './platform/http/serve-modules.ts';
import { createMetrics } from './platform/observability/metrics-registry.ts';
import { startPlatform } from './platform/platform.ts';
import { createRealtime } from './platform/realtime/realtime.ts';
import { createUpgrade } from './platform/realtime/upgrade.ts';

/** Longest wait (ms) for the time of the fleet before listening. */
const clockWaitMs = 2_000;
/** Longest wait (ms) for the revocations before listening. */
const revocationsWaitMs = 2_000;
/** Longest wait (ms) for the list of assets before listening. */
const assetsWaitMs = 1_000;

async function main(): Promise<void> {
  const platform = startPlatform('api');
  const { config, log, clock, shutdown } = platform;

  const access = createAccountService(platform);
  const realtime = createRealtime(platform, access.streamAccess);
  const assets = createAssetService(platform).openDirectory();
  const webhooks = createWebhookService(platform);
  // Jobs and quotes ask later features nothing before all are there.
  const jobs = createJobService(platform, {
    ...{ access, webhooks, realtime },
    wantedAssets: (currency) => quotes.demand.size(currency),
    budget: () => upstream.budgetStatus(),
  });
  const quotes: QuoteService = createQuoteService(platform, { budgetState: () => upstream.budgetStatus() });
  const prices = createPriceStreams({ assets, realtime, hub: quotes.openHub(), clock });
  const upstream = createUpstreamService(platform, { quotes });
  const history = createHistoryService(platform);
  const { documents } = createCoinGeckoApiService(platform, quotes);
  const books = createBooksService(platform, { quotes, past: history });
  const portfolios = createPortfolioService(platform, books, { assets, quotes, prices, realtime });
  const alerts = createAlertService(platform, { webhooks, assets, quotes, portfolios, realtime });
  const metrics = createMetrics(clock);
  const health = createReadiness(platform, { upstream });

  const modules = createApiModules(platform, {
    ...{ access, realtime, assets, webhooks, jobs, quotes, prices, upstream, history, documents, portfolios },
    ...{ alerts, metrics, health },
  });
  const serving = { config, log, metrics, realtime, admit: createAdmit({ ...access, config, clock }) };
  // A process that cannot learn them yet listens all the same, and believes no token until it can.
  await Promise.all([
    clock.whenKnown(clockWaitMs),
    access.revocations.whenKnown(revocationsWaitMs),
    assets.whenRead(assetsWaitMs),
  ]);
  const server = await listen(serveModules(modules, serving), {
    host: config.HOST,
    port: config.PORT,
    isTrusted: createTrust(['loopback', ...config.TRUSTED_PROXIES]),
    onUpgrade: createUpgrade(serving),
  });
  shutdown.add('announce', 'readiness', () => health.retire());
  shutdown.add('accept', 'http server', () => server.close());
  log.info({ host: config.HOST, port: server.port }, 'API is listening');
  process.send?.('ready');
}

await main();
