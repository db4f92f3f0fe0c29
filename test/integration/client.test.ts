import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { expect } from 'chai';
import { EventSource } from 'eventsource';
import { openEventSource, type EventSourceLike } from '../../client/browser-stream.ts';
import type { ClientOptions } from '../../client/api-calls.ts';
import { createPricepoolClient } from '../../client/pricepool-client.ts';
import { PricepoolError } from '../../client/pricepool-error.ts';
import type { JobEvent, PriceEvent } from '../../client/types.ts';
import { freePort } from '../../embedded/free-port.ts';
import { waitFor } from '../support/wait-for.ts';

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

const hello = 'retry: 1\n\nevent: hello\ndata: {"job":"j","state":"running","recovered":true}\n\n';
const coin = (id: string, name: string): string =>
  `id: ${id}\nevent: job.coin\ndata: {"job":"j","id":"${name}"}\n\n`;
const completed = (id: string): string =>
  `id: ${id}\nevent: job.completed\ndata: {"job":"j","state":"completed"}\n\n`;

describe('the client', () => {
  let server: Server;
  let url: string;
  let answers: Answer[];
  let requests: IncomingMessage[];

  beforeEach(async () => {
    answers = [];
    requests = [];
    server = createServer((request, response) => {
      requests.push(request);
      const answer = answers.shift();
      if (answer === undefined) response.writeHead(500).end('no answer was prepared');
      else answer(response, request);
    });
    const port = await freePort();
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${port}`;
  });
  afterEach(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  const stream =
    (text: string, end: (response: ServerResponse) => void = (response) => response.end()): Answer =>
    (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(text, () => end(response));
    };
  const json =
    (status: number, body: object, headers: Record<string, string> = {}): Answer =>
    (response) =>
      response
        .writeHead(status, { 'content-type': 'application/json', ...headers })
        .end(JSON.stringify(body));

  async function follow(
    options: { signal?: AbortSignal; silenceMs?: number; maxFailures?: number } = {},
  ): Promise<JobEvent[]> {
    const events: JobEvent[] = [];
    const client = createPricepoolClient({ baseUrl: url, token: 'token' });
    for await (const event of client.jobEvents('j', options)) events.push(event);
    return events;
  }

  const failureOf = async (promise: Promise<unknown>): Promise<PricepoolError> => {
    const error = await promise.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).to.be.instanceOf(PricepoolError);
    return error as PricepoolError;
  };

  it('goes on after the last event when a connection breaks, and ends with the job', async () => {
    answers = [
      stream(hello + coin('5-0.0', 'bitcoin') + coin('5-0.1', 'solana'), (response) => response.destroy()),
      stream(hello + coin('6-0.0', 'cardano')),
      stream(hello + completed('7-0.0'), () => undefined),
    ];
    const events = await follow();
    expect(events.map(({ type, id }) => `${type} ${id ?? ''}`.trim())).to.deep.equal([
      'hello',
      'job.coin 5-0.0',
      'job.coin 5-0.1',
      'hello',
      'job.coin 6-0.0',
      'hello',
      'job.completed 7-0.0',
    ]);
    expect(requests.map(({ headers }) => headers['last-event-id'])).to.deep.equal([
      undefined,
      '5-0.1',
      '6-0.0',
    ]);
    expect(requests.map(({ headers }) => headers.authorization)).to.deep.equal(Array(3).fill('Bearer token'));
  });

  it('comes back from a server that cannot serve for the moment', async () => {
    const unavailable = json(503, { success: false, message: 'x' }, { 'retry-after': '1' });
    answers = [stream(hello, (response) => response.destroy()), unavailable, stream(completed('1-0.0'))];
    expect((await follow()).map(({ type }) => type)).to.deep.equal(['hello', 'job.completed']);
  });

  it('takes a silent connection for dead', async () => {
    answers = [stream(hello + coin('1-0.0', 'bitcoin'), () => undefined), stream(completed('2-0.0'))];
    const events = await follow({ silenceMs: 200 });
    expect(events.at(-1)?.type).to.equal('job.completed');
    expect(requests[1]?.headers['last-event-id']).to.equal('1-0.0');
  });

  it('gives up on what will not change, and after too many failures in a row', async () => {
    answers = [json(404, { success: false, error: { code: 'job_not_found', detail: 'Job not found' } })];
    const missing = await failureOf(follow());
    expect(missing).to.include({ status: 404, code: 'job_not_found', message: 'Job not found' });
    expect(requests).to.have.length(1);

    answers = Array.from({ length: 10 }, () => stream(hello));
    expect((await failureOf(follow({ maxFailures: 3 }))).code).to.equal('stream_broken');
    expect(requests).to.have.length(4);
  });

  it('stops when it is told to, and closes the connection', async () => {
    const stop = new AbortController();
    let closed: Promise<unknown> | undefined;
    answers = [
      stream(hello, (response) => {
        closed = once(response, 'close');
        stop.abort(new Error('enough'));
      }),
    ];
    const error: unknown = await follow({ signal: stop.signal }).catch((reason: unknown) => reason);
    expect(error).to.have.property('message', 'enough');
    await closed;
  });

  it('closes the connection when its reader has seen enough', async () => {
    let closed: Promise<unknown> | undefined;
    answers = [stream(hello, (response) => void (closed = once(response, 'close')))];
    const client = createPricepoolClient({ baseUrl: url });
    for await (const event of client.jobEvents('j')) {
      expect(event.type).to.equal('hello');
      break;
    }
    await closed;
  });

  it('logs in, uses the token, and sends idempotency keys', async () => {
    const job = { id: 'j', state: 'queued' };
    answers = [json(200, { data: { token: 'abc', expires_in: 60 } }), json(202, { data: job })];
    const client = createPricepoolClient({ baseUrl: `${url}/` });
    await client.login({ email: 'a@example.com', password: 'secret 1' });
    const submitted = await client.submitBulk({ coins: ['bitcoin'] }, { idempotencyKey: 'k' });
    expect(submitted).to.deep.equal(job);
    expect(requests[0]?.headers.authorization).to.equal(undefined);
    expect(requests[1]).to.include({ method: 'POST', url: '/api/v1/crypto/bulk' });
    expect(requests[1]?.headers).to.include({ authorization: 'Bearer abc', 'idempotency-key': 'k' });
  });

  it('makes an error of whatever is not an answer', async () => {
    const fields = [{ field: 'coins', message: 'must not be empty' }];
    const envelope = {
      message: 'Invalid',
      error: { code: 'invalid', detail: 'coins: must not be empty', fields },
      request_id: 'r1',
    };
    answers = [json(422, envelope), (response) => response.writeHead(502).end('<html>Bad gateway</html>')];
    const client = createPricepoolClient({ baseUrl: url });
    const refused = await failureOf(client.submitBulk({ coins: [] }));
    expect(refused).to.include({ status: 422, code: 'invalid', requestId: 'r1', isTransient: false });
    expect(refused.fields).to.deep.equal(fields);
    expect(await failureOf(client.quote('bitcoin'))).to.include({
      status: 502,
      code: 'unknown',
      isTransient: true,
    });

    const nobody = createPricepoolClient({ baseUrl: `http://127.0.0.1:${await freePort()}` });
    const unreachable = await failureOf(nobody.isReady());
    expect(unreachable).to.include({ status: 0, code: 'unreachable' });
    expect(unreachable.message).to.include('ECONNREFUSED');
  });

  describe('its streams of prices', () => {
    const greeting = 'retry: 1\n\nevent: hello\ndata: {"epoch":"e","seq":1,"coins":["bitcoin"]}\n\n';
    const price = (id: string, value: number): string =>
      `id: ${id}\nevent: price\ndata: [{"id":"bitcoin","price":${value},"state":"fresh"}]\n\n`;
    const last = (name: string, data: object): string => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
    const isOver = last('end', { reason: 'complete', reconnect: false });

    async function watch(
      options: Partial<ClientOptions> = {},
      how: { maxUpdates?: number; silenceMs?: number; signal?: AbortSignal } = {},
    ): Promise<PriceEvent[]> {
      const client = createPricepoolClient({ baseUrl: url, token: 'token', ...options });
      const events: PriceEvent[] = [];
      for await (const event of client.streamPrices({
        coins: ['bitcoin', 'solana'],
        currency: 'eur',
        ...how,
      }))
        events.push(event);
      return events;
    }
    const typesOf = (events: readonly PriceEvent[]): string[] => events.map(({ type }) => type);

    it('ask for what was asked for, and end when the server says so', async () => {
      answers = [stream(greeting + price('e.1', 5) + last('news', {}) + isOver, () => undefined)];
      const events = await watch({ apiKey: 'pp_key', token: undefined as never }, { maxUpdates: 3 });
      expect(typesOf(events)).to.deep.equal(['hello', 'price', 'end']);
      expect(events[1]).to.deep.include({ id: 'e.1', data: [{ id: 'bitcoin', price: 5, state: 'fresh' }] });
      const { pathname, searchParams } = new URL(requests[0]!.url!, url);
      expect(pathname).to.equal('/api/v1/crypto/stream/prices');
      const requested = { coins: 'bitcoin,solana', currency: 'eur', interval: '1', max_updates: '3' };
      expect(Object.fromEntries(searchParams)).to.deep.equal(requested);
      expect(requests[0]?.headers)
        .to.include({ 'x-api-key': 'pp_key' })
        .and.not.have.property('authorization');
    });

    it('come back after drain, limit, an end with reconnect and a cut, and stop at 204', async () => {
      answers = [
        stream(greeting + price('e.1', 5) + last('drain', { retry_ms: 1 })),
        stream(last('limit', { limit: 'user', retry_ms: 1 })),
        stream(greeting + price('e.2', 6) + last('end', { reason: 'expired', reconnect: true, retry_ms: 1 })),
        stream(greeting, (response) => response.destroy()),
        (response) => response.writeHead(204).end(),
      ];
      const types = typesOf(await watch());
      expect(types.filter((type) => type !== 'hello')).to.deep.equal([
        'price',
        'drain',
        'limit',
        'price',
        'end',
      ]);
      const ids = requests.map(({ headers }) => headers['last-event-id']);
      expect(ids).to.deep.equal([undefined, 'e.1', 'e.1', 'e.2', 'e.2']);
    });

    it('wait as long as a server without room asks them to', async () => {
      const pauses: number[] = [];
      const stop = new AbortController();
      answers = [json(429, { message: 'slow down' }, { 'retry-after': '7' })];
      const client = createPricepoolClient({ baseUrl: url, apiKey: 'k' });
      const events = client.streamPrices({
        coins: ['bitcoin'],
        signal: stop.signal,
        onInterruption({ pauseMs }) {
          pauses.push(pauseMs);
          stop.abort(new Error('seen'));
        },
      });
      const error: unknown = await events.next().catch((reason: unknown) => reason);
      expect(error).to.have.property('message', 'seen');
      expect(pauses).to.have.length(1);
      expect(pauses[0]).to.be.within(7_000, 8_750);
    });

    it('take a connection without a byte for dead, but not one whose reader is slow', async () => {
      answers = [
        stream(greeting + price('e.1', 5), () => undefined),
        stream(greeting + price('e.2', 6), (response) => void setTimeout(() => response.end(isOver), 100)),
      ];
      const client = createPricepoolClient({ baseUrl: url });
      const seen: string[] = [];
      for await (const { type } of client.streamPrices({ coins: ['bitcoin'], silenceMs: 150 })) {
        seen.push(type);
        if (requests.length === 2 && type === 'price')
          await new Promise((resolve) => setTimeout(resolve, 400));
      }
      expect(seen).to.deep.equal(['hello', 'price', 'hello', 'price', 'end']);
    });

    it('refresh an expired token once, and go on', async () => {
      const expired = json(401, { error: { code: 'token_expired' } });
      const fresh = json(200, { data: { token: 'new', refresh_token: 'r2', expires_in: 60 } });
      answers = [expired, fresh, stream(greeting + isOver)];
      expect(typesOf(await watch({ refreshToken: 'r1' }))).to.deep.equal(['hello', 'end']);
      const credentials = requests.map(({ headers }) => headers.authorization);
      expect(credentials).to.deep.equal(['Bearer token', undefined, 'Bearer new']);

      answers = [expired, fresh, expired];
      expect((await failureOf(watch({ refreshToken: 'r1' }))).status).to.equal(401);
    });
  });

  it('trades one refresh token once, however many calls find the access token expired', async () => {
    const kept: string[] = [];
    const bodies: string[] = [];
    const byToken: Answer = (response, request) => {
      if (request.url?.endsWith('/auth/refresh') === true) {
        request.on('data', (piece: Buffer) => bodies.push(piece.toString()));
        json(200, { data: { token: 'new', refresh_token: 'r2', expires_in: 60 } })(response, request);
      } else if (request.headers.authorization === 'Bearer new')
        json(200, { data: { price: 1 } })(response, request);
      else json(401, { error: { code: 'token_expired' } })(response, request);
    };
    answers = Array.from({ length: 50 }, () => byToken);
    const onTokens = ({ refresh_token }: { refresh_token: string }): void => void kept.push(refresh_token);
    const client = createPricepoolClient({ baseUrl: url, token: 'old', refreshToken: 'r1', onTokens });
    const quotes = await Promise.all(Array.from({ length: 10 }, () => client.quote('bitcoin')));
    expect(quotes.map((quote) => quote.price)).to.deep.equal(Array(10).fill(1));
    expect(bodies.map((text) => JSON.parse(text))).to.deep.equal([{ refresh_token: 'r1' }]);
    expect(kept).to.deep.equal(['r2']);
  });

  it('uses the token that another call got while its own was on the way', async () => {
    const expired = json(401, { error: { code: 'token_expired' } });
    let late: (() => void) | undefined;
    answers = [
      (response, request) => void (late = () => expired(response, request)),
      expired,
      json(200, { data: { token: 'new', refresh_token: 'r2', expires_in: 60 } }),
      json(200, { data: { price: 1 } }),
      json(200, { data: { price: 2 } }),
    ];
    const client = createPricepoolClient({ baseUrl: url, token: 'old', refreshToken: 'r1' });
    const slow = client.quote('bitcoin');
    await waitFor(() => late !== undefined, { what: 'the first request' });
    expect((await client.quote('bitcoin')).price).to.equal(1);
    late!();
    expect((await slow).price).to.equal(2);
    expect(requests.filter((request) => request.url?.endsWith('/refresh'))).to.have.length(1);
  });

  it('does not use a refresh token again that was refused', async () => {
    const expired = json(401, { error: { code: 'token_expired' } });
    const reused = json(401, { error: { code: 'refresh_reused' } });
    answers = [expired, reused, expired];
    const client = createPricepoolClient({ baseUrl: url, token: 'old', refreshToken: 'r1' });
    expect((await failureOf(client.quote('bitcoin'))).code).to.equal('refresh_reused');
    expect((await failureOf(client.quote('bitcoin'))).code).to.equal('token_expired');
    expect(requests).to.have.length(3);
  });

  describe('its stream over EventSource', () => {
    const opened: string[] = [];
    /** What a browser has, as a package. */
    const Source = class extends EventSource {
      constructor(address: string) {
        super(address);
        opened.push(address);
      }
    } as unknown as new (address: string) => EventSourceLike;

    it('goes on with the newest ticket and the last id when EventSource gives up', async () => {
      opened.length = 0;
      const ticket = 'event: ticket\ndata: {"ticket":"t2","expires_in":60}\n\n';
      const over = 'event: end\ndata: {"reason":"complete","reconnect":false}\n\n';
      const refused = json(401, { error: { code: 'token_expired' } });
      answers = [
        stream(`retry: 1\nid: e.1\nevent: price\ndata: [1]\n\n${ticket}`),
        refused,
        stream(`id: e.2\nevent: price\ndata: [2]\n\n${over}`),
      ];
      const seen: unknown[] = [];
      const ends: string[] = [];
      const live = openEventSource(`${url}/prices?coins=bitcoin`, {
        ticket: 't1',
        EventSource: Source,
        onEnd: (reason) => ends.push(reason),
      });
      live.onEvent('price', (data, id) => seen.push([data, id]));
      await waitFor(() => ends.length > 0, { what: 'the end' });
      live.close();
      expect(seen).to.deep.equal([
        [[1], 'e.1'],
        [[2], 'e.2'],
      ]);
      expect(ends).to.deep.equal(['complete']);
      expect(requests.map((request) => request.url)).to.deep.equal([
        '/prices?coins=bitcoin&ticket=t1',
        '/prices?coins=bitcoin&ticket=t1',
        '/prices?coins=bitcoin&ticket=t2&lastEventId=e.1',
      ]);
      expect(opened).to.have.length(2);
    });

    it('asks for a ticket when the ones it has are refused', async () => {
      opened.length = 0;
      const refused = json(401, { error: { code: 'token_expired' } });
      answers = [refused, refused, stream('retry: 9999\nevent: price\ndata: [3]\n\n', () => undefined)];
      const seen: unknown[] = [];
      const live = openEventSource(`${url}/prices`, {
        ticket: 't1',
        EventSource: Source,
        renewTicket: () => Promise.resolve('t3'),
      });
      live.onEvent('price', (data) => seen.push(data));
      await waitFor(() => seen.length > 0, { what: 'the price' });
      live.close();
      expect(requests.map((request) => request.url)).to.deep.equal([
        '/prices?ticket=t1',
        '/prices?ticket=t1',
        '/prices?ticket=t3',
      ]);
    });
  });
});
