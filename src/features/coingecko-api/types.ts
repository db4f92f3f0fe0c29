import type { Clock } from '../../platform/concurrency/clock.ts';
import type { Config } from '../../platform/config/load-config.ts';
import type { retryAfterSeconds } from '../../platform/http/retry-after.ts';
import type { Authenticator } from '../../platform/http/admission.ts';
import type { UsageQueries } from '../accounts/queries/usage.ts';
import type { AssetDirectory } from '../assets/asset-directory.ts';
import type { HistoryReader } from '../history/history-reader.ts';
import type { QuoteService } from '../quotes/quote-service.ts';
import type { DocumentReader } from './document-reader.ts';

/** What the routes of CoinGecko's contract stand on. */
export interface CoinGeckoApiDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly documents: Pick<DocumentReader, 'read'>;
  readonly market: Pick<
    QuoteService,
    'freshMs' | 'version' | 'peekFresh' | 'getMany' | 'ranking' | 'rows' | 'noteReads'
  >;
  readonly assets: AssetDirectory;
  readonly history: HistoryReader;
  readonly authenticator: Pick<Authenticator, 'dailyQuotaOf'>;
  readonly usageReports: Pick<UsageQueries, 'ofUser'>;
  /** Rejects when the budget cannot be read. */
  readonly budgetStatus: Parameters<typeof retryAfterSeconds>[1];
}
