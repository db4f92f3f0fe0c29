import type { JobData, JobResult } from '../../../jobs/registry.ts';
import {
  passthroughId,
  outOfReachReason,
  type PassthroughFailure,
  type PassthroughStore,
} from '../../../src/features/coingecko-api/passthrough-store.ts';
import { parseRequester } from '../../../src/domain/requester.ts';
import type { Channel } from '../../../src/platform/redis/channel.ts';
import { refusalOf } from '../../../src/domain/cached-quote.ts';
import { messageOf } from '../../../src/domain/errors.ts';
import { ProviderRangeError, ProviderRejectedError } from '../../../src/features/upstream/provider-errors.ts';
import { wasNeverSent } from '../../../src/features/upstream/outcome.ts';
import type { JobContext } from '../../runtime/processor.ts';
import { Requeue } from '../../runtime/requeue.ts';
import { takeNonBatchSlot } from '../upstream/non-batch-slot.ts';
import type { RefreshDeps } from '../upstream/refresh-outcome.ts';
import { callUpstream, waitOf } from '../upstream/upstream-call.ts';

interface Deps extends Pick<
  RefreshDeps,
  'provider' | 'limiter' | 'demand' | 'clock' | 'log' | 'notFoundMs' | 'charge'
> {
  readonly documents: PassthroughStore;
  readonly passthroughChannel: Pick<Channel<string>, 'publish'>;
}

/** Longer than a call and its retries may take (ms); when its holder dies, another may try after this time. */
const leaseMs = 30_000;
const unavailableMs = 10_000;
/** How long a refusal (key, plan) is remembered (ms): it will not go away by itself. */
const rejectedMs = 60_000;
/** How long "too old" is remembered (ms): it will not change, because the past only gets further away. */
const outOfReachMs = 3_600_000;

/** `response.refresh`: one call for one document, charged to the first one who asked. */
export async function refreshDocument(
  deps: Deps,
  job: JobData<'document.refresh'>,
  context: JobContext,
): Promise<JobResult<'document.refresh'>> {
  const { documents, passthroughChannel, clock } = deps;
  const { path, freshMs, requester } = job;
  const { response, failure } = await documents.read(path);
  const isFresh = response !== undefined && clock.now() - response.receivedAt < freshMs;
  if (isFresh || (failure !== undefined && failure.until > clock.now())) return { fetched: false };
  // The job may run a second time while the first call is still running, when its lock was lost.
  if (!(await documents.lease(path, leaseMs))) return { fetched: false };
  const fetched = await outcomeOf(fetchDocument(deps, job, context));
  if ('json' in fetched) await documents.write(path, { json: fetched.json, receivedAt: clock.now() });
  else {
    const waitMs = waitOf(fetched.error);
    if (waitMs !== undefined || context.waitSignal.aborted) {
      await documents.release(path);
      throw new Requeue('no budget', waitMs ?? 0);
    }
    deps.log.warn(
      { path: path.split('?')[0], reason: messageOf(fetched.error) },
      'the price source did not answer a request of the CoinGecko-compatible API; clients get the stored response or an error',
    );
    await documents.writeFailure(path, failureOf(deps, fetched.error));
  }
  await documents.settle(path, requester);
  await passthroughChannel.publish(passthroughId(path));
  return { fetched: true };
}

/** Only the provider's answer is remembered: when the cache cannot be written, the job fails and is retried. */
async function outcomeOf(fetching: Promise<string>): Promise<{ json: string } | { error: unknown }> {
  try {
    return { json: await fetching };
  } catch (error) {
    return { error };
  }
}

async function fetchDocument(
  { provider, limiter, charge, demand }: Deps,
  { path, requester }: JobData<'document.refresh'>,
  context: JobContext,
): Promise<string> {
  const who = requester === undefined ? undefined : parseRequester(requester);
  return await callUpstream({ limiter, urgency: 'interactive', context }, async (grant) => {
    if (provider.fetchDocument === undefined) {
      await grant.release();
      throw new ProviderRejectedError(`${provider.source} has no such documents`, {
        provider: provider.source,
      });
    }
    await takeNonBatchSlot(demand, grant);
    try {
      const json = await provider.fetchDocument({
        path,
        signal: AbortSignal.any([grant.signal, context.signal]),
      });
      if (who !== undefined) charge(who, 1);
      return json;
    } catch (error) {
      // A failed call has used the budget like any other.
      if (who !== undefined && !wasNeverSent(error)) charge(who, 1);
      throw error;
    }
  });
}

function failureOf(
  { clock, notFoundMs }: Pick<Deps, 'clock' | 'notFoundMs'>,
  error: unknown,
): PassthroughFailure {
  const now = clock.now();
  if (error instanceof ProviderRangeError)
    return { state: 'unavailable', until: now + outOfReachMs, reason: outOfReachReason };
  if (!(error instanceof ProviderRejectedError))
    return { state: 'unavailable', until: now + unavailableMs, reason: 'the price source does not respond' };
  if (error.providerStatus === 404)
    return {
      state: 'not_found',
      until: now + notFoundMs,
      reason: 'the price source does not know this document',
    };
  // The refusal concerns a plan or an address, and this document: waiting clients get its reason.
  const state = error.providerStatus === 403 ? 'forbidden' : 'unavailable';
  return { state, until: now + rejectedMs, reason: refusalOf(error.message) };
}
