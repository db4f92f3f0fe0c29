import type { UserQueries } from '../../db/queries/users.ts';
import type { Passwords } from '../auth/passwords.ts';
import type { Tokens } from '../auth/tokens.ts';
import type { QuoteReader } from '../cache/quote-reader.ts';
import type { Config } from '../config/load-config.ts';
import type { Clock } from '../lib/clock.ts';
import type { HealthChecks } from '../lib/health.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import type { JobDesk } from '../queue/job-desk.ts';
import type { JobStreams } from '../streams/job-stream.ts';

/** What is left of the upstream budget. */
export interface BudgetFigures {
  /** Calls that may be made in any 60 s. */
  readonly limit: number;
  /** Calls of the last 60 s. */
  readonly used: number;
  readonly available: number;
  /** Milliseconds until a call is granted again; 0 when one is available. */
  readonly nextGrantInMs: number;
  /** Milliseconds for which the provider has told us to stay away; 0 when it has not. */
  readonly blockedForMs: number;
}

/** Everything that the HTTP side stands on. Handlers see these ports and nothing behind them. */
export interface AppDeps {
  readonly config: Pick<Config, 'APP_ENV' | 'CORS_ORIGINS' | 'METRICS_TOKEN' | 'READ_WAIT_MS'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly users: UserQueries;
  readonly tokens: Tokens;
  readonly passwords: Passwords;
  readonly jobDesk: JobDesk;
  readonly jobStreams: JobStreams;
  readonly quotes: QuoteReader;
  readonly health: HealthChecks;
  /** Rejects when the budget cannot be read. */
  readonly budgetStatus: () => Promise<BudgetFigures>;
}
