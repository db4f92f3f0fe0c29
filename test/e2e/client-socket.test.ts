/** The client's WebSocket, against real processes. */
import { expect } from 'chai';
import { WebSocket } from 'ws';
import { openLiveSocket, type LiveSocket, type LiveSocketOptions } from '../../client/live-socket.ts';
import { createPricepoolClient, type PricepoolClient } from '../../client/pricepool-client.ts';
import { PricepoolError } from '../../client/pricepool-error.ts';
import type { Quote } from '../../client/types.ts';
import { becomeNewUser } from '../../embedded/terminal-user.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';

interface Seen {
  readonly type: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- data of every event
  readonly data: any;
  readonly id: string | undefined;
}

describe('the WebSocket of the client', () => {
  let stack: Stack;
  let url: string;
  let client: PricepoolClient;
  let token: string;
  let socket: LiveSocket;
  let seen: Seen[];
  let ends: string[];
  let lost: string[];

  before(async function () {
    this.timeout(120_000);
    const environment = {
      STREAM_RENEW_AFTER: '1s',
      QUOTE_TTL: '2s',
      UPSTREAM_CALLS_PER_MINUTE: '1000',
    };
    stack = await startStack({ environment, market: { callsPerMinute: 1_000 } });
    url = stack.apis[0]!.url;
  });
  after(() => stack.stop());

  beforeEach(async () => {
    client = createPricepoolClient({ baseUrl: url, onTokens: (tokens) => (token = tokens.token) });
    await becomeNewUser(client, 'socket');
    seen = [];
    ends = [];
    lost = [];
    open({ credential: () => ({ token }) });
  });
  afterEach(() => socket.close());

  function open(options: Partial<LiveSocketOptions> & Pick<LiveSocketOptions, 'credential'>): void {
    socket = openLiveSocket(url, {
      WebSocket,
      onEnd: (reason) => ends.push(reason),
      onLost: (subscription) => lost.push(JSON.stringify(subscription)),
      ...options,
    });
    for (const type of ['hello', 'price', 'job.progress', 'job.coin', 'job.completed'])
      socket.onEvent(type, (data, id) => seen.push({ type, data, id }));
  }
  const named = (type: string): Seen[] => seen.filter((event) => event.type === type);
  const pricesOf = (coin: string, since = 0): Quote[] =>
    seen
      .slice(since)
      .filter(({ type }) => type === 'price')
      .flatMap(({ data }) => (data as Quote[]).filter(({ id, price }) => id === coin && price > 0));

  it('gives prices, tells refusals apart, and stops what is unsubscribed', async () => {
    expect(await socket.subscribe({ coins: ['bitcoin', 'ethereum'] })).to.deep.equal({ coins: 2, jobs: 0 });
    const [refused] = await Promise.all([
      socket.subscribe({ coins: ['bitcoin'], currency: 'nonsense!' }).catch((error: unknown) => error),
      socket.ping(),
      socket.ping(),
    ]);
    expect(refused).to.be.instanceOf(PricepoolError);
    expect((refused as PricepoolError).fields.map(({ field }) => field)).to.deep.equal(['currency']);
    await waitFor(() => pricesOf('bitcoin').length > 1 && pricesOf('ethereum').length > 1, {
      what: 'prices',
    });
    expect(await socket.unsubscribe({ coins: ['ethereum'] })).to.deep.equal({ coins: 1, jobs: 0 });
    const from = seen.length;
    await waitFor(() => pricesOf('bitcoin', from).length > 1, { what: 'prices of the other' });
    expect(pricesOf('ethereum', from)).to.deep.equal([]);
  });

  it('is subscribed to the same after restarts, and misses no event of a job', async function () {
    this.timeout(120_000);
    await socket.subscribe({ coins: ['bitcoin'], currency: 'eur' });
    await waitFor(() => pricesOf('bitcoin').length > 0, { what: 'a price' });
    stack.market.setLatency(3_000);
    const { id: job } = await client.submitBulk({ coins: ['monero', 'zcash', 'okb', 'kaspa'] });
    await socket.subscribe({ jobs: [job] });
    await stack.restartApi(stack.apis[0]!, 'SIGTERM');
    stack.market.setLatency(20);
    await waitFor(() => named('job.completed').length > 0, { what: 'the end of the job', timeoutMs: 60_000 });
    const coins = named('job.coin').map(({ data }) => data.id as string);
    expect(coins.toSorted()).to.deep.equal(['kaspa', 'monero', 'okb', 'zcash']);
    expect(
      new Set(seen.flatMap(({ id, type }) => (type.startsWith('job.') && id ? [id] : []))).size,
    ).to.equal(seen.filter(({ id, type }) => type.startsWith('job.') && id !== undefined).length);

    const from = seen.length;
    await stack.restartApi(stack.apis[0]!, 'SIGKILL');
    await waitFor(() => pricesOf('bitcoin', from).length > 1, { what: 'prices again', timeoutMs: 60_000 });
    expect(pricesOf('bitcoin', from).every(({ currency }) => currency === 'eur')).to.equal(true);
    expect([ends, lost]).to.deep.equal([[], []]);
  });

  it('opens with a ticket, and gives up without a credential that is good', async () => {
    socket.close();
    const { ticket } = await client.streamTicket();
    open({ credential: () => ({ ticket }) });
    await socket.ping();
    socket.close();
    ends = [];
    open({ credential: () => ({ token: 'nonsense' }), maxFailures: 2, timeoutMs: 10_000 });
    const error = await socket.ping().catch((reason: unknown) => reason);
    expect(error).to.include({ status: 0, code: 'connection_lost' });
    expect(ends).to.deep.equal(['gave_up']);
  });

  it('ends for good with the session', async () => {
    await socket.subscribe({ coins: ['bitcoin'] });
    await client.logout();
    await waitFor(() => ends.length > 0, { what: 'the end' });
    expect(ends).to.deep.equal(['revoked']);
    expect(await socket.ping().catch((reason: unknown) => reason)).to.include({ code: 'connection_lost' });
  });
});
