/** A process that ends sends its clients to the other one, and no event of a job is lost on the way. STREAMS_DRAIN_CLIENTS: how many. */
import { Agent } from 'node:http';
import { expect } from 'chai';
import { sleep } from '../../../src/platform/concurrency/sleep.ts';
import { newUser, type ApiClient } from '../../support/api-client.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';
import { openFeed, type Feed } from '../../e2e/support/feed.ts';
import { readSse, type ReadEvent, type SseReader } from '../../e2e/support/sse-reader.ts';

const clients = Number(process.env.STREAMS_DRAIN_CLIENTS ?? 500);
const followers = clients / 10;

/** Somebody who follows what a stream says when it ends. */
interface Reconnect {
  readonly seen: ReadEvent[];
  first: SseReader;
  second: SseReader | undefined;
}

describe('a process that ends while it has clients', () => {
  let stack: Stack;
  let feed: Feed;
  let user: ApiClient;

  before(async () => {
    const environment = { STREAMS_PER_USER: '10000', STREAMS_PER_ADDRESS: '10000' };
    stack = await startStack({ apis: 2, workers: 0, environment });
    feed = await openFeed(stack.redisUrl, stack.redisPrefix);
    user = await newUser(stack.apis[0]!.url);
  });
  after(async () => {
    await feed.close();
    await stack.stop();
  });

  interface Opening {
    /** Which of the processes. */
    readonly api: number;
    readonly path: string;
    readonly lastEventId?: string | undefined;
    readonly onEvent?: (event: ReadEvent) => void;
  }

  const open = ({ api, path, lastEventId, onEvent }: Opening): Promise<SseReader> =>
    readSse(`${stack.apis[api]!.url}/api/v1${path}`, {
      headers: {
        authorization: `Bearer ${user.token}`,
        ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
      },
      ...(onEvent === undefined ? {} : { onEvent }),
    });

  async function follow(path: string): Promise<Reconnect> {
    const seen: ReadEvent[] = [];
    const onEvent = (event: ReadEvent): void => {
      if (event.id !== undefined) seen.push(event);
    };
    const reconnect: Reconnect = { seen, first: await open({ api: 0, path, onEvent }), second: undefined };
    const comeBack = async (): Promise<void> => {
      await waitFor(() => reconnect.first.state !== 'open', { what: 'the end', timeoutMs: 60_000 });
      await sleep(reconnect.first.retryMs ?? 0);
      reconnect.second = await open({ api: 1, path, lastEventId: seen.at(-1)?.id, onEvent });
    };
    // Who does not come back is missed below.
    comeBack().catch(() => undefined);
    return reconnect;
  }

  async function followAll(paths: readonly string[]): Promise<Reconnect[]> {
    const all: Reconnect[] = [];
    for (let from = 0; from < paths.length; from += 50)
      all.push(...(await Promise.all(paths.slice(from, from + 50).map(follow))));
    await waitFor(() => all.every(({ first }) => first.dataOf('hello').length === 1), {
      what: 'the greetings',
    });
    return all;
  }

  it(`says so to ${clients} clients, which come back on the other and miss nothing`, async () => {
    const { body } = await user.call('POST', '/crypto/bulk', { body: { coins: ['bitcoin'] } });
    const jobId = body?.data.id as string;
    const watching = await followAll(Array(clients - followers).fill('/crypto/stream/prices?coins=bitcoin'));
    const following = await followAll(Array(followers).fill(`/jobs/${jobId}/events`));
    const all = [...watching, ...following];

    let n = 0;
    const over = new AbortController();
    const telling = (async () => {
      while (!over.signal.aborted) {
        await feed.append(jobId, [{ type: 'job.coin', data: { n: (n += 1) } }]);
        await sleep(10);
      }
    })();
    await waitFor(() => following.every(({ seen }) => seen.length > 0), { what: 'the first events' });
    stack.apis[0]!.kill('SIGTERM');
    await waitFor(() => all.every(({ second }) => (second?.dataOf('hello').length ?? 0) > 0), {
      what: 'all to come back',
      timeoutMs: 60_000,
    });
    over.abort();
    await telling;
    // After ten seconds it would have been forced, and its code 2.
    expect(await stack.apis[0]!.exited).to.deep.equal({ code: 0, signal: null });

    expect(all.map(({ first }) => first.state)).to.deep.equal(Array(clients).fill('clean'));
    for (const { first } of all) {
      expect(first.events.at(-1)).to.include({ event: 'drain' });
      expect(first.dataOf('drain')).to.deep.equal([{ retry_ms: first.retryMs }]);
    }
    const buckets = new Map<number, number>();
    for (const { first } of all) {
      const bucket = Math.floor(first.retryMs! / 100);
      buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1);
    }
    expect(Math.max(...buckets.values())).to.be.at.most(clients / 10);

    await waitFor(() => following.every(({ seen }) => seen.at(-1)?.data.n === n), { what: 'the last event' });
    for (const { seen, second } of following) {
      expect(second?.dataOf('hello')[0]).to.include({ recovered: true });
      expect(seen.map(({ data }) => data.n)).to.deep.equal(
        Array.from({ length: n }, (_, index) => index + 1),
      );
    }
    for (const { second } of all) second?.cut();
  }).timeout(120_000);

  it('takes late comers in to send them away: 200, drain and an end', async () => {
    const api = await stack.startApi();
    const path = '/crypto/stream/prices?coins=bitcoin';
    const reader = await open({ api: stack.apis.indexOf(api), path });
    await waitFor(() => reader.dataOf('hello').length === 1, { what: 'the greeting' });
    // A connection that is kept open may bring another request, for a second.
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const url = `${api.url}/api/v1${path}`;
    const headers = { authorization: `Bearer ${user.token}` };
    await readSse(`${api.url}/health`, { agent });
    await waitFor(() => Object.keys(agent.freeSockets).length === 1, { what: 'the connection to be free' });
    api.kill('SIGTERM');
    await waitFor(() => reader.dataOf('drain').length === 1, { what: 'the drain' });
    const late = await readSse(url, { agent, headers });
    await waitFor(() => late.state === 'clean', { what: 'the end' });
    expect(late.status).to.equal(200);
    expect(late.events.map(({ event }) => event)).to.deep.equal(['drain']);
    expect(await api.exited).to.deep.equal({ code: 0, signal: null });
    agent.destroy();
  });
});
