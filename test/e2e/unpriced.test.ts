import { createServer, type Server } from 'node:http';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { freePort } from '../../embedded/free-port.ts';
import { createRedisKeys } from '../../src/platform/redis/keys.ts';
import { newUser, type ApiClient } from '../support/api-client.ts';
import { openSocket } from '../support/socket-client.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';
import { readSse } from './support/sse-reader.ts';

/** Passes calls on to a market, and takes the price out of the rows of some coins. */
interface BudgetedLimiter {
  readonly url: string;
  readonly unpriced: Set<string>;
  pass(to: string): void;
  close(): void;
}

async function startGate(): Promise<BudgetedLimiter> {
  const unpriced = new Set<string>();
  let target = '';
  const server: Server = createServer((request, response) => {
    fetch(target + (request.url ?? '').replace('/api/v3', ''))
      .then(async (answer) => {
        let text = await answer.text();
        if (answer.ok && request.url?.startsWith('/api/v3/coins/markets') === true) {
          const rows = JSON.parse(text) as { id: string }[];
          const empty = { current_price: null, market_cap: null, total_volume: null };
          text = JSON.stringify(rows.map((row) => (unpriced.has(row.id) ? { ...row, ...empty } : row)));
        }
        response.writeHead(answer.status, { 'content-type': 'application/json' }).end(text);
      })
      .catch(() => response.destroy());
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${port}/api/v3`,
    unpriced,
    pass: (to) => void (target = to),
    close: () => void server.close(),
  };
}

const reason = 'the price source has no price for this asset';
const quiet = 'dogecoin';
const unpriced = { id: quiet, price: null, state: 'unpriced', reason };
const freshMs = 5_000;

describe('a coin that the source lists without a price', function () {
  this.timeout(180_000);
  let limiter: BudgetedLimiter;
  let stack: Stack;
  let user: ApiClient;

  before(async () => {
    limiter = await startGate();
    limiter.unpriced.add(quiet);
    stack = await startStack({
      providerUrl: limiter.url,
      market: { callsPerMinute: 1_000 },
      environment: { QUOTE_TTL: `${freshMs / 1_000}s`, UPSTREAM_CALLS_PER_MINUTE: '1000' },
    });
    limiter.pass(stack.market.url);
    user = await newUser(stack.apis[0]!.url);
  });
  after(async () => {
    await stack.stop();
    limiter.close();
  });

  const v3 = async (path: string) => {
    const response = await fetch(`${stack.apis[0]!.url}/api/v3${path}`, {
      headers: { authorization: `Bearer ${user.token}` },
    });
    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers of every shape
    const body = (await response.json()) as any;
    return { status: response.status, state: response.headers.get('x-pricepool-state'), body };
  };

  it('is 200 with no price and why, and is asked for again as a stale quote is', async () => {
    const first = await user.call('GET', `/crypto/${quiet}`);
    expect([first.status, first.body?.data]).to.deep.equal([200, unpriced]);
    const calls = stack.market.callCount();
    expect((await user.call('GET', `/crypto/${quiet}`)).body?.data).to.deep.equal(unpriced);
    expect(stack.market.callCount(), 'held').to.equal(calls);
    await waitFor(
      async () => {
        const { status, body } = await user.call('GET', `/crypto/${quiet}`);
        expect([status, body?.data]).to.deep.equal([200, unpriced]);
        return stack.market.callCount() > calls;
      },
      { what: 'another call' },
    );
  });

  it('settles a job at once, is missing from a value, and refuses alerts', async () => {
    const begun = Date.now();
    const holdings = [
      { coin: 'bitcoin', quantity: '1' },
      { coin: quiet, quantity: '5' },
    ];
    const { body } = await user.call('POST', '/crypto/portfolio', { body: { holdings } });
    const job = await user.jobEnd(body?.data.id as string);
    expect(job.finished_at).to.be.a('string');
    expect(Date.parse(job.finished_at as string) - begun, 'not at its deadline').to.be.below(30_000);
    expect(job.result).to.deep.include({ complete: false, missing: [quiet], success_count: 1 });
    expect(job.result.portfolio[1]).to.deep.equal({ ...unpriced, quantity: '5', value: null });
    expect(job.result.total_value).to.equal(job.result.portfolio[0].value);

    const made = await user.call('POST', '/portfolios', { body: { name: 'quiet' } });
    const portfolio = `/portfolios/${made.body?.data.id as string}`;
    const transaction = {
      type: 'buy',
      executed_at: '2026-01-31T09:30:00Z',
      received: { asset: quiet, quantity: '2' },
      value: '10',
    };
    expect((await user.call('POST', `${portfolio}/transactions`, { body: transaction })).status).to.equal(
      201,
    );
    const valuation = await user.call('GET', `${portfolio}/valuation`);
    expect(valuation.body?.data).to.deep.include({ state: 'partial', missing: [quiet], market_value: null });

    const alert = { kind: 'price', coin: quiet, direction: 'above', threshold: '1' };
    const refused = await user.call('POST', '/alerts', { body: alert });
    expect([refused.status, refused.body?.error?.fields]).to.deep.equal([
      422,
      [{ field: 'coin', message: 'has no price in usd at the price source, so that no alert could fire' }],
    ]);
  });

  it('leaves the pages of the ranking fresh, with nulls on v3', async () => {
    const page = await waitFor(
      async () => {
        const found = await v3('/coins/markets?vs_currency=usd&per_page=250');
        expect(found.state).to.equal('fresh');
        return found;
      },
      { what: 'a fresh page' },
    );
    const row = page.body.find(({ id }: { id: string }) => id === quiet);
    expect(row).to.include({ current_price: null, market_cap: null, total_volume: null });
    const named = await v3(`/coins/markets?vs_currency=usd&ids=${quiet},bitcoin`);
    expect(named.body.map(({ id }: { id: string }) => id)).to.have.members(['bitcoin', quiet]);
    const simple = await v3(`/simple/price?ids=${quiet}&vs_currencies=usd`);
    expect([simple.status, simple.body]).to.deep.equal([200, { [quiet]: {} }]);
    const popular = await user.call('GET', '/crypto/popular?limit=250');
    const rows = popular.body?.data as { id: string; price?: number | null }[];
    expect(rows.find(({ id }) => id === quiet)).to.deep.equal(unpriced);
  });

  it('is told on streams, and its price as soon as there is one; nothing that is stored takes it for 0', async () => {
    const url = stack.apis[0]!.url;
    const reader = await readSse(`${url}/api/v1/crypto/stream/prices?coins=${quiet}`, {
      headers: { authorization: `Bearer ${user.token}` },
    });
    const socket = await openSocket(url, { token: user.token });
    await socket.ask({ action: 'subscribe', coins: [quiet] });
    const reported = (): unknown[] => reader.dataOf('price').flat();
    const heard = (): unknown[] =>
      socket.messages.flatMap((each) => (each.type === 'price' ? (each.data as unknown[]) : []));
    await waitFor(() => reported().length > 0 && heard().length > 0, { what: 'both to be told' });
    expect([reported()[0], heard()[0]]).to.deep.equal([unpriced, unpriced]);

    const redis = new Redis(stack.redisUrl);
    const keys = createRedisKeys(stack.redisPrefix);
    expect(await redis.get(`${keys.quotes}usd:${quiet}`), 'no quote').to.equal(null);
    redis.disconnect();

    limiter.unpriced.clear();
    const isPriced = (row: unknown): boolean => ((row as { price: number | null }).price ?? 0) > 0;
    await waitFor(() => reported().some(isPriced) && heard().some(isPriced), { what: 'the price' });
    await waitFor(async () => (await user.call('GET', `/crypto/${quiet}`)).body?.data.state === 'fresh', {
      what: 'a fresh quote',
    });

    // The source has lost it again: the last price stays, as stale, and the page shows what the source says.
    limiter.unpriced.add(quiet);
    reader.cut();
    socket.ws.terminate();
    await waitFor(
      async () => {
        const { body } = await user.call('GET', `/crypto/${quiet}`);
        return body?.data.state === 'stale' && body.data.price > 0 && body.data.error.message === reason;
      },
      { what: 'the last price' },
    );
    await waitFor(
      async () => {
        const { state, body } = await v3('/coins/markets?vs_currency=usd&per_page=250');
        const row = body.find(({ id }: { id: string }) => id === quiet);
        return state === 'fresh' && row.current_price === null;
      },
      { what: 'a fresh page without it' },
    );
  });
});
