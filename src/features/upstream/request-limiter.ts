/**
 * The path of every upstream call out of this process. Bottleneck schedules within the process, the budget decides for the
 * fleet.
 *
 * Two stages. The *askers*, one limiter per urgency with one place each, hold callers in the order of their arrival: the caller
 * in the place asks the budget until it gets a grant or gives up, and all others wait behind it. The *slots*, one limiter for
 * all urgencies, hold the calls that run; the more urgent come first. A grant is requested inside a slot, so that it does not
 * grow old in a queue; when there is none, the slot is given back during the wait, so that a patient caller never keeps it from
 * an urgent one. The place among the askers is free as soon as its caller has a grant.
 *
 * A grant is used only while it is young. A process that was stopped in between (SIGSTOP) gives it back; and the call's signal
 * carries the deadline down to the code that writes the request (call-signal.ts).
 */
import { setMaxListeners } from 'node:events';
import Bottleneck from 'bottleneck';
import { urgencies, type Urgency } from '../../domain/quote.ts';
import { withDeadline } from '../../platform/concurrency/deadline.ts';
import { messageOf } from '../../domain/errors.ts';
import type { Logger } from '../../platform/observability/logger.ts';
import { sleep, toError } from '../../platform/concurrency/sleep.ts';
import type { Budget, CallOutcome, Grant } from './budget/budget.ts';
import { signalWithDeadline, startStopwatch, type Stopwatch } from './call-signal.ts';
import {
  BudgetWaitError,
  type BudgetWaitReason,
  ProviderTimeoutError,
  retryAfterMsOf,
} from './provider-errors.ts';
import type { LimiterRequest, GrantedCall, RequestLimiter } from './request-limiter-contract.ts';
import { outcomeOf, wasNeverSent } from './outcome.ts';

export interface RequestLimiterOptions {
  readonly budget: Budget;
  readonly log: Logger;
  /** Calls at once in this process. Default 5. */
  readonly maxConcurrent?: number;
  /** Callers of one urgency that may wait in this process; more are refused as `crowded`. Default 1,000. */
  readonly highWater?: number;
  /** Oldest grant that a call may start with. Default 2 s. */
  readonly maxGrantAgeMs?: number;
  /** Called for every call that was made. Must not throw. */
  readonly onCall?: (call: {
    urgency: Urgency;
    outcome: CallOutcome;
    durationMs: number;
    /** The error that the call failed with. */
    error?: unknown;
  }) => void;
}

/** One caller on its way through the limiter. */
interface Caller<T> {
  readonly request: LimiterRequest;
  readonly call: (grant: GrantedCall) => Promise<T>;
  readonly since: Stopwatch;
  /** Aborts when the caller gives up: by its signal, its patience, or the end of the process. */
  readonly gaveUp: AbortSignal;
  /** From now on the caller cannot give up by itself; ends with the call. */
  readonly begin: () => void;
  /** True while the budget is being asked: then its answer decides, not the clock. */
  asking: boolean;
}

interface Refusal {
  readonly waitMs: number;
  readonly reason: BudgetWaitReason;
}

/** A call that has started (wrapped, so that awaiting its start is not awaiting its end), or a refusal. */
type Attempt<T> = { readonly begun: Promise<T> } | Refusal;

/** Waits are split into pieces, because grants that others return may shorten them. */
const longestSleepMs = 2_000;
/** Time for the answer of the budget itself, on top of the wait for a grant. */
const answerMs = 250;
const crowdedWaitMs = 1_000;
const settleTimeoutMs = 5_000;

/** Builds the limiter of a process. */
export function createRequestLimiter(options: RequestLimiterOptions): RequestLimiter {
  const limiter = new BudgetedLimiter(options);
  return {
    run: (request, call) => limiter.run(request, call),
    counts: () => limiter.counts(),
    stop: () => limiter.stop(),
  };
}

class BudgetedLimiter {
  readonly #options: RequestLimiterOptions;
  readonly #slots: Bottleneck;
  readonly #askers: Readonly<Record<Urgency, Bottleneck>>;
  readonly #refusals = new Map<Urgency, Refusal & { readonly since: Stopwatch }>();
  readonly #stopping = new AbortController();
  readonly #settling = new Set<Promise<void>>();
  #waiting = 0;
  #running = 0;

  constructor(options: RequestLimiterOptions) {
    const { maxConcurrent = 5, highWater = 1_000 } = options;
    const createAsker = (): Bottleneck =>
      new Bottleneck({ maxConcurrent: 1, highWater, strategy: Bottleneck.strategy.OVERFLOW });
    this.#options = options;
    setMaxListeners(0, this.#stopping.signal); // one for each waiting caller, bounded by highWater
    this.#slots = new Bottleneck({ maxConcurrent });
    this.#askers = {
      interactive: createAsker(),
      stream: createAsker(),
      warming: createAsker(),
      backfill: createAsker(),
    };
  }

  counts(): ReturnType<RequestLimiter['counts']> {
    return { waiting: this.#waiting, waitingForSlot: this.#slots.queued(), running: this.#running };
  }

  async run<T>(request: LimiterRequest, call: (grant: GrantedCall) => Promise<T>): Promise<T> {
    request.signal.throwIfAborted();
    this.#stopping.signal.throwIfAborted();
    const gaveUp = new AbortController();
    const onAbort = (): void => gaveUp.abort(toError(request.signal.reason));
    const onStop = (): void => gaveUp.abort(this.#stopping.signal.reason);
    const onTime = (): void => {
      if (!caller.asking) gaveUp.abort(this.#tooLong(request.urgency));
    };
    const timer = setTimeout(onTime, Math.min(request.maxWaitMs + answerMs, 2 ** 31 - 1));
    request.signal.addEventListener('abort', onAbort, { once: true });
    this.#stopping.signal.addEventListener('abort', onStop, { once: true });
    const begin = (): void => {
      clearTimeout(timer);
      request.signal.removeEventListener('abort', onAbort);
      this.#stopping.signal.removeEventListener('abort', onStop);
    };
    const since = startStopwatch();
    const caller: Caller<T> = { request, call, since, gaveUp: gaveUp.signal, begin, asking: false };
    this.#waiting += 1;
    let begun: Promise<T>;
    try {
      ({ begun } = await untilAborted(this.#enqueue(caller), gaveUp.signal));
    } finally {
      this.#waiting -= 1;
      begin();
    }
    return begun;
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new BudgetWaitError({ waitMs: 0, reason: 'stopped' }));
    const limiters = [...Object.values(this.#askers), this.#slots];
    await Promise.all(
      limiters.map((limiter) => limiter.stop({ dropWaitingJobs: true }).catch(() => undefined)),
    );
    await withDeadline(Promise.all(this.#settling), settleTimeoutMs, 'settling grants').catch(
      (error: unknown) =>
        this.#options.log.warn(
          { reason: messageOf(error) },
          'shutting down: the end of some upstream calls was not stored; they count against the budget for a while',
        ),
    );
  }

  /** The error for a caller that never got to ask: the same as the previous caller got. */
  #tooLong(urgency: Urgency): BudgetWaitError {
    const last = this.#refusals.get(urgency);
    const waitMs = last === undefined ? 0 : last.waitMs - last.since.elapsedMs();
    if (last === undefined || waitMs <= 0) {
      return new BudgetWaitError({ waitMs: crowdedWaitMs, reason: 'crowded' });
    }
    return new BudgetWaitError({ waitMs, reason: last.reason });
  }

  async #enqueue<T>(caller: Caller<T>): Promise<{ readonly begun: Promise<T> }> {
    try {
      return await this.#askers[caller.request.urgency].schedule(() => this.#acquireUntilStarted(caller));
    } catch (error) {
      if (!(error instanceof Bottleneck.BottleneckError)) throw error;
      this.#stopping.signal.throwIfAborted();
      throw new BudgetWaitError({ waitMs: crowdedWaitMs, reason: 'crowded' });
    }
  }

  async #acquireUntilStarted<T>(caller: Caller<T>): Promise<{ readonly begun: Promise<T> }> {
    const { urgency, maxWaitMs } = caller.request;
    for (;;) {
      caller.gaveUp.throwIfAborted();
      const attempt = await this.#attempt(caller);
      if ('begun' in attempt) return attempt;
      this.#refusals.set(urgency, { ...attempt, since: startStopwatch() });
      if (attempt.waitMs > maxWaitMs - caller.since.elapsedMs()) throw new BudgetWaitError(attempt);
      await sleep(Math.min(attempt.waitMs, longestSleepMs), caller.gaveUp);
    }
  }

  /** Asks once, inside a slot, and starts the call there when it is granted. */
  #attempt<T>(caller: Caller<T>): Promise<Attempt<T>> {
    const priority = urgencies.indexOf(caller.request.urgency);
    return new Promise((resolve, reject) => {
      const inSlot = async (): Promise<void> => {
        const attempt = await this.#ask(caller);
        resolve(attempt);
        // The slot is held until the call has ended; its result is the caller's business.
        if ('begun' in attempt) await attempt.begun.catch(() => undefined);
      };
      this.#slots.schedule({ priority }, inSlot).catch(reject);
    });
  }

  async #ask<T>(caller: Caller<T>): Promise<Attempt<T>> {
    caller.gaveUp.throwIfAborted();
    const { urgency, maxWaitMs, credits } = caller.request;
    const patienceMs = maxWaitMs - caller.since.elapsedMs();
    caller.asking = true;
    const answer = await this.#options.budget.tryAcquire(urgency, patienceMs, credits);
    caller.asking = false;
    if (!('granted' in answer)) return answer;
    const grant = answer.granted;
    if (caller.gaveUp.aborted) {
      this.#inBackground(grant.release());
      caller.gaveUp.throwIfAborted();
    }
    if (grant.since.elapsedMs() > (this.#options.maxGrantAgeMs ?? 2_000)) {
      this.#options.log.warn(
        { grant: grant.id },
        'this process was suspended or overloaded: an upstream call came too late and is asked for again',
      );
      await grant.release();
      return { waitMs: 0, reason: 'paced' };
    }
    caller.begin();
    const begun = this.#makeCall(caller, grant);
    // The waiting caller handles the failure; this only marks the promise as handled.
    begun.catch(() => undefined);
    return { begun };
  }

  async #makeCall<T>({ request, call }: Caller<T>, grant: Grant): Promise<T> {
    const { budget, onCall } = this.#options;
    const reason = (): Error =>
      new ProviderTimeoutError('The provider did not answer before the deadline of the call', {
        provider: budget.key,
      });
    const deadline = { parent: request.signal, ms: grant.lastsMs, since: grant.since, reason };
    const { signal, dispose } = signalWithDeadline(deadline);
    const since = startStopwatch();
    const use = { released: false };
    const release = (): Promise<void> => {
      use.released = true;
      return grant.release();
    };
    let outcome: CallOutcome = 'ok';
    let failure: { readonly error?: unknown } = {};
    this.#running += 1;
    try {
      request.beforeDispatch?.(grant);
      return await call({ ...grant, signal, release });
    } catch (error) {
      outcome = outcomeOf(error);
      failure = { error };
      if (wasNeverSent(error)) this.#inBackground(release());
      const waitMs = retryAfterMsOf(error);
      if (waitMs !== undefined) await budget.block(waitMs);
      throw error;
    } finally {
      this.#running -= 1;
      dispose();
      if (!use.released)
        onCall?.({ urgency: request.urgency, outcome, durationMs: since.elapsedMs(), ...failure });
      this.#inBackground(grant.settle(outcome));
    }
  }

  #inBackground(work: Promise<void>): void {
    const settled = work.catch((error: unknown) =>
      this.#options.log.warn(
        { reason: messageOf(error) },
        'the end of an upstream call was not stored; it counts against the budget until its time is over',
      ),
    );
    this.#settling.add(settled);
    void settled.finally(() => this.#settling.delete(settled));
  }
}

/** Settles as `work` does, or rejects with the signal's reason; `work` then continues unobserved. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(toError(signal.reason));
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
