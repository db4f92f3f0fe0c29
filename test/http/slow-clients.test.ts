/** Clients that take their time, send too much or send no HTTP. They get a problem like everybody, and then lose the connection. */
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { connect, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { listen, type Listening } from '../../src/platform/http/listen.ts';
import { waitFor } from '../support/wait-for.ts';

const deadlines = { requestMs: 400, headersMs: 200, pollIntervalMs: 20 };

interface Problem {
  readonly success: boolean;
  readonly error: { readonly code: string };
  readonly request_id: string;
}

describe('clients that do not get done', () => {
  let listening: Listening;
  let answer: RequestListener;
  let requested: number;

  beforeEach(async () => {
    requested = 0;
    answer = (_request, response) => response.end('whole');
    const callback = (): RequestListener => (request, response) => {
      requested += 1;
      answer(request, response);
    };
    listening = await listen({ callback }, { host: '127.0.0.1', port: 0 }, deadlines);
  });

  afterEach(() => listening.close(0));

  interface Client {
    readonly socket: Socket;
    /** All that came, once the server has ended the connection. */
    readonly answered: Promise<string>;
  }

  /** `allowHalfOpen`: goes on sending when the server has said its last. */
  function client({ allowHalfOpen = false } = {}): Client {
    const socket = connect({ port: listening.port, host: '127.0.0.1', allowHalfOpen });
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    // A connection that is cut while it is written to ends with an error; what came before it counts.
    socket.on('error', () => undefined);
    const answered = new Promise<string>((resolve) => {
      socket.once('close', () => resolve(text));
    });
    return { socket, answered };
  }

  function expectProblem(text: string, status: number, code: string): void {
    const [head = '', body = ''] = text.split('\r\n\r\n');
    expect(head).to.match(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(head)
      .to.match(/^Connection: close$/m)
      .and.match(/^Content-Type: application\/json/m);
    const problem = JSON.parse(body) as Problem;
    expect(problem).to.have.all.keys('success', 'message', 'error', 'request_id');
    expect(problem.success).to.equal(false);
    expect(problem.error).to.have.all.keys('code', 'detail');
    expect(problem.error.code).to.equal(code);
    expect(head).to.include(`X-Request-Id: ${problem.request_id}`);
  }

  const isAlive = async () => (await fetch(`http://127.0.0.1:${listening.port}`)).status;

  it('cuts headers that come one byte at a time', async () => {
    const { socket, answered } = client();
    const bytes = `GET / HTTP/1.1\r\nHost: example\r\nX-Slow: ${'a'.repeat(10_000)}`;
    let sent = 0;
    const dribble = setInterval(() => {
      socket.write(bytes[sent] ?? 'a');
      sent += 1;
    }, 10);
    const text = await answered;
    clearInterval(dribble);
    expectProblem(text, 408, 'request_timeout');
    expect(requested).to.equal(0);
  });

  it('cuts a connection on which nothing is said', async () => {
    const { answered } = client();
    expectProblem(await answered, 408, 'request_timeout');
  });

  it('cuts a body that never comes', async () => {
    let aborted = false;
    answer = (request) => {
      request.on('error', () => (aborted = true)).resume();
    };
    const { socket, answered } = client();
    socket.write('POST / HTTP/1.1\r\nHost: example\r\nContent-Length: 100\r\n\r\n{');
    expectProblem(await answered, 408, 'request_timeout');
    await waitFor(() => aborted, { what: 'the handler to learn that the body will not come' });
    expect(requested).to.equal(1);
  });

  it('lets an answer take longer than a request may', async () => {
    answer = (_request, response) => setTimeout(() => response.end('late'), 600);
    expect(await (await fetch(`http://127.0.0.1:${listening.port}`)).text()).to.equal('late');
  });

  it('refuses headers above 16 KiB', async () => {
    const { socket, answered } = client();
    socket.write(`GET / HTTP/1.1\r\nHost: example\r\nX-Large: ${'a'.repeat(17_000)}\r\n\r\n`);
    expectProblem(await answered, 431, 'headers_too_large');
    expect(requested).to.equal(0);
  });

  it('takes headers just below', async () => {
    const { socket, answered } = client();
    const large = `X-Large: ${'a'.repeat(16_000)}`;
    socket.write(`GET / HTTP/1.1\r\nHost: example\r\nConnection: close\r\n${large}\r\n\r\n`);
    expect(await answered).to.match(/^HTTP\/1\.1 200 /);
  });

  it('lets a client that still sends read its refusal, once, and then ends the connection', async () => {
    const cut: boolean[] = [];
    listening.server.on('clientError', (_error, stream) => cut.push(stream.destroyed));
    const { socket, answered } = client({ allowHalfOpen: true });
    socket.write(`GET / HTTP/1.1\r\nX-Large: ${'a'.repeat(17_000)}\r\n`);
    await once(socket, 'data');
    const flood = setInterval(() => socket.write(`X: ${'a'.repeat(1_000)}\r\n`), 5);
    const text = await answered;
    clearInterval(flood);
    expect(text.match(/HTTP\/1\.1/g)).to.have.length(1);
    expect(cut.length).to.be.at.least(2);
    expect(cut).to.not.include(true);
    expect(await isAlive()).to.equal(200);
  });

  it('cuts a refused client that does not close its end', async () => {
    const socket = connect({ port: listening.port, host: '127.0.0.1', allowHalfOpen: true });
    socket.write('no HTTP\r\n\r\n');
    await once(socket.resume(), 'end');
    const count = promisify(listening.server.getConnections.bind(listening.server));
    expect(await count()).to.equal(1);
    await waitFor(async () => (await count()) === 0, { what: 'the connection to be cut' });
    socket.destroy();
  });

  for (const [what, bytes] of [
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['no HTTP', 'hello\r\n\r\n'],
    ['two lengths', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    [
      'a length and chunks',
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    ],
    ['a header with a line break inside', 'GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n'],
  ] as const) {
    it(`refuses ${what} with 400`, async () => {
      const { socket, answered } = client();
      socket.write(Buffer.from(bytes, 'latin1'));
      expectProblem(await answered, 400, 'malformed_request');
    });
  }

  it('does not write into an answer that is half sent', async () => {
    answer = (_request, response) => response.write('half of it;');
    const { socket, answered } = client();
    socket.write('GET / HTTP/1.1\r\nHost: example\r\n\r\n');
    await once(socket, 'data');
    socket.write('no HTTP\r\n\r\n');
    const text = await answered;
    expect(text).to.include('half of it;').and.not.include('malformed_request');
    expect(await isAlive()).to.equal(200);
  });

  it('answers on a kept connection whose last answer is complete', async () => {
    const { socket, answered } = client();
    socket.write('GET / HTTP/1.1\r\nHost: example\r\n\r\n');
    await once(socket, 'data');
    socket.write('no HTTP\r\n\r\n');
    const text = await answered;
    expect(text.match(/HTTP\/1\.1 200 /g)).to.have.length(1);
    expectProblem(text.slice(text.lastIndexOf('HTTP/1.1')), 400, 'malformed_request');
  });

  it('lives on when a client is gone before it can be refused', async () => {
    for (let each = 0; each < 20; each += 1) {
      const { socket, answered } = client();
      socket.write('no HTTP\r\n\r\n', () => socket.resetAndDestroy());
      await answered;
    }
    expect(await isAlive()).to.equal(200);
  });
});
