import type { AuditQueries } from '../../db/queries/audit.ts';
import type { ExportQueries } from '../../db/queries/exports.ts';
import type { ImportQueries } from '../../db/queries/imports.ts';
import type { PortfolioSnapshots } from '../../db/queries/portfolio-snapshots.ts';
import type { UserQueries } from '../../db/queries/users.ts';
import type { AccountDesk } from '../accounts/account-desk.ts';
import type { ApiKeyDesk } from '../accounts/api-key-desk.ts';
import type { AlertDesk } from '../alerts/alert-desk.ts';
import type { Authenticator } from '../accounts/authenticator.ts';
import type { Login } from '../accounts/login.ts';
import type { PasswordDesk } from '../accounts/passwords.ts';
import type { Sessions } from '../accounts/sessions.ts';
import type { UsageTally } from '../accounts/usage-tally.ts';
import type { UsageQueries } from '../../db/queries/usage.ts';
import type { Passwords } from '../auth/passwords.ts';
import type { Tokens } from '../auth/tokens.ts';
import type { AssetDirectory } from '../assets/asset-directory.ts';
import type { DocumentReader } from '../cache/document-reader.ts';
import type { MarketReader } from '../cache/market-reader.ts';
import type { QuoteReader } from '../cache/quote-reader.ts';
import type { Config } from '../config/load-config.ts';
import type { HistoryReader } from '../history/history-reader.ts';
import type { Allowances } from '../lib/allowances.ts';
import type { Clock } from '../lib/clock.ts';
import type { HealthChecks } from '../lib/health.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import type { BookReader } from '../portfolio/book-reader.ts';
import type { PortfolioDesk } from '../portfolio/portfolio-desk.ts';
import type { ValuationDesk } from '../portfolio/valuation-desk.ts';
import type { ValueHistories } from '../portfolio/value-histories.ts';
import type { TransactionDesk } from '../portfolio/transaction-desk.ts';
import type { JobDesk } from '../queue/job-desk.ts';
import type { WebhookDesk } from '../queue/webhook-desk.ts';
import type { AlertStreams } from '../streams/alert-streams.ts';
import type { ClientStreams } from '../streams/client-streams.ts';
import type { WebhookTargets } from '../webhooks/target.ts';

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
export interface AppDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly users: UserQueries;
  readonly accounts: AccountDesk;
  readonly tokens: Tokens;
  readonly passwords: Passwords;
  readonly passwordDesk: PasswordDesk;
  readonly login: Login;
  readonly sessions: Sessions;
  readonly authenticator: Authenticator;
  readonly apiKeys: ApiKeyDesk;
  readonly allowances: Allowances;
  readonly audit: AuditQueries;
  readonly usage: UsageTally;
  readonly usageReports: UsageQueries;
  readonly jobDesk: JobDesk;
  readonly streams: ClientStreams;
  readonly quotes: QuoteReader;
  /** Many quotes, market rows and rankings. */
  readonly market: MarketReader;
  /** Documents of CoinGecko's API. */
  readonly documents: DocumentReader;
  readonly assets: AssetDirectory;
  /** Prices of the past. */
  readonly history: HistoryReader;
  readonly portfolios: PortfolioDesk;
  /** What portfolios are worth. */
  readonly valuations: ValuationDesk;
  readonly valueHistories: ValueHistories;
  readonly portfolioSnapshots: Pick<PortfolioSnapshots, 'list'>;
  /** Transactions of portfolios. */
  readonly transactions: TransactionDesk;
  /** Uploaded reports. */
  readonly imports: Pick<ImportQueries, 'open' | 'addChunk' | 'complete' | 'discard' | 'find' | 'list'>;
  readonly exports: ExportQueries;
  /** Derived tables of portfolios. */
  readonly books: BookReader;
  readonly webhooks: WebhookDesk;
  /** Which URLs may receive webhooks. */
  readonly webhookTargets: Pick<WebhookTargets, 'checked'>;
  readonly alerts: AlertDesk;
  /** Alerts as they fire. */
  readonly alertStreams: Pick<AlertStreams, 'open'>;
  readonly health: HealthChecks;
  /** Rejects when the budget cannot be read. */
  readonly budgetStatus: () => Promise<BudgetFigures>;
  /** Rejects when it cannot be read. */
  readonly sources: () => Promise<SourceFigures>;
}
