import { expect } from 'chai';
import { newUser, type StreamEvent } from '../support/api-client.ts';
import { startStack, type Stack } from '../support/stack.ts';

const coins = ['bitcoin', 'ethereum', 'sim-00001'];

/** The first thing to run after a change: `npm run test:smoke`. */
describe('the main job in one go', () => {
  let stack: Stack;

  before(async function () {
    this.timeout(120_000);
    stack = await startStack();
  });
  after(() => stack.stop());

  it('registers, submits a bulk, polls, follows its events, and reads a price', async () => {
    const user = await newUser(stack.apis[0]!.url);
    stack.market.setLatency(300);
    const accepted = await user.call('POST', '/crypto/bulk', { body: { coins } });
    expect(accepted.status).to.equal(202);
    const id = accepted.body?.data.id as string;

    const followed: StreamEvent[] = [];
    const following = (async () => {
      for await (const event of user.events(`/jobs/${id}/events`, { signal: AbortSignal.timeout(30_000) }))
        followed.push(event);
    })();
    const job = await user.jobEnd(id);
    await following;

    expect(job).to.include({ state: 'completed' });
    expect(job.result).to.include({ success_count: 3, error_count: 0 });
    const names = followed.map(({ event }) => event);
    expect(names[0]).to.equal('hello');
    expect(names.slice(-2)).to.deep.equal(['job.completed', 'end']);
    const coinEvents = followed.filter(({ event }) => event === 'job.coin');
    expect(coinEvents.map(({ data }) => data.id)).to.have.members(coins);

    const read = await user.call('GET', '/crypto/bitcoin');
    expect(read.status).to.equal(200);
    expect(read.body?.data).to.include({
      id: 'bitcoin',
      state: 'fresh',
      price: job.result.portfolio[0].price,
    });
    expect(stack.market.calls()).to.have.length(1);
  });
});
