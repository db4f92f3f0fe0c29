import type { Platform } from '../../platform/platform.ts';
import type { AccountService } from '../accounts/account-service.ts';
import type { AssetDirectory } from '../assets/asset-directory.ts';
import type { HistoryReader } from '../history/history-reader.ts';
import type { QuoteService } from '../quotes/quote-service.ts';
import type { UpstreamService } from '../upstream/upstream-service.ts';
import type { PassthroughReader } from './passthrough-reader.ts';

/** What the routes of CoinGecko's contract need. */
export interface CoinGeckoApiDeps extends Pick<Platform, 'config' | 'clock'> {
  readonly access: {
    readonly authenticator: Pick<AccountService['authenticator'], 'dailyQuotaOf'>;
    readonly usageReports: Pick<AccountService['usageReports'], 'ofUser'>;
  };
  readonly assets: AssetDirectory;
  readonly quotes: Pick<
    QuoteService,
    'freshMs' | 'version' | 'peekFresh' | 'getMany' | 'ranking' | 'rows' | 'noteReads'
  >;
  readonly upstream: Pick<UpstreamService, 'budgetState' | 'callsAhead'>;
  readonly history: HistoryReader;
  readonly documents: Pick<PassthroughReader, 'read'>;
}
