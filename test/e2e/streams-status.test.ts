/** How streams begin and end, as EventSources of others take it: a status other than 200 ends them for good. */
import { expect } from 'chai';
import { EventSource } from 'eventsource';
import { createEventSource } from 'eventsource-client';
import { newUser, type ApiClient } from '../support/api-client.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { waitFor } from '../support/wait-for.ts';
import { openFeed, type Feed } from './support/feed.ts';
import { readSse, type SseReader } from './support/sse-reader.ts';

const streamsPerUser = 2;

describe('the status of streams', () => {
  let stack: Stack;
  let feed: Feed;
  let user: ApiClient;
  let prices: string;

  before(async () => {
    // Without a worker nothing is sent but what the test sends.
    stack = await startStack({ workers: 0, environment: { STREAMS_PER_USER: String(streamsPerUser) } });
    feed = await openFeed(stack.redisUrl, stack.redisPrefix);
    prices = `${stack.apis[0]!.url}/api/v1/crypto/stream/prices?coins=bitcoin`;
  });
  after(async () => {
    await feed.close();
    await stack.stop();
  });
  beforeEach(async () => {
    user = await newUser(stack.apis[0]!.url);
  });

  const bearer = (): Record<string, string> => ({ authorization: `Bearer ${user.token}` });
  const ticket = async (): Promise<string> =>
    (await user.call('POST', '/auth/stream-ticket')).body?.data.ticket as string;

  /** As fetch, for clients that shall not wait for as long as they are told. */
  async function hastyFetch(url: string | URL, init?: object) {
    const response = await fetch(url, init);
    const hasten = new TransformStream<string, string>({
      transform: (text, out) => out.enqueue(text.replaceAll(/^retry: \d+$/gm, 'retry: 20')),
    });
    const { status, redirected, headers } = response;
    const body = response.body
      ?.pipeThrough(new TextDecoderStream())
      .pipeThrough(hasten)
      .pipeThrough(new TextEncoderStream());
    return { status, redirected, headers, url: response.url, body: body ?? null };
  }

  async function takeAllStreams(): Promise<SseReader[]> {
    const open = Array.from({ length: streamsPerUser }, () => readSse(prices, { headers: bearer() }));
    const readers = await Promise.all(open);
    await waitFor(() => readers.every((reader) => reader.dataOf('hello').length === 1), {
      what: 'greetings',
    });
    return readers;
  }

  it('is 200, with the headers of an event stream and nothing that holds it back', async () => {
    const reader = await readSse(prices, { headers: { ...bearer(), 'accept-encoding': 'gzip, br' } });
    await waitFor(() => reader.events.length >= 2, { what: 'the snapshot' });
    expect(reader.status).to.equal(200);
    expect(reader.headers).to.include({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    expect(reader.headers).to.not.have.any.keys('content-length', 'content-encoding');
    expect(reader.headers).to.have.property('x-request-id');
    expect(reader.retryMs).to.be.within(1_000, 10_000);
    expect(reader.events.slice(0, 2).map(({ event }) => event)).to.deep.equal(['hello', 'price']);
    reader.cut();
  });

  it('is 200 above a limit too, with the event limit and an end', async () => {
    const open = await takeAllStreams();
    const refused = await readSse(prices, { headers: bearer() });
    await waitFor(() => refused.state === 'clean', { what: 'the end' });
    expect(refused.status).to.equal(200);
    expect(refused.events.map(({ event }) => event)).to.deep.equal(['limit']);
    expect(refused.dataOf('limit')[0]).to.deep.equal({ limit: 'user', retry_ms: refused.retryMs });
    expect(refused.retryMs).to.be.within(5_000, 15_000);
    for (const reader of open) reader.cut();
  });

  it('lets npm eventsource come back until there is room', async () => {
    const open = await takeAllStreams();
    const source = new EventSource(`${prices}&ticket=${await ticket()}`, { fetch: hastyFetch });
    let refusals = 0;
    let isGreeted = false;
    source.addEventListener('limit', () => void (refusals += 1));
    source.addEventListener('hello', () => void (isGreeted = true));
    await waitFor(() => refusals >= 3, { what: 'three refusals' });
    open[0]?.cut();
    await waitFor(() => isGreeted, { what: 'the greeting' });
    source.close();
    open[1]?.cut();
  });

  it('lets eventsource-client come back until there is room', async () => {
    const open = await takeAllStreams();
    const seen: (string | undefined)[] = [];
    const source = createEventSource({
      url: prices,
      headers: bearer(),
      fetch: hastyFetch,
      onMessage: ({ event }) => void seen.push(event),
    });
    await waitFor(() => seen.filter((event) => event === 'limit').length >= 3, { what: 'three refusals' });
    open[0]?.cut();
    await waitFor(() => seen.includes('hello'), { what: 'the greeting' });
    source.close();
    open[1]?.cut();
  });

  it('is 204 once max_updates have been sent, which ends an EventSource for good', async () => {
    const source = new EventSource(`${prices}&max_updates=1&ticket=${await ticket()}`, { fetch: hastyFetch });
    const ends: unknown[] = [];
    let failedWith: number | undefined;
    source.addEventListener('end', ({ data }) => void ends.push(JSON.parse(data as string)));
    source.addEventListener('error', ({ code }) => void (failedWith = code));
    let price = 0;
    await waitFor(
      async () => {
        await feed.publish({ bitcoin: (price += 1) });
        return ends.length > 0;
      },
      { what: 'the end' },
    );
    expect(ends).to.deep.equal([{ reason: 'complete', reconnect: false }]);
    await waitFor(() => source.readyState === EventSource.CLOSED, { what: 'the EventSource to give up' });
    expect(failedWith).to.equal(204);
    expect(ends).to.have.length(1);
  });

  it('is 401 with a bad ticket, before any byte of a stream', async () => {
    for (const bad of ['x', `${await ticket()}x`, user.token, '']) {
      const response = await fetch(`${prices}&ticket=${bad}`);
      expect(response.status, bad).to.equal(401);
      expect(response.headers.get('content-type')).to.include('application/json');
      expect(await response.text()).to.not.match(/^(event|data|retry|id):/m);
    }
    const source = new EventSource(`${prices}&ticket=x`);
    await waitFor(() => source.readyState === EventSource.CLOSED, { what: 'the EventSource to give up' });
  });
});
