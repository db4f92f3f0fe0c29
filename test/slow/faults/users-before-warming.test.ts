import { expect } from 'chai';
import { sleep } from '../../../src/platform/concurrency/sleep.ts';
import { newUser, type ApiClient } from '../../support/api-client.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

const limit = 30;
const minuteMs = 60_000;

interface Fetched {
  readonly coin: string;
  readonly status: number;
  /** Seconds of each Retry-After that was obeyed. */
  readonly waits: readonly number[];
  /** From the first request to the last answer. */
  readonly tookMs: number;
}

/**
 * Documents that nobody has asked for yet, all at once, beside a worker that keeps fresh what was read, at 30 calls a minute: one
 * call each. What is read is more than warming can renew, so that it takes all that it is given.
 */
describe('users before warming', function () {
  this.timeout(10 * minuteMs);
  let stack: Stack;
  let user: ApiClient;

  before(async () => {
    stack = await startStack({
      market: { latencyMs: 20, madeUpAssets: 1_000 },
      environment: {
        WARMING: 'on',
        WARM_WINDOW: '20m',
        ASSET_SYNC: 'daily',
        QUOTE_TTL: '10s',
        UPSTREAM_CALLS_PER_MINUTE: String(limit),
      },
    });
    user = await newUser(stack.apis[0]!.url);
    for (const currency of ['usd', 'eur', 'gbp', 'jpy', 'chf', 'aud'])
      await waitFor(
        async () => (await user.call('GET', `/crypto/bitcoin?currency=${currency}`)).status === 200,
        { what: `a price in ${currency}`, timeoutMs: 2 * minuteMs },
      );
  });
  after(() => stack.stop());

  /** Until every call of the last minute was one that no user waited for. */
  async function untilWarmingAlone(): Promise<void> {
    const begun = Date.now();
    await waitFor(() => Date.now() > begun + minuteMs + 2_000, {
      what: 'a minute without users',
      timeoutMs: 2 * minuteMs,
    });
    await waitFor(() => callsSince(Date.now() - minuteMs) >= limit / 3, { what: 'a busy warming' });
  }

  const callsSince = (from: number): number => stack.market.calls().filter(({ at }) => at >= from).length;

  /** Asks, and again when it was told, until `maxMs` are over. */
  async function fetchDocument(coin: string, maxMs: number): Promise<Fetched> {
    const begun = Date.now();
    const waits: number[] = [];
    for (;;) {
      const response = await fetch(`${stack.apis[0]!.url}/api/v3/coins/${coin}`, {
        headers: { authorization: `Bearer ${user.token}` },
      });
      await response.text();
      const tookMs = Date.now() - begun;
      const seconds = Number(response.headers.get('retry-after'));
      if (response.status !== 503 || tookMs + seconds * 1_000 > maxMs)
        return { coin, status: response.status, waits, tookMs };
      waits.push(seconds);
      await sleep(seconds * 1_000);
    }
  }

  async function fetchAtOnce(first: number, count: number): Promise<readonly Fetched[]> {
    const before = callsSince(Date.now() - minuteMs);
    const begun = Date.now();
    const found = await Promise.all(
      Array.from({ length: count }, (_, index) =>
        fetchDocument(`sim-${String(first + index).padStart(5, '0')}`, minuteMs),
      ),
    );
    const at = (share: number): number =>
      found.map(({ tookMs }) => tookMs).toSorted((a, b) => a - b)[Math.ceil(found.length * share) - 1] ?? 0;
    console.log(
      `      ${count} documents beside ${before} calls of warming: ${found.filter(({ status }) => status === 200).length} came, ` +
        `${found.filter(({ waits }) => waits.length === 0).length} without a refusal; the half in ${at(0.5)} ms, all in ${at(1)} ms; ` +
        `Retry-After ${JSON.stringify(found.flatMap(({ waits }) => waits))}; ${callsSince(begun - minuteMs)} calls since a minute before`,
    );
    return found;
  }

  it('brings twelve documents at once within one Retry-After', async () => {
    await untilWarmingAlone();
    const found = await fetchAtOnce(101, 12);
    expect(found.filter(({ status }) => status !== 200)).to.deep.equal([]);
    expect(found.filter(({ waits }) => waits.length > 1)).to.deep.equal([]);
  });

  it('brings twenty within the minute, each when its Retry-After has said, and never makes a call too many', async () => {
    await untilWarmingAlone();
    const found = await fetchAtOnce(201, 20);
    expect(found.filter(({ status }) => status !== 200)).to.deep.equal([]);
    expect(found.filter(({ waits }) => waits.length > 1)).to.deep.equal([]);
    const calls = stack.market.calls().map(({ at }) => at);
    for (const [index, at] of calls.entries())
      expect((calls[index + limit] ?? Infinity) - at, 'between 31 calls').to.be.at.least(minuteMs);
  });
});
