import type { AccountService } from './features/accounts/account-service.ts';
import type { AlertDesk } from './features/alerts/alert-service.ts';
import type { AssetDirectory } from './features/assets/asset-directory.ts';
import type { DocumentReader } from './features/coingecko-api/document-reader.ts';
import type { MarketReader } from './features/quotes/market-reader.ts';
import type { QuoteReader } from './features/quotes/quote-reader.ts';
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

/** What is left of the upstream budget. */
export interface BudgetFigures {
  /** Calls that may be made in any 60 s now. */
  readonly limit: number;
  /** Calls of the last 60 s. */
  readonly used: number;
  readonly available: number;
  /** Milliseconds until a call is granted again; 0 when one is available. */
  readonly nextGrantInMs: number;
  /** Milliseconds for which the provider has told us to stay away; 0 when it has not. */
  readonly blockedForMs: number;
  /** Calls in any 60 s when no 429 has lowered them lately. */
  readonly fullLimit: number;
  /** Credits of the provider's month; null without such a limit. Moments in ms since the epoch. */
  readonly month: {
    readonly credits: number;
    readonly spent: number;
    readonly left: number;
    readonly reserve: number;
    readonly endsAt: number;
    readonly spentPerHour: number;
    readonly affordablePerHour: number;
    readonly lastsUntil: number | null;
  } | null;
  /** How many seconds old quotes would grow if all calls renewed what is read now; null when nothing is read. */
  readonly freshnessSeconds: number | null;
}

/** How the price sources stand, in the order in which they are asked. */
export interface SourceFigures {
  readonly sources: readonly {
    readonly name: string;
    /** `open`: it fails and is not called; `half_open`: one call may find out whether it answers again. */
    readonly state: 'closed' | 'open' | 'half_open';
    /** Failures in a row. */
    readonly failures: number;
    /** Milliseconds until it is tried again; 0 when it is called. */
    readonly retryInMs: number;
  }[];
  /** Number of prices that were far from the last one, by what became of them. */
  readonly guarded: Readonly<Record<string, number>>;
}

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
  readonly quotes: QuoteReader;
  /** Many quotes, market rows and rankings. */
  readonly market: MarketReader;
  /** Documents of CoinGecko's API. */
  readonly documents: DocumentReader;
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
  readonly budgetStatus: () => Promise<BudgetFigures>;
  /** Rejects when it cannot be read. */
  readonly sources: () => Promise<SourceFigures>;
}
