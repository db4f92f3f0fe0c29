import type { AccountService } from './features/accounts/account-service.ts';
import type { AlertDesk } from './features/alerts/alert-service.ts';
import type { AssetDirectory } from './features/assets/asset-directory.ts';
import type { DocumentReader } from './features/coingecko-api/document-reader.ts';
import type { QuoteReader } from './features/quotes/quote-reader.ts';
import type { BudgetState, PriceSourceState } from './domain/budget-state.ts';
import type { Config } from './platform/config/load-config.ts';
import type { HistoryReader } from './features/history/history-reader.ts';
import type { Clock } from './platform/concurrency/clock.ts';
import type { HealthChecks } from './platform/observability/health.ts';
import type { Logger } from './platform/observability/logger.ts';
import type { Metrics } from './platform/observability/metrics-registry.ts';
import type { PortfolioService } from './features/portfolios/portfolio-service.ts';
import type { JobDesk } from './features/jobs/job-service.ts';
import type { WebhookService } from './features/webhooks/webhook-service.ts';
import type { AlertStreams } from './features/alerts/alert-streams.ts';
import type { JobStreams } from './features/jobs/job-streams.ts';
import type { PortfolioStreams } from './features/portfolios/portfolio-stream.ts';
import type { PriceStreams } from './features/quotes/price-streams.ts';
import type { Realtime } from './platform/realtime/realtime.ts';

/** Everything that the HTTP side stands on. Handlers see these ports and nothing behind them. */
export interface AppDeps extends AccountService, PortfolioService {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly jobDesk: JobDesk;
  readonly realtime: Realtime;
  readonly jobStreams: Pick<JobStreams, 'open'>;
  readonly priceStreams: Pick<PriceStreams, 'open'>;
  readonly portfolioStreams: PortfolioStreams;
  readonly quotes: Pick<QuoteReader, 'peekFreshJson' | 'get' | 'popular' | 'clear' | 'stats'> & {
    deviations(): Promise<Readonly<Record<string, number>>>;
  };
  /** Many quotes, market rows and rankings: the same reader. */
  readonly market: Pick<
    QuoteReader,
    'freshMs' | 'version' | 'peekFresh' | 'getMany' | 'ranking' | 'rows' | 'noteReads'
  >;
  /** Documents of CoinGecko's API. */
  readonly documents: Pick<DocumentReader, 'read'>;
  readonly assets: AssetDirectory;
  /** Prices of the past. */
  readonly history: HistoryReader;
  readonly webhooks: Pick<WebhookService, 'secret' | 'rotate' | 'list' | 'get' | 'retry' | 'test'>;
  /** Which URLs may receive webhooks. */
  readonly webhookTargets: Pick<WebhookService['targets'], 'checked'>;
  readonly alerts: AlertDesk;
  /** Alerts as they fire. */
  readonly alertStreams: Pick<AlertStreams, 'open'>;
  readonly health: HealthChecks;
  /** Rejects when the budget cannot be read. */
  readonly budgetStatus: () => Promise<BudgetState>;
  /** The price sources in the order in which they are asked. Rejects when that cannot be read. */
  readonly sources: () => Promise<readonly PriceSourceState[]>;
}
