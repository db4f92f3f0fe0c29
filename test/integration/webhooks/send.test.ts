import { expect } from 'chai';
import { getEventListeners } from 'node:events';
import { createServer as createTcpServer, type Server } from 'node:net';
import { messageOf } from '../../../src/domain/errors.ts';
import { createAddressGuard } from '../../../src/features/webhooks/address-guard.ts';
import { createSend, resolveHost, type SendWebhook } from '../../../src/features/webhooks/send.ts';
import { createTargets } from '../../../src/features/webhooks/target.ts';
import type { Attempted } from '../../../src/features/webhooks/verdict.ts';
import { startReceiver, status, type Receiver } from '../../support/receiver.ts';
import { waitFor } from '../../support/wait-for.ts';

type SendDeps = Parameters<typeof createSend>[0];

const guard = createAddressGuard(['127.0.0.1']);
const running = new AbortController().signal;

function sender(different: Partial<SendDeps> = {}): SendWebhook {
  const targets = createTargets({ isHttpAllowed: true, guard });
  return createSend({ guard, targets, resolve: resolveHost, ...different });
}

describe('an attempt to deliver a webhook', () => {
  let receiver: Receiver;

  before(async () => {
    receiver = await startReceiver();
  });
  beforeEach(() => {
    receiver.received.length = 0;
    receiver.answer = status(204);
  });
  after(() => receiver.close());

  const post = (send: SendWebhook, url: string, signal = running): Promise<Attempted> =>
    send({
      url,
      headers: { 'webhook-id': 'x', 'content-type': 'application/json' },
      body: '{"ü":1}',
      signal,
    });

  it('posts the body with its headers to the path and query', async () => {
    const attempted = await post(sender(), `${receiver.url}/in/here?token=a%20b`);
    expect(attempted).to.deep.equal({ status: 204 });
    const [webhook] = receiver.received;
    expect(webhook).to.include({ method: 'POST', path: '/in/here?token=a%20b', body: '{"ü":1}' });
    expect(webhook?.headers).to.include({ 'webhook-id': 'x', 'content-length': '8' });
    expect(webhook?.headers['host']).to.equal(`127.0.0.1:${receiver.port}`);
  });

  for (const code of [301, 302, 303, 307, 308]) {
    it(`does not follow a redirect (${code})`, async () => {
      const other = await startReceiver();
      receiver.answer = status(code, { location: `${other.url}/` });
      try {
        expect(await post(sender(), receiver.url)).to.deep.equal({
          status: code,
          error: `The receiver answered ${code}, and redirects are not followed`,
        });
        expect(other.received).to.have.length(0);
      } finally {
        await other.close();
      }
    });
  }

  it('says when the receiver wants no more, or wants to be left alone for a while', async () => {
    receiver.answer = status(410);
    expect(await post(sender(), receiver.url)).to.include({ status: 410, isHopeless: true });
    receiver.answer = status(503, { 'retry-after': '77' });
    expect(await post(sender(), receiver.url)).to.include({ status: 503, retryAfterMs: 77_000 });
    receiver.answer = status(429, { 'retry-after': '78' });
    expect(await post(sender(), receiver.url)).to.include({ status: 429, retryAfterMs: 78_000 });
    receiver.answer = status(500, { 'retry-after': '77' });
    expect(await post(sender(), receiver.url)).to.include({ status: 500, retryAfterMs: undefined });
  });

  it('cuts off a receiver that takes the request and says nothing', async () => {
    receiver.answer = () => undefined;
    const attempted = await post(sender({ totalMs: 300 }), receiver.url);
    expect(attempted).to.deep.equal({ error: 'There was no answer within 0.3 s' });
  });

  it('cuts off a receiver that sends its head byte by byte', async () => {
    const slow: Server = createTcpServer((socket) => {
      socket.on('error', () => undefined);
      socket.write('HTTP/1.1 200 OK\r\nx: ');
      const drip = setInterval(() => socket.write('x'), 20);
      socket.on('close', () => clearInterval(drip));
    });
    await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve));
    const { port } = slow.address() as { port: number };
    try {
      const attempted = await post(sender({ totalMs: 300 }), `http://127.0.0.1:${port}/`);
      expect(attempted).to.have.property('error', 'There was no answer within 0.3 s');
    } finally {
      slow.close();
    }
  });

  it('does not read a long answer to its end', async () => {
    const part = Buffer.alloc(64 * 1024, 'x');
    let sent = 0;
    let isCut = false;
    receiver.answer = (response) => {
      response.writeHead(200);
      response.on('close', () => (isCut = true));
      const more = (): void => {
        while (!isCut && sent < 200 * 1024 * 1024) {
          sent += part.length;
          if (!response.write(part)) return void response.once('drain', more);
        }
      };
      more();
    };
    expect(await post(sender(), receiver.url)).to.deep.equal({ status: 200 });
    await waitFor(() => isCut, { what: 'the connection to be cut' });
    expect(sent).to.be.lessThan(20 * 1024 * 1024);
  });

  it('counts an answer whose body never ends', async () => {
    receiver.answer = (response) => void response.writeHead(200).write('.');
    expect(await post(sender(), receiver.url)).to.deep.equal({ status: 200 });
  });

  it('tells of a receiver that is not there', async () => {
    const gone = await startReceiver();
    await gone.close();
    expect(await post(sender(), gone.url)).to.deep.equal({ error: 'The connection was refused' });
  });

  it('tells of a receiver that hangs up, and of one whose head is too large', async () => {
    receiver.answer = (response) => response.destroy();
    expect(await post(sender(), receiver.url)).to.deep.equal({ error: 'The connection was lost' });
    receiver.answer = status(200, { 'x-large': 'x'.repeat(20_000) });
    expect(await post(sender(), receiver.url)).to.deep.equal({
      error: 'The response headers were too large',
    });
  });

  it('leaves nothing on the signal of its process, and is not made once that has aborted', async () => {
    const ending = new AbortController();
    await post(sender(), receiver.url, ending.signal);
    expect(getEventListeners(ending.signal, 'abort')).to.deep.equal([]);
    ending.abort(new Error('ending'));
    const before = receiver.received.length;
    expect(await post(sender(), receiver.url, ending.signal).catch(messageOf)).to.equal('ending');
    expect(receiver.received).to.have.length(before);
  });

  it('is none when the process ends meanwhile', async () => {
    const ending = new AbortController();
    receiver.answer = () => ending.abort(new Error('ending'));
    const attempt = post(sender(), receiver.url, ending.signal).then(() => 'attempted', messageOf);
    expect(await attempt).to.equal('ending');
  });

  it('does not believe in TLS without a good certificate', async () => {
    const attempted = await post(sender(), receiver.url.replace('http:', 'https:'));
    expect(attempted.error).to.match(/^The request failed/);
    expect(receiver.received).to.have.length(0);
  });
});

describe('an attempt to deliver a webhook to a name', () => {
  let receiver: Receiver;

  before(async () => {
    receiver = await startReceiver();
  });
  after(() => receiver.close());

  const attempt = (addresses: readonly string[]): Promise<Attempted> =>
    sender({ resolve: () => Promise.resolve(addresses), totalMs: 1_000 })({
      url: `http://hooks.example.com:${receiver.port}/`,
      headers: {},
      body: '{}',
      signal: running,
    });

  it('connects to the address that was looked up, and to no other', async () => {
    expect(await attempt(['127.0.0.1'])).to.deep.equal({ status: 204 });
    expect(receiver.received.at(-1)?.headers['host']).to.equal(`hooks.example.com:${receiver.port}`);
  });

  for (const [what, addresses] of Object.entries({
    'an address of this network': ['192.168.1.7'],
    'one good address and one of this network': ['127.0.0.1', '10.0.0.1'],
    'a mapped address of this network': ['::ffff:169.254.169.254'],
  })) {
    it(`is refused with ${what}, and does not say which`, async () => {
      const before = receiver.received.length;
      expect(await attempt(addresses)).to.deep.equal({
        error: 'The host has an address that is not public',
        isHopeless: true,
      });
      expect(receiver.received).to.have.length(before);
    });
  }

  it('does not fall for a name that means another address a moment later', async () => {
    let requested = 0;
    const resolve = () => Promise.resolve([++requested === 1 ? '127.0.0.1' : '169.254.169.254']);
    const before = receiver.received.length;
    const url = `http://rebind.example.com:${receiver.port}/`;
    const attempted = await sender({ resolve })({ url, headers: {}, body: '{}', signal: running });
    expect(attempted).to.deep.equal({ status: 204 });
    expect(requested).to.equal(1);
    expect(receiver.received).to.have.length(before + 1);
  });

  it('fails when the name has no address', async () => {
    expect(await attempt([])).to.deep.equal({ error: 'The host has no address' });
    const url = `http://hooks.example.com:${receiver.port}/`;
    const send = sender({ resolve: () => Promise.reject(new Error('no name server answers')) });
    expect(await send({ url, headers: {}, body: '{}', signal: running })).to.deep.equal({
      error: 'The host has no address',
    });
  });

  it('is refused when the rules have become stricter since it was stored', async () => {
    const strict = createAddressGuard([]);
    const targets = createTargets({ isHttpAllowed: false, guard: strict });
    const send = createSend({ guard: strict, targets, resolve: resolveHost });
    const attempted = await send({ url: `${receiver.url}/`, headers: {}, body: '{}', signal: running });
    expect(attempted).to.deep.equal({ error: 'The URL must start with https://', isHopeless: true });
  });
});
