/**
 * Maintains the list of assets. `assets.check` checks in Postgres every few seconds whether something must be fetched: the list
 * once a day, and after it a few pages of the ranking, for the ranks. What is due is a row, not a delayed job, so a wiped Redis
 * costs nothing. An attempt is recorded before its call: one that fails in any way is retried at growing intervals.
 */
import type { AssetQueries, RankedAsset } from '../../../src/features/assets/queries/assets.ts';
import type { JobResult } from '../../../jobs/registry.ts';
import type { AssetChannel } from '../../../src/features/assets/asset-channel.ts';
import type { Clock } from '../../../src/platform/concurrency/clock.ts';
import { messageOf } from '../../../src/domain/errors.ts';
import type { Logger } from '../../../src/platform/observability/logger.ts';
import type { MarketRow } from '../../../src/domain/market-row.ts';
import type { Quote } from '../../../src/domain/quote.ts';
import type { PriceProvider } from '../../../src/features/upstream/provider.ts';
import type { RequestLimiter } from '../../../src/features/upstream/request-limiter-contract.ts';
import type { EnqueueRefresh } from '../../../src/features/quotes/enqueue-refresh.ts';
import type { JobContext } from '../../runtime/processor.ts';
import { Requeue } from '../../runtime/requeue.ts';
import { callUpstream, waitOf } from './upstream-call.ts';

/** What `assets.refresh` needs. */
export interface AssetRefreshDeps {
  readonly provider: Pick<PriceProvider, 'fetchAssets'>;
  readonly limiter: RequestLimiter;
  readonly assets: AssetQueries;
  readonly assetChannel: Pick<AssetChannel, 'publish'>;
  readonly enqueue: Pick<EnqueueRefresh, 'assets' | 'markets'>;
  /** Pages of the ranking that are fetched after a list. */
  readonly assetRankPages: number;
  readonly log: Logger;
}

/** `assets.refresh`: fetches the list of all assets with one upstream call. */
export async function refreshAssets(
  deps: AssetRefreshDeps,
  context: JobContext,
): Promise<JobResult<'assets.refresh'>> {
  const { assets, log } = deps;
  const { isEmpty } = await assets.due();
  let noted: Promise<void> | undefined;
  try {
    // Without any list no symbols can be resolved, so the first list is worth more than keeping one current.
    const urgency = isEmpty ? 'stream' : 'backfill';
    const listings = await callUpstream({ limiter: deps.limiter, urgency, context }, async (grant) => {
      await (noted ??= assets.beginList());
      return await deps.provider.fetchAssets(AbortSignal.any([grant.signal, context.signal]));
    });
    const stored = await assets.storeList(listings, deps.assetRankPages);
    if (stored.verdict !== 'take') {
      const { assets: held } = stored;
      log.warn(
        { held, arrived: listings.length },
        'the price source sent a list of coins far shorter than the stored one: not used, the stored list stays',
      );
      return { assets: 0 };
    }
    log.info({ assets: stored.assets, vanished: stored.vanished }, 'the list of coins was updated');
    await tellOf(deps);
    await beginRanking(deps);
    return { assets: stored.assets };
  } catch (error) {
    const waitMs = waitOf(error);
    if (waitMs !== undefined) throw new Requeue('no budget', waitMs);
    if (context.waitSignal.aborted) throw new Requeue('the process ends');
    // A source whose breaker is open was not even called.
    await (noted ??= assets.beginList());
    log.warn(
      { reason: messageOf(error) },
      'the price source did not return the list of coins: the stored one stays; tried again later',
    );
    throw error;
  }
}

/** Starts the ranking at once; if that fails, the next check finds it due. */
async function beginRanking(deps: AssetRefreshDeps): Promise<void> {
  await checkAssets(deps).catch((error: unknown) => {
    deps.log.debug({ reason: messageOf(error) }, 'the ranking could not be requested yet');
  });
}

/** Processes that miss the message poll within a minute. */
async function tellOf({ assetChannel, log }: Pick<AssetRefreshDeps, 'assetChannel' | 'log'>): Promise<void> {
  await assetChannel.publish().catch((error: unknown) => {
    log.debug({ reason: messageOf(error) }, 'a change of the assets could not be published');
  });
}

/** Currency in which the ranking is requested: the order is the same in all of them. */
const rankCurrency = 'usd';

/** `assets.check`: enqueues the job that is due, if any, and returns whether one was. */
export async function checkAssets({
  assets,
  enqueue,
}: {
  readonly assets: Pick<AssetQueries, 'due' | 'beginRanks'>;
  readonly enqueue: Pick<EnqueueRefresh, 'assets' | 'markets'>;
}): Promise<boolean> {
  const { list, rankPage } = await assets.due();
  if (list) {
    await enqueue.assets();
    return true;
  }
  if (rankPage === 0) return false;
  await enqueue.markets(rankCurrency, { page: rankPage, urgency: 'backfill' });
  await assets.beginRanks();
  return true;
}

/** Takes the ranks from rankings that arrive. Never rejects: the ranking has already served its purpose. */
export type NoteRanking = (ranking: {
  readonly currency: string;
  /** 1-based. */
  readonly page: number;
  readonly assetIds: readonly string[];
  readonly quotes: readonly Quote[];
  readonly rows?: readonly MarketRow[] | undefined;
}) => Promise<void>;

/** A page that was not waited for is stored at most this often (ms) by one process: ranks change slowly. */
const noteEveryMs = 600_000;
/** Later pages are ignored: their assets are never the first choice for a symbol. */
const maxPages = 40;
const assetsPerPage = 250;

/** Builds the {@link NoteRanking} of a worker process. */
export function createRankNoter(deps: {
  readonly assets: Pick<AssetQueries, 'due' | 'storeRanks' | 'beginRanks'>;
  readonly assetChannel: Pick<AssetChannel, 'publish'>;
  readonly enqueue: Pick<EnqueueRefresh, 'markets'>;
  readonly assetRankPages: number;
  readonly clock: Clock;
  readonly log: Logger;
}): NoteRanking {
  const notedAt = new Map<number, number>();
  return async (ranking) => {
    const { page, quotes, assetIds } = ranking;
    if (page > maxPages) return;
    const now = deps.clock.now();
    const isRecent = now - (notedAt.get(page) ?? -noteEveryMs) < noteEveryMs;
    try {
      const { awaitedRankPage, isEmpty } = await deps.assets.due();
      const isWaitedFor = awaitedRankPage === page;
      if (isEmpty || (isRecent && !isWaitedFor)) return;
      notedAt.set(page, now);
      const ranked = ranksOf(quotes, picturesOf(ranking.rows ?? []));
      if (!isWaitedFor) {
        await deps.assets.storeRanks(ranked);
        await tellOf(deps);
        return;
      }
      const isLast = page >= deps.assetRankPages || assetIds.length < assetsPerPage;
      await deps.assets.storeRanks(ranked, isLast ? 0 : page + 1);
      await tellOf(deps);
      if (isLast) return;
      await deps.enqueue.markets(rankCurrency, { page: page + 1, urgency: 'backfill' });
      await deps.assets.beginRanks();
    } catch (error) {
      deps.log.warn(
        { page, reason: messageOf(error) },
        'market cap ranks of a page were not stored in Postgres; the next refresh stores them',
      );
    }
  };
}

function ranksOf(quotes: readonly Quote[], pictures: ReadonlyMap<string, string>): RankedAsset[] {
  return quotes.flatMap(({ assetId, rank }) =>
    rank === null ? [] : { assetId, rank, image: pictures.get(assetId) ?? null },
  );
}

/** URLs of images by asset id. */
function picturesOf(rows: readonly MarketRow[]): Map<string, string> {
  const pictures = new Map<string, string>();
  for (const { assetId, json } of rows) {
    const { image } = JSON.parse(json) as { image?: unknown };
    if (typeof image === 'string' && isAddress(image)) pictures.set(assetId, image);
  }
  return pictures;
}

function isAddress(text: string): boolean {
  return text.length <= 500 && /^https?:\/\/[\x21-\x7e]+$/.test(text);
}
