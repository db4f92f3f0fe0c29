import { expect } from 'chai';
import { Redis } from 'ioredis';
import { silentLogger } from '../../../src/platform/observability/logger.ts';
import { createCircuitBreaker } from '../../../src/features/upstream/circuit-breaker.ts';
import { ProviderConnectionError } from '../../../src/features/upstream/provider-errors.ts';
import {
  createProviderChain,
  type ChainMember,
  type ProviderChain,
} from '../../../src/features/upstream/provider-chain.ts';
import type { PriceProvider } from '../../../src/features/upstream/provider.ts';
import type { GrantedCall, RequestLimiter } from '../../../src/features/upstream/request-limiter-contract.ts';
import { flushPrefix, uniquePrefix } from '../../support/redis.ts';
import { services } from '../../support/services.ts';

const log = silentLogger();
const outageSeconds = 600;
const longestPauseSeconds = 30;
const requestsPerSecond = 8;
const names = ['a', 'b', 'c'];

describe('all price sources down for ten minutes', () => {
  const prefix = uniquePrefix();
  const time = { at: Date.UTC(2026, 4, 1) };
  let redis: Redis;
  let isDown = true;
  /** Calls of each second, by source. */
  let callsNow: Record<string, number> = {};

  before(async () => {
    redis = new Redis((await services()).redisUrl);
  });
  after(async () => {
    await flushPrefix(redis, prefix);
    await redis.quit();
  });

  /** Lets everything pass: what is counted here is what the breakers let through. */
  const limiter: RequestLimiter = {
    run: (request, call) => call({ signal: request.signal, release: () => Promise.resolve() } as GrantedCall),
    counts: () => ({ waiting: 0, waitingForSlot: 0, running: 0 }),
    stop: () => Promise.resolve(),
  };
  function workerChain(): ProviderChain {
    const members = names.map((name): ChainMember => ({
      provider: { source: name } as PriceProvider,
      limiter,
      breaker: createCircuitBreaker({
        redis,
        log,
        name,
        key: `${prefix}:${name}`,
        failures: 5,
        longestMs: longestPauseSeconds * 1_000,
        now: () => time.at,
      }),
    }));
    return createProviderChain({ members: [members[0]!, ...members.slice(1)], failoverMs: 2_000 });
  }
  const request = (chain: ProviderChain): Promise<string | undefined> =>
    chain
      .run({ urgency: 'interactive', maxWaitMs: 0, signal: new AbortController().signal }, (_grant, turn) => {
        const { source } = turn.provider;
        callsNow[source] = (callsNow[source] ?? 0) + 1;
        if (!isDown) return Promise.resolve(source);
        return Promise.reject(new ProviderConnectionError('down', { provider: source, providerStatus: 503 }));
      })
      .catch(() => undefined);

  it('costs each of them a probe a pause, and all are served again within one pause, without a stampede', async function () {
    this.timeout(60_000);
    const workers = [workerChain(), workerChain()];
    const seconds: Record<string, number>[] = [];
    const answered: (string | undefined)[][] = [];
    for (let second = 0; second < outageSeconds + 2 * longestPauseSeconds; second += 1) {
      isDown = second < outageSeconds;
      callsNow = {};
      const requests = Array.from({ length: requestsPerSecond }, (_, n) => request(workers[n % 2]!));
      answered.push(await Promise.all(requests));
      seconds.push(callsNow);
      time.at += 1_000;
    }
    const outage = seconds.slice(0, outageSeconds);
    for (const name of names) {
      const counts = outage.map((calls) => calls[name] ?? 0);
      const total = counts.reduce((sum, count) => sum + count, 0);
      // Those that were under way when it opened, then a probe every 15 to 30 s.
      expect(counts[0], `${name}: calls of the first second`).to.be.at.most(requestsPerSecond);
      expect(Math.max(...counts.slice(1)), `${name}: calls of any later second`).to.equal(1);
      expect(total, `${name}: calls of ten minutes`).to.be.below(requestsPerSecond + 50);
    }
    const back = answered.slice(outageSeconds);
    const recovered = back.findIndex((second) => second.every((source) => source !== undefined));
    expect(recovered, 'seconds until everybody is served').to.be.within(0, longestPauseSeconds);
    expect(back.at(-1), 'the first source serves again').to.deep.equal(
      Array.from({ length: requestsPerSecond }, () => 'a'),
    );
    // No call more than there are requests, of all sources together.
    for (const [index, calls] of seconds.slice(outageSeconds).entries()) {
      const sum = Object.values(calls).reduce((all, count) => all + count, 0);
      expect(sum, `calls ${index} s after the end`).to.be.at.most(requestsPerSecond + names.length);
    }
  });
});
