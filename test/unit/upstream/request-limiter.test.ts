import { expect } from 'chai';
import type { Urgency } from '../../../src/domain/quote.ts';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import type {
  AcquireResult,
  Budget,
  CallOutcome,
  Grant,
} from '../../../src/features/upstream/budget/budget.ts';
import { isTooLate, startStopwatch } from '../../../src/features/upstream/call-signal.ts';
import {
  BudgetWaitError,
  ProviderConnectionError,
  ProviderRateLimitError,
  ProviderRejectedError,
  ProviderResponseError,
  ProviderTimeoutError,
} from '../../../src/features/upstream/provider-errors.ts';
import type { RequestLimiter } from '../../../src/features/upstream/request-limiter-contract.ts';
import { createRequestLimiter } from '../../../src/features/upstream/request-limiter.ts';
import { waitFor } from '../../support/wait-for.ts';

/** A budget that answers as it is told. */
interface ScriptedBudget extends Budget {
  /** Answers in their order; the last one is repeated. */
  answers: (
    'grant' | 'old-grant' | { waitMs: number; reason: 'window' | 'paced' | 'blocked' | 'unreachable' }
  )[];
  readonly requested: Urgency[];
  readonly ended: (CallOutcome | 'released')[];
  readonly blocks: number[];
}

function createScriptedBudget(): ScriptedBudget {
  let number = 0;
  const grant = (ageMs: number): Grant => {
    const since = startStopwatch();
    let ended = false;
    const end = (how: CallOutcome | 'released'): Promise<void> => {
      if (!ended) budget.ended.push(how);
      ended = true;
      return Promise.resolve();
    };
    number += 1;
    return {
      id: String(number),
      since: { elapsedMs: () => since.elapsedMs() + ageMs },
      lastsMs: 15_000,
      settle: end,
      release: () => end('released'),
    };
  };
  const budget: ScriptedBudget = {
    key: 'scripted',
    answers: ['grant'],
    requested: [],
    ended: [],
    blocks: [],
    async tryAcquire(urgency): Promise<AcquireResult> {
      budget.requested.push(urgency);
      const answer = budget.answers.length > 1 ? budget.answers.shift()! : budget.answers[0]!;
      await Promise.resolve();
      if (answer === 'grant') return { granted: grant(0) };
      return answer === 'old-grant' ? { granted: grant(60_000) } : answer;
    },
    block(ms) {
      budget.blocks.push(ms);
      return Promise.resolve();
    },
    applyReportedLimits: () => Promise.reject(new Error('not asked for here')),
    status: () => Promise.reject(new Error('not asked for here')),
  };
  return budget;
}

const never = (): AbortSignal => new AbortController().signal;
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (e: unknown) => e,
  );

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

describe('upstream gate', () => {
  let budget: ScriptedBudget;
  let limiter: RequestLimiter;
  const calls: { urgency: Urgency; outcome: CallOutcome }[] = [];
  beforeEach(() => {
    budget = createScriptedBudget();
    calls.length = 0;
    limiter = open({});
  });
  afterEach(() => limiter.stop());

  function open(options: { maxConcurrent?: number; highWater?: number }): RequestLimiter {
    const onCall = ({ urgency, outcome }: { urgency: Urgency; outcome: CallOutcome }): void =>
      void calls.push({ urgency, outcome });
    return createRequestLimiter({ budget, log: silentLogger(), onCall, ...options });
  }
  const run = <T>(call: () => Promise<T>, urgency: Urgency = 'interactive', maxWaitMs = 5_000): Promise<T> =>
    limiter.run({ urgency, maxWaitMs, signal: never() }, call);

  it('makes the call with a grant and settles it', async () => {
    expect(await run(() => Promise.resolve('answer'))).to.equal('answer');
    await limiter.stop();
    expect(budget.ended).to.deep.equal(['ok']);
    expect(calls).to.deep.equal([{ urgency: 'interactive', outcome: 'ok' }]);
  });

  const provider = 'p';
  for (const [error, outcome] of [
    [new ProviderConnectionError('reset', { provider }), 'unanswered'],
    [new ProviderConnectionError('503', { provider, providerStatus: 503 }), 'server_error'],
    [new ProviderResponseError('html', { provider, providerStatus: 200 }), 'bad_response'],
    [new ProviderRejectedError('key', { provider, providerStatus: 401 }), 'rejected'],
    [new ProviderRejectedError('no ids', { provider }), 'released'],
    [new Error('anything'), 'unanswered'],
  ] as const) {
    it(`settles "${error.message}" (${error.name}) as ${outcome} and throws it on`, async () => {
      expect(await failure(run(() => Promise.reject(error)))).to.equal(error);
      await limiter.stop();
      expect(budget.ended).to.deep.equal([outcome]);
      expect(calls).to.have.length(outcome === 'released' ? 0 : 1);
    });
  }

  it('blocks the fleet at a 429, before the caller learns of it', async () => {
    const error = new ProviderRateLimitError('429', { provider, retryAfterMs: 7_000 });
    const blocksSeen = run(() => Promise.reject(error)).then(
      () => [],
      () => [...budget.blocks],
    );
    expect(await blocksSeen).to.deep.equal([7_000]);
  });

  it('gives back the grant of a call that had nothing to do', async () => {
    await limiter.run({ urgency: 'stream', maxWaitMs: 0, signal: never() }, (grant) => grant.release());
    await limiter.stop();
    expect(budget.ended).to.deep.equal(['released']);
    expect(calls).to.deep.equal([]);
  });

  it('asks again after the wait that the budget names', async () => {
    budget.answers = [{ waitMs: 20, reason: 'paced' }, { waitMs: 10, reason: 'window' }, 'grant'];
    expect(await run(() => Promise.resolve(1))).to.equal(1);
    expect(budget.requested).to.have.length(3);
  });

  it('gives up at once when the wait is longer than the caller can wait', async () => {
    budget.answers = [{ waitMs: 60_000, reason: 'blocked' }];
    const error = await failure(run(() => Promise.resolve(1)));
    expect(error).to.be.instanceOf(BudgetWaitError);
    expect(error).to.include({ waitMs: 60_000, reason: 'blocked' });
    expect(budget.requested).to.have.length(1);
  });

  it('lets one caller ask for all of its urgency', async () => {
    budget.answers = [{ waitMs: 2_000, reason: 'paced' }];
    const patient = Array.from({ length: 20 }, () => failure(run(() => Promise.resolve(1), 'stream')));
    await waitFor(() => budget.requested.length > 0, { what: 'the first question' });
    expect(limiter.counts().waiting).to.equal(20);
    expect(budget.requested).to.have.length(1);
    await limiter.stop();
    for (const error of await Promise.all(patient)) expect(error).to.include({ reason: 'stopped' });
  });

  it('lets an urgent call pass while less urgent ones wait for the budget', async () => {
    limiter = open({ maxConcurrent: 1 });
    budget.answers = [{ waitMs: 4_000, reason: 'paced' }, 'grant'];
    const patient = failure(run(() => Promise.resolve('warm'), 'warming'));
    await waitFor(() => budget.requested.length === 1, { what: 'the warmer to ask' });
    expect(await run(() => Promise.resolve('urgent'))).to.equal('urgent');
    await limiter.stop();
    expect(await patient).to.include({ reason: 'stopped' });
  });

  it('runs so many calls at once and no more, the most urgent of those that wait first', async () => {
    limiter = open({ maxConcurrent: 2 });
    const order: string[] = [];
    const doors = [deferred(), deferred()];
    const busy = doors.map((door) => run(() => door.promise, 'backfill'));
    await waitFor(() => limiter.counts().running === 2, { what: 'two calls to run' });
    const later = (['backfill', 'warming', 'stream', 'interactive'] as const).map((urgency) =>
      run(() => Promise.resolve(void order.push(urgency)), urgency),
    );
    await waitFor(() => limiter.counts().waitingForSlot === 4, { what: 'four callers to wait for a slot' });
    expect(limiter.counts().running).to.equal(2);
    doors[0]!.resolve();
    await Promise.all(later);
    expect(order).to.deep.equal(['interactive', 'stream', 'warming', 'backfill']);
    doors[1]!.resolve();
    await Promise.all(busy);
  });

  it('refuses a crowd beyond its limit', async () => {
    limiter = open({ highWater: 3 });
    budget.answers = [{ waitMs: 4_000, reason: 'window' }];
    const crowd = Array.from({ length: 10 }, () => failure(run(() => Promise.resolve(1))));
    const first = await Promise.race(crowd);
    expect(first).to.include({ reason: 'crowded' });
    await waitFor(() => limiter.counts().waiting === 4, { what: 'the crowd to be cut down' });
    await limiter.stop();
    const reasons = (await Promise.all(crowd)).map((error) => (error as BudgetWaitError).reason);
    expect(reasons.filter((reason) => reason === 'crowded')).to.have.length(6);
  });

  it('never uses a grant that grew old while the process was stopped', async () => {
    budget.answers = ['old-grant', 'grant'];
    const ids: string[] = [];
    await limiter.run({ urgency: 'interactive', maxWaitMs: 1_000, signal: never() }, (grant) =>
      Promise.resolve(void ids.push(grant.id)),
    );
    await limiter.stop();
    expect(ids).to.deep.equal(['2']);
    expect(budget.ended).to.deep.equal(['released', 'ok']);
  });

  it('gives a call no more time than is left of its grant', async () => {
    // Asked for 1.5 s ago, and over a second after it was.
    const tryAcquire = budget.tryAcquire.bind(budget);
    budget.tryAcquire = async (urgency) => {
      const answer = await tryAcquire(urgency);
      if (!('granted' in answer)) return answer;
      return { granted: { ...answer.granted, lastsMs: 1_000, since: { elapsedMs: () => 1_500 } } };
    };
    const error = await failure(
      limiter.run({ urgency: 'interactive', maxWaitMs: 0, signal: never() }, ({ signal }) => {
        expect(isTooLate(signal)).to.equal(true);
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        });
      }),
    );
    expect(error).to.be.instanceOf(ProviderTimeoutError);
  });

  it("ends a wait with the caller's reason", async () => {
    budget.answers = [{ waitMs: 4_000, reason: 'window' }];
    const controller = new AbortController();
    const request = { urgency: 'interactive', maxWaitMs: 5_000, signal: controller.signal } as const;
    const pending = failure(limiter.run(request, () => Promise.resolve(1)));
    const reason = new Error('the user left');
    await waitFor(() => budget.requested.length > 0, { what: 'the question' });
    controller.abort(reason);
    expect(await pending).to.equal(reason);
    expect(limiter.counts().waiting).to.equal(0);
  });

  it('gives a grant back that comes after its caller left', async () => {
    const door = deferred();
    const tryAcquire = budget.tryAcquire.bind(budget);
    budget.tryAcquire = async (urgency) => {
      const answer = await tryAcquire(urgency);
      await door.promise;
      return answer;
    };
    const controller = new AbortController();
    const request = { urgency: 'interactive', maxWaitMs: 5_000, signal: controller.signal } as const;
    const pending = failure(limiter.run(request, () => Promise.resolve(1)));
    await waitFor(() => budget.requested.length > 0, { what: 'the question' });
    controller.abort(new Error('left'));
    await pending;
    door.resolve();
    await waitFor(() => budget.ended.length > 0, { what: 'the grant to come back' });
    expect(budget.ended).to.deep.equal(['released']);
  });

  it('aborts the call when its caller leaves', async () => {
    const controller = new AbortController();
    const request = { urgency: 'interactive', maxWaitMs: 5_000, signal: controller.signal } as const;
    const reason = new Error('left');
    const pending = failure(
      limiter.run(request, ({ signal }) => {
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
          controller.abort(reason);
        });
      }),
    );
    expect(await pending).to.equal(reason);
  });

  it('lets calls that run end before it has stopped, and takes no new ones', async () => {
    const door = deferred();
    const running = run(() => door.promise.then(() => 'done'));
    await waitFor(() => limiter.counts().running === 1, { what: 'the call to run' });
    const stopping = limiter.stop();
    expect(await failure(run(() => Promise.resolve(1)))).to.include({ reason: 'stopped' });
    door.resolve();
    expect(await running).to.equal('done');
    await stopping;
    expect(budget.ended).to.deep.equal(['ok']);
  });
});
