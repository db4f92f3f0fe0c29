import { expect } from 'chai';
import { newUser, type ApiClient } from '../support/api-client.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

describe('warming', () => {
  let stack: Stack;
  let user: ApiClient;

  before(async function () {
    this.timeout(120_000);
    stack = await startStack({
      apis: 2,
      workers: 1,
      market: { latencyMs: 20, madeUpAssets: 100 },
      environment: { WARMING: 'on', WARM_WINDOW: '20s', QUOTE_TTL: '12s' },
    });
    user = await newUser(stack.apis[0]!.url);
  });
  after(() => stack.stop());

  it('keeps fresh what was read, without a reader', async function () {
    this.timeout(120_000);
    const first = await user.call('GET', '/crypto/bitcoin');
    expect(first.body?.data.state).to.equal('fresh');
    const calls = stack.market.callCount();
    await waitFor(() => stack.market.callCount() > calls, {
      what: 'a call that nobody asked for',
      timeoutMs: 60_000,
    });
    expect(stack.market.calls().at(-1)).to.include({ ids: 1 });
    await waitFor(
      async () => {
        const { body } = await user.call('GET', '/crypto/bitcoin');
        expect(body?.data.state).to.equal('fresh');
        return body?.data.received_at !== first.body?.data.received_at;
      },
      { what: 'the newer quote', timeoutMs: 60_000 },
    );
  });
});
