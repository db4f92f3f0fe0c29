import type { HistoryService } from '../../../src/features/history/history-service.ts';
import type {
  BackfillOutcome,
  BackfillRequest,
} from '../../../src/features/history/queries/history-requests.ts';
import type { JobData, JobResult } from '../../../jobs/registry.ts';
import { dayMs, fineReachMs, isCoarser } from '../../../src/features/history/chart.ts';
import { granularityMs, type HistoryPoint, type HistorySpan } from '../../../src/domain/history.ts';
import { parseRequester } from '../../../src/domain/requester.ts';
import { readSpan } from '../../../src/features/history/history-gaps.ts';
import { makeRoom, storePoints } from '../../../src/features/history/store-history.ts';
import { messageOf } from '../../../src/domain/errors.ts';
import {
  ProviderError,
  ProviderRangeError,
  ProviderRejectedError,
} from '../../../src/features/upstream/provider-errors.ts';
import { NoProviderError } from '../../../src/features/upstream/provider-chain.ts';
import type { PriceProvider } from '../../../src/features/upstream/provider.ts';
import { wasNeverSent } from '../../../src/features/upstream/outcome.ts';
import type { JobContext } from '../../runtime/processor.ts';
import { Requeue } from '../../runtime/requeue.ts';
import { takeNonBatchSlot } from '../upstream/non-batch-slot.ts';
import type { RefreshDeps } from '../upstream/refresh-outcome.ts';
import { callChain, waitOf } from '../upstream/upstream-call.ts';

/** The price sources, and how calls are made to them. */
export type BackfillSources = Pick<RefreshDeps, 'chain' | 'demand' | 'charge'>;
type Deps = BackfillSources &
  Pick<RefreshDeps, 'clock' | 'log'> &
  Pick<HistoryService, 'candles' | 'partitions' | 'asks'>;
type Job = JobData<'history.backfill'>;

/** If a provider has nothing, it is asked again after this time (ms). */
const answeredMs = 30 * dayMs;
/**
 * Intervals at the end of the range that the provider may still get, and the longest time (ms) until they are requested again.
 */
const lateIntervals = 2;
const longestRecentMs = 3_600_000;
/** How long a failure keeps others from trying (ms), by its kind. */
const unansweredMs: Readonly<Record<Exclude<BackfillOutcome, 'answered'>, number>> = {
  failed: 30_000,
  refused: 3_600_000,
  unknown: 3_600_000,
};

/**
 * `history.backfill`: one call for the missing points of a range, charged to the one who asked. Safe to run twice: points that
 * are stored by then are not requested again, and stored points stay.
 */
export async function backfillHistory(
  deps: Deps,
  job: Job,
  context: JobContext,
): Promise<JobResult<'history.backfill'>> {
  const now = deps.clock.now();
  const { gaps } = await readSpan(deps, job, { from: job.from, to: job.to, now });
  if (gaps.range === undefined) return { points: 0 };
  const span = spanOf(job, now);
  try {
    const found = await fetchPoints(deps, { ...job, span }, context);
    if (found === unknown) {
      await note(deps, job, { ...job, outcome: 'unknown' });
    } else if (isCoarser(timesOf(found), job.granularity)) {
      // Hourly points stored as daily ones would be taken for complete, for weeks.
      const { source, points } = found;
      deps.log.warn(
        { asset: job.assetId, source, points: points.length },
        'the price source returned history with larger steps than requested: not stored, tried again later',
      );
      await note(deps, job, { from: job.from, to: job.to, outcome: 'failed' });
    } else {
      return { points: await keep(deps, job, { span, ...found }) };
    }
  } catch (error) {
    const waitMs = waitOf(error);
    if (waitMs !== undefined) throw new Requeue('no budget', waitMs);
    // A failure on our side says nothing about the provider: it may be tried again, here or elsewhere.
    if (!(error instanceof ProviderError) || context.waitSignal.aborted) throw error;
    deps.log.warn(
      { asset: job.assetId, reason: messageOf(error) },
      'the price source returned no history for this range; charts show what is stored',
    );
    // If no source has data that old, it has nothing older either.
    const isOutOfReach = error instanceof NoProviderError || error instanceof ProviderRangeError;
    const from = isOutOfReach ? 0 : job.from;
    await note(deps, job, { from, to: job.to, outcome: outcomeOf(error) });
  }
  return { points: 0 };
}

/** The range to request from a provider: five-minute points exist only for the last day; before that they would be hourly. */
function spanOf({ granularity, from, to }: Job, now: number): HistorySpan {
  if (granularity === '5m') return { granularity, from: Math.max(from, now - fineReachMs), to: now };
  return { granularity, from, to: Math.min(to, now) };
}

/** Whether a source has prices in a currency and at a given time. */
function canTell(
  provider: PriceProvider,
  { currency, from, now }: { readonly currency: string; readonly from: number; readonly now: number },
): boolean {
  const { historyDays = Infinity } = provider;
  const serves = provider.fetchHistory !== undefined && provider.serves?.(currency) !== false;
  return serves && from >= now - historyDays * dayMs;
}

interface Found {
  readonly points: readonly HistoryPoint[];
  readonly source: string;
}

const timesOf = ({ points }: Found): readonly number[] => points.map(({ at }) => at);

/** The first source says that the asset does not exist. */
const unknown = Symbol('unknown asset');

async function fetchPoints(
  { chain, clock, charge, demand }: Deps,
  { assetId, currency, span, urgency, requester }: Job & { readonly span: HistorySpan },
  context: JobContext,
): Promise<Found | typeof unknown> {
  const who = requester === undefined ? undefined : parseRequester(requester);
  const can = (provider: PriceProvider): boolean =>
    canTell(provider, { currency, from: span.from, now: clock.now() });
  const found = await callChain({ chain, urgency, context, can }, async (grant, { provider, isFirst }) => {
    await takeNonBatchSlot(demand, grant);
    const signal = AbortSignal.any([grant.signal, context.signal]);
    try {
      const points = await provider.fetchHistory?.({ assetId, currency, span, signal });
      if (who !== undefined) charge(who, 1);
      return { points: points ?? [], source: provider.source };
    } catch (error) {
      // A failed call has used the budget like any other.
      if (who !== undefined && !wasNeverSent(error)) charge(who, 1);
      if (isFirst && error instanceof ProviderRejectedError && error.providerStatus === 404) return unknown;
      throw error;
    }
  });
  return found ?? { points: [], source: chain.first.source };
}

async function keep(deps: Deps, job: Job, { span, points, source }: Found & { readonly span: HistorySpan }) {
  const { assetId, currency, granularity } = job;
  await makeRoom(deps.partitions, span);
  const { inserted, improved } = await storePoints(deps.candles, {
    assetId,
    currency,
    granularity,
    points,
    source,
  });
  // Rounded to the start of an interval: an interval split between both parts would be in neither, and never arrive.
  const length = granularityMs[granularity];
  const recent = (Math.floor(span.to / length) - lateIntervals) * length;
  // A whole year without a point: the asset did not exist yet, nor did it earlier.
  const isBefore = points.length === 0 && granularity === '1d';
  // A range that became unreachable while the job was queued is not waited for.
  const from = isBefore ? 0 : granularity === '5m' ? Math.min(job.from, span.from) : span.from;
  const count = points.length;
  if (recent > from) await note(deps, job, { from, to: recent - 1, outcome: 'answered', points: count });
  const validMs = Math.min(length, longestRecentMs);
  await note(deps, job, {
    from: Math.max(from, recent),
    to: span.to,
    outcome: 'answered',
    points: count,
    validMs,
  });
  return inserted + improved;
}

async function note(
  { asks }: Deps,
  { assetId, currency, granularity }: Job,
  {
    from,
    to,
    outcome,
    points = 0,
    validMs,
  }: BackfillRequest & {
    readonly points?: number;
    /** Absent: depends on its outcome. */ readonly validMs?: number;
  },
): Promise<void> {
  const usual = outcome === 'answered' ? answeredMs : unansweredMs[outcome];
  await asks.note({
    assetId,
    currency,
    granularity,
    from,
    to,
    outcome,
    points,
    validMs: validMs ?? usual,
  });
}

function outcomeOf(error: ProviderError): BackfillOutcome {
  return error instanceof ProviderRejectedError || error instanceof NoProviderError ? 'refused' : 'failed';
}
