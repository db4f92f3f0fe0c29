import type { JobData, JobResult } from '../../jobs/registry.ts';
import { leaseMs } from '../../src/demand/demand.ts';
import { callShares } from '../../src/domain/call-shares.ts';
import { parseRequester } from '../../src/domain/requester.ts';
import { messageOf } from '../../src/lib/errors.ts';
import { sleep } from '../../src/lib/sleep.ts';
import { ProviderUrlTooLongError } from '../../src/providers/errors.ts';
import { wasNeverSent } from '../../src/providers/outcome.ts';
import type { QuotesResult } from '../../src/providers/provider.ts';
import type { GrantedCall } from '../../src/providers/upstream-gate.ts';
import type { JobContext } from '../runtime/processor.ts';
import { PutBack } from '../runtime/put-back.ts';
import { storeAnswer, storeFailure, type RefreshDeps } from './refresh-outcome.ts';
import { callUpstream, waitOf } from './upstream-call.ts';

/**
 * `quotes.refresh`: one grant, one lease, one call. The assets are leased only when the call is certain, so that whatever is
 * most urgent at that moment goes, and a batch is as full as it can be. Once it has leased, the job lets the next refresh
 * job in: several calls can be under way, but only one job waits for a grant.
 */
export async function refreshQuotes(
  deps: RefreshDeps,
  job: JobData<'quotes.refresh'>,
  context: JobContext,
): Promise<JobResult<'quotes.refresh'>> {
  const batch = new Batch(deps, job.currency, context);
  try {
    const answer = await callUpstream({ gate: deps.gate, urgency: job.urgency, context }, (grant) =>
      batch.call(grant),
    );
    if (answer === undefined) return { assets: 0 };
    await storeAnswer(deps, job.currency, answer);
    await batch.settle();
    return { assets: answer.quotes.length };
  } catch (error) {
    return await batch.handOver(error);
  } finally {
    batch.end();
  }
}

/** When a batch is not full, others get this long (ms) to join it. */
const joinMs = 10;

/** The assets of one refresh job, from their lease to their end. */
class Batch {
  readonly #deps: RefreshDeps;
  readonly #currency: string;
  readonly #context: JobContext;
  readonly #owner: string;
  #leased: readonly string[] = [];
  /** Who asked first for the leased assets, in their order. */
  #requesters: readonly (string | undefined)[] = [];
  #maxBytes: number;
  #renewal: NodeJS.Timeout | undefined;

  constructor(deps: RefreshDeps, currency: string, context: JobContext) {
    this.#deps = deps;
    this.#currency = currency;
    this.#context = context;
    this.#owner = `${context.jobId}.${context.start}`;
    this.#maxBytes = deps.provider.maxIdListBytes;
  }

  /** One upstream call; undefined when nothing was wanted any more and the grant was given back. */
  async call(grant: GrantedCall): Promise<QuotesResult | undefined> {
    if (this.#leased.length === 0) await this.#lease();
    if (this.#leased.length === 0) {
      await grant.release();
      return undefined;
    }
    const signal = AbortSignal.any([grant.signal, this.#context.signal]);
    try {
      const answer = await this.#deps.provider.fetchQuotes({
        ids: this.#leased,
        currency: this.#currency,
        signal,
      });
      this.#charge();
      return answer;
    } catch (error) {
      // A call that failed has burned the budget like any other; one that was never sent is given back by the gate.
      if (!wasNeverSent(error)) this.#charge();
      if (error instanceof ProviderUrlTooLongError) await this.#halve();
      throw error;
    }
  }

  async settle(): Promise<void> {
    await this.#deps.demand.settle(this.#currency, this.#owner, this.#leased);
  }

  /** The call failed for good: says so to those who wait, or lets others try when it is a matter of time. */
  async handOver(error: unknown): Promise<JobResult<'quotes.refresh'>> {
    const { demand, kick } = this.#deps;
    const waitMs = waitOf(error);
    if (waitMs !== undefined && this.#leased.length === 0) throw new PutBack('no budget', waitMs);
    if (waitMs !== undefined || this.#context.waitSignal.aborted) {
      await demand.release(this.#currency, this.#owner, this.#leased);
      const urgency = await demand.mostUrgent(this.#currency);
      if (urgency !== undefined) await kick.quotes(this.#currency, urgency, waitMs ?? 0);
      if (this.#leased.length === 0 && error instanceof Error) throw error;
      return { assets: 0 };
    }
    if (this.#leased.length === 0) throw error;
    await storeFailure(this.#deps, this.#currency, { assetIds: this.#leased, error });
    await this.settle();
    return { assets: 0 };
  }

  end(): void {
    clearInterval(this.#renewal);
  }

  async #lease(): Promise<void> {
    const { demand, provider, kick } = this.#deps;
    if ((await demand.size(this.#currency)) < provider.maxIdsPerCall)
      await sleep(joinMs, this.#context.waitSignal);
    this.#leased = await demand.lease({
      currency: this.#currency,
      owner: this.#owner,
      maxIds: provider.maxIdsPerCall,
      maxBytes: this.#maxBytes,
    });
    // Before looking whether more is wanted: whoever comes after this look starts a job of its own.
    const letIn = this.#context.releaseDeduplication();
    [this.#requesters] = await Promise.all([this.#askRequesters(), letIn]);
    const urgency = await demand.mostUrgent(this.#currency);
    if (urgency !== undefined) await kick.quotes(this.#currency, urgency);
    this.#renewal = setInterval(() => {
      void demand.renew(this.#currency, this.#owner, this.#leased).catch(() => undefined);
    }, leaseMs / 3);
  }

  /** Usage is a statistic: without an answer the call is charged to nobody. */
  async #askRequesters(): Promise<readonly (string | undefined)[]> {
    try {
      return await this.#deps.demand.requesters(this.#currency, this.#leased);
    } catch (error) {
      this.#deps.log.debug({ reason: messageOf(error) }, 'who asked for a batch is not known');
      return [];
    }
  }

  #charge(): void {
    for (const [text, share] of callShares(this.#requesters)) {
      const who = parseRequester(text);
      if (who !== undefined) this.#deps.charge(who, share);
    }
  }

  /** The provider found the list too long: try with half, and let another call have the rest. */
  async #halve(): Promise<void> {
    const kept = this.#leased.slice(0, Math.ceil(this.#leased.length / 2));
    const rest = this.#leased.slice(kept.length);
    this.#leased = kept;
    this.#requesters = this.#requesters.slice(0, kept.length);
    await this.#deps.demand.release(this.#currency, this.#owner, rest);
    if (rest.length > 0) await this.#deps.kick.quotes(this.#currency, 'interactive');
  }
}
