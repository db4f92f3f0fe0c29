/** What the end of a call says to the breaker of its source. */
import { expect } from 'chai';
import type { Grant } from '../../../src/features/upstream/budget/budget.ts';
import { startStopwatch } from '../../../src/features/upstream/call-signal.ts';
import { verdictOf, type CircuitBreaker } from '../../../src/features/upstream/circuit-breaker.ts';
import {
  BudgetWaitError,
  ProviderConnectionError,
  ProviderKeyError,
  ProviderNotFoundError,
  ProviderRangeError,
  ProviderRateLimitError,
  ProviderRejectedError,
  ProviderResponseError,
  ProviderTimeoutError,
  ProviderUrlTooLongError,
} from '../../../src/features/upstream/provider-errors.ts';
import type { LimiterRequest, GrantedCall } from '../../../src/features/upstream/request-limiter-contract.ts';
import {
  createProviderChain,
  type ChainMember,
  type ChainRequest,
} from '../../../src/features/upstream/provider-chain.ts';
import type { PriceProvider } from '../../../src/features/upstream/provider.ts';

const provider = 'p';
const never = new AbortController().signal;
const of = (providerStatus: number): { provider: string; providerStatus: number } => ({
  provider,
  providerStatus,
});

/** What each error says of the source, and what its breaker is told of it in a probe. */
const errors: readonly (readonly [string, Error, ReturnType<typeof verdictOf>, string])[] = [
  ['a reset', new ProviderConnectionError('reset', { provider }), 'fails', 'failed true'],
  ['a 503', new ProviderConnectionError('503', of(503)), 'fails', 'failed true'],
  ['no answer in time', new ProviderTimeoutError('late', { provider }), 'fails', 'failed true'],
  ['a page of HTML', new ProviderResponseError('html', of(200)), 'fails', 'failed true'],
  ['a 404', new ProviderNotFoundError('no such coin', of(404)), 'answers', 'succeeded'],
  ['a 400', new ProviderRejectedError('parameters', of(400)), 'answers', 'succeeded'],
  ['a 414', new ProviderUrlTooLongError('long', of(414)), 'answers', 'succeeded'],
  ['a 429', new ProviderRateLimitError('429', { ...of(429), retryAfterMs: 9 }), 'answers', 'succeeded'],
  ['a time out of reach (401)', new ProviderRangeError('range', of(401)), 'answers', 'succeeded'],
  ['a wrong key', new ProviderKeyError('key', of(400)), 'refuses', 'cancel'],
  ['a 401', new ProviderRejectedError('plan', of(401)), 'refuses', 'cancel'],
  ['a 403', new ProviderRejectedError('address', of(403)), 'refuses', 'cancel'],
  ['a request that was never sent', new ProviderRejectedError('no ids', { provider }), 'unsent', 'cancel'],
  ['a list that is never sent', new ProviderUrlTooLongError('long', { provider }), 'unsent', 'cancel'],
  [
    'a limit of our own',
    new ProviderRateLimitError('wait', { provider, retryAfterMs: 9 }),
    'unsent',
    'cancel',
  ],
  ['no budget', new BudgetWaitError({ waitMs: 60_000, reason: 'window' }), 'unsent', 'cancel'],
];

describe('a chain of price sources and its breakers', () => {
  let reported: string[];
  let state: Awaited<ReturnType<CircuitBreaker['acquire']>>['state'];
  let requests: LimiterRequest[];

  beforeEach(() => {
    [reported, state, requests] = [[], 'probe', []];
  });

  function memberOf(source: string): ChainMember {
    const tell = (what: string) => (): Promise<void> => {
      reported.push(what);
      return Promise.resolve();
    };
    const grant: Grant & GrantedCall = {
      id: '1',
      since: startStopwatch(),
      lastsMs: 15_000,
      signal: never,
      settle: () => Promise.resolve(),
      release: () => Promise.resolve(),
    };
    return {
      provider: { source } as PriceProvider,
      limiter: {
        run: (request, call) => {
          requests.push(request);
          return call(grant);
        },
        counts: () => ({ waiting: 0, waitingForSlot: 0, running: 0 }),
        stop: () => Promise.resolve(),
      },
      breaker: {
        acquire: () => Promise.resolve(state === 'open' ? { state, retryInMs: 1_000 } : { state }),
        succeeded: tell('succeeded'),
        failed: (probe) => tell(`failed ${probe}`)(),
        cancel: tell('cancel'),
      },
    };
  }

  const run = (
    call: (grant: GrantedCall) => Promise<unknown>,
    different: Partial<ChainRequest> = {},
  ): Promise<unknown> =>
    createProviderChain({ members: [memberOf(provider)], failoverMs: 300 })
      .run({ urgency: 'stream', maxWaitMs: 0, signal: never, ...different }, call)
      .catch((error: unknown) => error);

  it('closes with a good answer', async () => {
    expect(await run(() => Promise.resolve('answer'))).to.equal('answer');
    expect(reported).to.deep.equal(['succeeded']);
  });

  it('learns nothing from a call that was found to be needless, and lets another be the probe', async () => {
    await run((grant) => grant.release());
    expect(reported).to.deep.equal(['cancel']);
    [reported, state] = [[], 'closed'];
    await run((grant) => grant.release());
    expect(reported).to.deep.equal([]);
  });

  for (const [what, error, verdict, inProbe] of errors) {
    it(`takes ${what} for "${verdict}", a probe that ends so for "${inProbe}"`, async () => {
      expect(verdictOf(error)).to.equal(verdict);
      await run(() => Promise.reject(error));
      expect(reported).to.deep.equal([inProbe]);
      [reported, state] = [[], 'closed'];
      await run(() => Promise.reject(error));
      const otherwise = inProbe === 'failed true' ? ['failed false'] : [inProbe];
      expect(reported).to.deep.equal(inProbe === 'cancel' ? [] : otherwise);
    });
  }

  it('takes a refusal of the key for a failure where that is said', async () => {
    const refused = new ProviderKeyError('key', of(401));
    await run(() => Promise.reject(refused), { refusalFails: true });
    const range = new ProviderRangeError('range', of(401));
    await run(() => Promise.reject(range), { refusalFails: true });
    expect(reported).to.deep.equal(['failed true', 'succeeded']);
  });

  it('calls nobody while it is open', async () => {
    state = 'open';
    await run(() => Promise.resolve('answer'));
    expect([requests, reported]).to.deep.equal([[], []]);
  });
});
