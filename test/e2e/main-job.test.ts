import { expect } from 'chai';
import { v7 as uuidv7 } from 'uuid';
import { createTokens } from '../../src/features/accounts/tokens.ts';
import { systemClock } from '../../src/platform/concurrency/clock.ts';
import { apiClient, newUser, type ApiClient, type StreamEvent } from '../support/api-client.ts';
import { stackSecret, startStack, type Stack } from '../support/stack.ts';

const twenty = Array.from({ length: 20 }, (_, index) => `sim-${String(index + 1).padStart(5, '0')}`);

describe('the main job, end to end', () => {
  let stack: Stack;
  let user: ApiClient;

  before(async function () {
    this.timeout(120_000);
    stack = await startStack({ apis: 2, workers: 1, market: { latencyMs: 50, madeUpAssets: 2_000 } });
    user = await newUser(stack.apis[0]!.url);
  });
  after(() => stack.stop());
  beforeEach(() => {
    stack.market.resetCalls();
    stack.market.clearFaults();
  });

  async function submit(path: string, body: object, headers: Record<string, string> = {}): Promise<string> {
    const answer = await user.call('POST', path, { body, headers });
    expect(answer.status, JSON.stringify(answer.body)).to.equal(202);
    expect(answer.headers.get('location')).to.equal(`/api/v1/jobs/${answer.body?.data.id}`);
    return answer.body?.data.id as string;
  }

  it('answers 20 cold coins with one upstream call, in the order asked', async () => {
    const job = await user.jobEnd(await submit('/crypto/bulk', { coins: twenty }));
    expect(job.state).to.equal('completed');
    expect(job.result.portfolio.map((quote: { id: string }) => quote.id)).to.deep.equal(twenty);
    expect(job.result).to.include({ success_count: 20, error_count: 0 });
    expect(job.result).to.not.have.property('total_value');
    for (const quote of job.result.portfolio) {
      expect(quote).to.include({ state: 'fresh', source: 'simulated', currency: 'usd' });
      expect(quote.price).to.be.a('number').greaterThan(0);
    }
    expect(stack.market.calls()).to.have.length(1);
  });

  it('makes an unknown coin an error of that coin alone', async () => {
    const job = await user.jobEnd(await submit('/crypto/bulk', { coins: ['bitcoin', 'no-such-coin'] }));
    expect(job.result).to.include({ success_count: 1, error_count: 1 });
    const [known, unknown] = job.result.portfolio;
    expect(known).to.include({ id: 'bitcoin', state: 'fresh' });
    expect(unknown).to.include({ id: 'no-such-coin', state: 'not_found' });
    expect(unknown.error.code).to.equal('not_found');
  });

  it('values holdings exactly, rows of one coin summed', async () => {
    const holdings = [
      { coin: 'bitcoin', quantity: '0.1' },
      { coin: 'bitcoin', quantity: '0.2' },
      { coin: 'sim-00100', quantity: '0.000000000000000001' },
    ];
    const job = await user.jobEnd(await submit('/crypto/portfolio', { holdings }));
    const [bitcoin] = job.result.portfolio;
    expect(bitcoin.quantity).to.equal('0.3');
    expect(job.result.complete).to.equal(true);
    expect(job.result.total_value).to.match(/^\d+\.\d{18,}$/);
  });

  it('answers at once with Prefer: wait, and repeats itself to an idempotency key', async () => {
    const headers = { prefer: 'wait=10', 'idempotency-key': 'order-1' };
    const body = { coins: ['sim-00200'] };
    const first = await user.call('POST', '/crypto/bulk', { body, headers });
    expect(first.status).to.equal(200);
    expect(first.headers.get('preference-applied')).to.equal('wait=10');
    const again = await user.call('POST', '/crypto/bulk', { body, headers });
    expect(again.headers.get('location')).to.equal(first.headers.get('location'));
    const other = await user.call('POST', '/crypto/bulk', { body: { coins: ['sim-00201'] }, headers });
    expect(other.status).to.equal(422);
  });

  it('answers a poll with 304 until something changes', async () => {
    const id = await submit('/crypto/bulk', { coins: ['sim-00300'] });
    await user.jobEnd(id);
    const full = await user.call('GET', `/jobs/${id}`);
    const etag = full.headers.get('etag');
    expect(etag).to.match(/^"[^"]+"$/);
    const poll = await user.call('GET', `/jobs/${id}`, { headers: { 'if-none-match': etag ?? '' } });
    expect(poll.status).to.equal(304);
  });

  it('streams a job on any API process, and replays it after its end', async () => {
    stack.market.setLatency(300);
    const id = await submit('/crypto/bulk', { coins: ['bitcoin', 'sim-00400', 'sim-00401'] });
    const elsewhere = apiClient(stack.apis[1]!.url, user.token);
    const live = await collect(elsewhere, `/jobs/${id}/events`);
    const replayed = await collect(elsewhere, `/jobs/${id}/events`);
    stack.market.setLatency(50);
    expect(live[0]?.event).to.equal('hello');
    expect(live.slice(-2).map(({ event }) => event)).to.deep.equal(['job.completed', 'end']);
    expect(coinsOf(live)).to.have.members(['bitcoin', 'sim-00400', 'sim-00401']);
    expect(replayed.slice(1)).to.deep.equal(live.slice(1));
  });

  it('goes on after the last event that a client has seen', async () => {
    const id = await submit('/crypto/bulk', { coins: ['sim-00500', 'sim-00501', 'sim-00502'] });
    const all = await collect(user, `/jobs/${id}/events`);
    const seen = all[3]!;
    const rest = await collect(user, `/jobs/${id}/events`, seen.id);
    expect(rest[0]?.data.recovered).to.equal(true);
    expect(rest.slice(1)).to.deep.equal(all.slice(4));
  });

  it('says so when the history of a client is gone', async () => {
    const id = await submit('/crypto/bulk', { coins: ['sim-00503'] });
    await user.jobEnd(id);
    const events = await collect(user, `/jobs/${id}/events`, '1-0.0');
    expect(events.map(({ event }) => event)).to.deep.equal(['hello', 'reset', 'job.completed', 'end']);
    expect(events[0]?.data.recovered).to.equal(false);
  });

  it('gives 200 equal requests at once one call and equal answers', async () => {
    const body = { coins: ['sim-00600', 'sim-00601'] };
    const answers = await Promise.all(
      Array.from({ length: 200 }, () =>
        user.call('POST', '/crypto/bulk', { body, headers: { prefer: 'wait=10' } }),
      ),
    );
    expect(new Set(answers.map(({ status }) => status))).to.deep.equal(new Set([200]));
    expect(new Set(answers.map((answer) => JSON.stringify(answer.body?.data.portfolio)))).to.have.property(
      'size',
      1,
    );
    expect(stack.market.calls()).to.have.length(1);
  });

  it('gives 200 readers of one cold coin one call', async () => {
    const answers = await Promise.all(
      Array.from({ length: 200 }, () => user.call('GET', '/crypto/sim-00700')),
    );
    expect(new Set(answers.map(({ status }) => status))).to.deep.equal(new Set([200]));
    expect(stack.market.calls()).to.have.length(1);
  });

  it('cancels one job without touching another that shares its run', async () => {
    stack.market.setLatency(500);
    const body = { coins: ['sim-00800'] };
    const [mine, theirs] = [await submit('/crypto/bulk', body), await submit('/crypto/bulk', body)];
    const cancelled = await user.call('DELETE', `/jobs/${mine}`);
    expect(cancelled.body?.data.state).to.equal('cancelled');
    expect((await user.jobEnd(theirs)).state).to.equal('completed');
    expect((await user.jobEnd(mine)).state).to.equal('cancelled');
    stack.market.setLatency(50);
  });

  it("hides other people's jobs", async () => {
    const id = await submit('/crypto/bulk', { coins: ['bitcoin'] });
    const stranger = await newUser(stack.apis[0]!.url);
    for (const [method, path] of [
      ['GET', `/jobs/${id}`],
      ['DELETE', `/jobs/${id}`],
      ['GET', `/jobs/${id}/events`],
    ] as const) {
      expect((await stranger.call(method, path)).status, `${method} ${path}`).to.equal(404);
    }
  });

  it('refuses the jobs of an account that is gone', async () => {
    const tokens = createTokens({
      secret: stackSecret,
      expiresInSeconds: 60,
      ticketExpiresInSeconds: 60,
      clock: systemClock,
    });
    const nobody = { userId: uuidv7(), role: 'user', generation: 0, sessionId: uuidv7() } as const;
    const ghost = apiClient(stack.apis[0]!.url, tokens.issue(nobody));
    const { status, body } = await ghost.call('POST', '/crypto/bulk', { body: { coins: ['bitcoin'] } });
    expect([status, body?.error?.code]).to.deep.equal([401, 'token_invalid']);
    const { state } = await user.jobEnd(await submit('/crypto/bulk', { coins: ['bitcoin'] }));
    expect(state).to.equal('completed');
  });

  it('ranks popular coins by market capitalisation', async () => {
    const { status, body } = await user.call('GET', '/crypto/popular?limit=10');
    expect(status).to.equal(200);
    const caps = body?.data.map((quote: { market_cap: number }) => quote.market_cap) as number[];
    expect(caps).to.have.length(10);
    expect(caps).to.deep.equal(caps.toSorted((a, b) => b - a));
  });
});

function coinsOf(events: readonly StreamEvent[]): string[] {
  return events.filter(({ event }) => event === 'job.coin').map(({ data }) => data.id as string);
}

async function collect(client: ApiClient, path: string, lastEventId?: string): Promise<StreamEvent[]> {
  const events: StreamEvent[] = [];
  const signal = AbortSignal.timeout(60_000);
  const options = lastEventId === undefined ? { signal } : { signal, lastEventId };
  for await (const event of client.events(path, options)) events.push(event);
  return events;
}
