import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { expect } from 'chai';
import { createPricepoolClient } from '../../client/pricepool-client.ts';
import { PricepoolError } from '../../client/pricepool-error.ts';
import { SseParser, type SseMessage } from '../../client/sse-parser.ts';
import type { JobEvent } from '../../client/types.ts';
import { freePort } from '../../embedded/free-port.ts';

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
    answers = [
      json(404, { success: false, error: { code: 'job_not_found', detail: 'There is no such job' } }),
    ];
    const missing = await failureOf(follow());
    expect(missing).to.include({ status: 404, code: 'job_not_found', message: 'There is no such job' });
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

  describe('its reader of event streams', () => {
    const text =
      ': comment\r\nevent: a\rdata: one\ndata:two\r\n\r\nid: 1\ndata\n\nretry: 250\nretry: x\n\ndata: ü€😀\nid: 2\n\nevent: lost\n\n';
    const expected: SseMessage[] = [
      { event: 'a', data: 'one\ntwo', id: undefined },
      { event: 'message', data: '', id: '1' },
      { event: 'message', data: 'ü€😀', id: '2' },
    ];

    function parse(pieces: readonly string[]): { messages: SseMessage[]; retries: number[] } {
      const messages: SseMessage[] = [];
      const retries: number[] = [];
      const parser = new SseParser({
        onMessage: (message) => messages.push(message),
        onRetry: (ms) => retries.push(ms),
      });
      for (const piece of pieces) parser.push(piece);
      return { messages, retries };
    }

    it('gives the same messages wherever the text is cut', () => {
      for (let cut = 0; cut <= text.length; cut += 1) {
        const parsed = parse([text.slice(0, cut), '', text.slice(cut)]);
        expect(parsed, `cut at ${cut}`).to.deep.equal({ messages: expected, retries: [250] });
      }
      expect(parse(text.split('')).messages, 'one by one').to.deep.equal(expected);
    });

    it('refuses to hold an endless event', () => {
      const line = `data: ${'x'.repeat(1_048_576)}\n`;
      expect(() => parse(Array.from({ length: 5 }, () => line))).to.throw(RangeError);
    });
  });
});
