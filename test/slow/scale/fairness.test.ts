import { expect } from 'chai';
import { apiClient, newUser, type ApiClient } from '../../support/api-client.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

const crowdBulks = 300;
const perBulk = 50;
const currencies = ['usd', 'eur', 'gbp', 'jpy', 'chf', 'aud', 'cad', 'inr'];

describe('a user beside a crowd', () => {
  let stack: Stack;
  let crowd: ApiClient;
  let user: ApiClient;
  const crowdJobs: string[] = [];

  before(async function () {
    this.timeout(120_000);
    stack = await startStack({
      apis: 1,
      workers: 1,
      market: { latencyMs: 20, madeUpAssets: 20_000 },
      // A budget that takes minutes to serve the crowd.
      environment: { UPSTREAM_CALLS_PER_MINUTE: '12', QUOTE_TTL: '15s' },
    });
    const { url } = stack.apis[0]!;
    [crowd, user] = await Promise.all([newUser(url), newUser(url)]);
    expect((await user.call('GET', '/crypto/bitcoin')).status).to.equal(200);
    for (let bulk = 0; bulk < crowdBulks; bulk++) {
      const coins = Array.from({ length: perBulk }, (_, index) => coinAt(bulk * perBulk + index));
      const currency = currencies[bulk % currencies.length];
      const { status, body } = await crowd.call('POST', '/crypto/bulk', { body: { coins, currency } });
      expect(status).to.equal(202);
      crowdJobs.push(body?.data.id as string);
    }
  });
  after(() => stack.stop());

  const crowdIsServed = async (): Promise<boolean> => {
    const { body } = await crowd.call('GET', `/jobs/${crowdJobs.at(-1)!}`);
    return body?.data.state !== 'queued' && body?.data.state !== 'running';
  };

  it('gets a job on cached coins done while the crowd waits', async () => {
    const { body } = await user.call('POST', '/crypto/bulk', { body: { coins: ['bitcoin'] } });
    const job = await user.jobEnd(body?.data.id as string, 4_000);
    expect(job.result.success_count).to.equal(1);
    expect(await crowdIsServed()).to.equal(false);
  });

  it('gets a coin that nobody has asked for within two calls', async function () {
    this.timeout(120_000);
    const reader = apiClient(stack.apis[0]!.url, user.token);
    for (const coin of ['solana', 'dogecoin']) {
      const before = stack.market.callCount();
      await waitFor(async () => (await reader.call('GET', `/crypto/${coin}`)).status === 200, {
        what: `a quote of ${coin}`,
        timeoutMs: 60_000,
      });
      expect(stack.market.callCount() - before, coin).to.be.at.most(2);
    }
    expect(await crowdIsServed()).to.equal(false);
  });

  it('has the coins that it reads renewed while the crowd waits', async function () {
    this.timeout(120_000);
    const receivedAt = async (): Promise<string> => {
      const { body } = await apiClient(stack.apis[0]!.url, user.token).call('GET', '/crypto/bitcoin');
      return body?.data.received_at as string;
    };
    const old = await receivedAt();
    await waitFor(async () => (await receivedAt()) !== old, { what: 'a newer quote', timeoutMs: 60_000 });
    expect(await crowdIsServed()).to.equal(false);
  });
});

function coinAt(index: number): string {
  return `sim-${String(index + 1).padStart(5, '0')}`;
}
