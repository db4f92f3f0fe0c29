import type { JobData, JobResult } from '../../../jobs/registry.ts';
import { leaseMs } from '../../../src/features/quotes/demand/demand.ts';
import { callShares } from '../../../src/features/upstream/call-shares.ts';
import { parseRequester } from '../../../src/domain/requester.ts';
import { messageOf } from '../../../src/domain/errors.ts';
import { ProviderUrlTooLongError } from '../../../src/features/upstream/provider-errors.ts';
import { wasNeverSent } from '../../../src/features/upstream/outcome.ts';
import type { PriceProvider, QuotesResult } from '../../../src/features/upstream/provider.ts';
import {
  askNext,
  NoProviderError,
  ProviderOpenError,
  type SourceAttempt,
} from '../../../src/features/upstream/provider-chain.ts';
import type { GrantedCall } from '../../../src/features/upstream/request-limiter-contract.ts';
import type { JobContext } from '../../runtime/processor.ts';
import { Requeue } from '../../runtime/requeue.ts';
import { waitForBatch } from './batching-window.ts';
import { storeQuotes, storeFailure, type QuotesOutcome, type RefreshDeps } from './refresh-outcome.ts';
import { callChain, waitOf } from './upstream-call.ts';

/**
 * `quotes.refresh`: one grant, one lease, one call. The assets are leased only when the call is certain, so that the most
 * urgent at that moment go, and a batch is as full as it can be. Once it has leased, the job lets the next refresh job in:
 * several calls can run at once, but only one job waits for a grant.
 */
export async function refreshQuotes(
  deps: RefreshDeps,
  job: JobData<'quotes.refresh'>,
  context: JobContext,
): Promise<JobResult<'quotes.refresh'>> {
  const batch = new Batch(deps, job.currency, context);
  try {
    const requested = {
      chain: deps.chain,
      urgency: job.urgency,
      context,
      refusalFails: true,
      assets: await assetsOf(deps, job.currency),
      can: (provider: PriceProvider) => provider.serves?.(batch.currency) ?? true,
    };
    await callChain(requested, (grant, attempt) => batch.call(grant, attempt));
    const answer = batch.answer();
    if (answer === undefined) return { assets: 0 };
    await storeQuotes(deps, batch.currency, answer);
    await batch.settle();
    return { assets: answer.quotes.length };
  } catch (error) {
    return await batch.handOver(error);
  } finally {
    batch.end();
  }
}

/** How many assets a call will be about, for sources that charge by that. */
async function assetsOf({ chain, provider, demand }: RefreshDeps, currency: string): Promise<number> {
  const isCharged = chain.members.some((member) => member.provider.creditsOf !== undefined);
  return isCharged ? Math.min(provider.maxIdsPerCall, Math.max(1, await demand.size(currency))) : 1;
}

/** The assets of one refresh job, from their lease to their settlement. */
class Batch {
  readonly #deps: RefreshDeps;
  #currency: string;
  readonly #context: JobContext;
  readonly #owner: string;
  #leased: readonly string[] = [];
  /** Who asked first for the leased assets, in their order. */
  #requesters: readonly (string | undefined)[] = [];
  /** The responses of the sources so far. */
  #answer: QuotesOutcome | undefined;
  #renewal: NodeJS.Timeout | undefined;

  constructor(deps: RefreshDeps, currency: string, context: JobContext) {
    this.#deps = deps;
    this.#currency = currency;
    this.#context = context;
    this.#owner = `${context.jobId}.${context.start}`;
  }

  /** One upstream call; resolves with {@link askNext} while the next source may know more. */
  async call(grant: GrantedCall, { provider, isFirst }: SourceAttempt): Promise<true | typeof askNext> {
    if (this.#leased.length === 0) await this.#lease(provider);
    const ids = this.#openFor(provider);
    if (ids.length === 0) {
      await grant.release();
      return true;
    }
    const signal = AbortSignal.any([grant.signal, this.#context.signal]);
    try {
      const said = await provider.fetchQuotes({ ids, currency: this.#currency, signal });
      this.#charge();
      return this.#take(said, isFirst);
    } catch (error) {
      // A failed call has used the budget like any other; one that was never sent is given back by the limiter.
      if (!wasNeverSent(error)) this.#charge();
      if (error instanceof ProviderUrlTooLongError) await this.#halve();
      throw error;
    }
  }

  /** The combined response of all sources; undefined when none was asked. */
  answer(): QuotesOutcome | undefined {
    return this.#answer;
  }

  /** The assets without a response, as many as fit into one call. */
  #openFor({ maxIdsPerCall, maxIdListBytes }: PriceProvider): readonly string[] {
    let bytes = 0;
    return (this.#answer?.unanswered ?? this.#leased).slice(0, maxIdsPerCall).filter((id) => {
      bytes += Buffer.byteLength(id) + 1;
      return bytes <= maxIdListBytes;
    });
  }

  /**
   * The first source's response is final, also when it does not know an asset or has no price for it. For a fallback source
   * only what it knows counts: the ids are not its own.
   */
  #take(said: QuotesResult, isFirst: boolean): true | typeof askNext {
    if (isFirst) {
      this.#answer = said;
      return true;
    }
    const quotes = [...(this.#answer?.quotes ?? []), ...said.quotes];
    const known = new Set(quotes.map(({ assetId }) => assetId));
    const unanswered = this.#leased.filter((id) => !known.has(id));
    this.#answer = { quotes, notFound: [], withoutPrice: [], unanswered };
    return unanswered.length === 0 ? true : askNext;
  }

  /** No source may be called now: reports that to those who wait, without a call. */
  async #giveUp(error: ProviderOpenError | NoProviderError): Promise<JobResult<'quotes.refresh'>> {
    if (this.#leased.length === 0) await this.#lease(this.#deps.provider);
    if (this.#leased.length > 0)
      await storeFailure(this.#deps, this.#currency, { assetIds: this.#leased, error });
    await this.settle();
    return { assets: 0 };
  }

  /** The currency of the leased assets; the requested one until there are any. */
  get currency(): string {
    return this.#currency;
  }

  async settle(): Promise<void> {
    await this.#deps.demand.settle(this.#currency, this.#owner, this.#leased);
  }

  /**
   * The call failed and is not retried: reports the failure to those who wait, or leaves the assets to others when time will
   * solve it.
   */
  async handOver(error: unknown): Promise<JobResult<'quotes.refresh'>> {
    const { demand, enqueue } = this.#deps;
    const waitMs = waitOf(error);
    if (waitMs !== undefined && this.#leased.length === 0) throw new Requeue('no budget', waitMs);
    if (waitMs !== undefined || this.#context.waitSignal.aborted) {
      await demand.release(this.#currency, this.#owner, this.#leased);
      const urgency = await demand.mostUrgent(this.#currency);
      if (urgency !== undefined) await enqueue.quotes(this.#currency, urgency, waitMs ?? 0);
      if (this.#leased.length === 0 && error instanceof Error) throw error;
      return { assets: 0 };
    }
    if (error instanceof ProviderOpenError || error instanceof NoProviderError)
      return await this.#giveUp(error);
    if (this.#leased.length === 0) throw error;
    await storeFailure(this.#deps, this.#currency, { assetIds: this.#leased, error });
    await this.settle();
    return { assets: 0 };
  }

  end(): void {
    clearInterval(this.#renewal);
  }

  async #lease(provider: PriceProvider): Promise<void> {
    const { demand } = this.#deps;
    const requested = this.#currency;
    // A worker with a grant spends it on the tenant whose turn it is, so that a crowd in many currencies delays nobody in one. A
    // source that does not price in all of them gets the one it was chosen for.
    if (provider.serves === undefined) this.#currency = await demand.nextCurrency(requested);
    const currency = this.#currency;
    await waitForBatch({ demand, currency, full: provider.maxIdsPerCall, signal: this.#context.waitSignal });
    this.#leased = await demand.lease({
      currency: this.#currency,
      owner: this.#owner,
      maxIds: provider.maxIdsPerCall,
      maxBytes: provider.maxIdListBytes,
    });
    // Before checking whether more is wanted: later requests start a job of their own.
    const letIn = this.#context.releaseDeduplication();
    [this.#requesters] = await Promise.all([this.#askRequesters(), letIn]);
    for (const currency of new Set([this.#currency, requested])) await this.#enqueueRest(currency);
    this.#renewal = setInterval(() => {
      void demand.renew(this.#currency, this.#owner, this.#leased).catch(() => undefined);
    }, leaseMs / 3);
  }

  async #enqueueRest(currency: string): Promise<void> {
    const urgency = await this.#deps.demand.mostUrgent(currency);
    if (urgency !== undefined) await this.#deps.enqueue.quotes(currency, urgency);
  }

  /** Usage is a statistic: if this fails, the call is charged to nobody. */
  async #askRequesters(): Promise<readonly (string | undefined)[]> {
    try {
      return await this.#deps.demand.requesters(this.#currency, this.#leased);
    } catch (error) {
      this.#deps.log.debug({ reason: messageOf(error) }, 'the requesters of a batch could not be read');
      return [];
    }
  }

  #charge(): void {
    for (const [text, share] of callShares(this.#requesters)) {
      const who = parseRequester(text);
      if (who !== undefined) this.#deps.charge(who, share);
    }
  }

  /** The provider found the list too long: retries with half, and leaves the rest to another call. */
  async #halve(): Promise<void> {
    const kept = this.#leased.slice(0, Math.ceil(this.#leased.length / 2));
    const rest = this.#leased.slice(kept.length);
    this.#leased = kept;
    this.#requesters = this.#requesters.slice(0, kept.length);
    await this.#deps.demand.release(this.#currency, this.#owner, rest);
    if (rest.length > 0) await this.#deps.enqueue.quotes(this.#currency, 'interactive');
  }
}
