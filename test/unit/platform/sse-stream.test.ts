/** What SSE streams have in common, over real connections. */
import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { mock } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { createParser } from 'eventsource-parser';
import { Frame } from '../../../src/platform/realtime/frame.ts';
import { SseStream, type SseRequest } from '../../../src/platform/realtime/sse-stream.ts';
import { StreamRegistry } from '../../../src/platform/realtime/stream-registry.ts';
import { viewer } from '../../support/viewer.ts';
import { waitFor } from '../../support/wait-for.ts';

const start = 1_000_000;
const hours = 3_600_000;

describe('SseStream', () => {
  let server: Server;
  let registry: StreamRegistry;
  let now: number;

  beforeEach(async () => {
    now = start;
    const limits = { perUser: 10, perAddress: 10, inAll: 10 };
    registry = new StreamRegistry({ clock: { now: () => now }, limits, isRevoked: () => false });
    server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(async () => {
    registry.drain();
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  /** A request at both of its ends. */
  async function ask() {
    const received = once(server, 'request') as Promise<[IncomingMessage, ServerResponse]>;
    const requested = get({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, agent: false });
    requested.on('error', () => undefined);
    const [, response] = await received;
    const events: { event: string | undefined; data: string }[] = [];
    let isPaused = false;
    const client = {
      events,
      hasEnded: false,
      cut: () => void requested.destroy(),
      pause: () => void (isPaused = true),
    };
    requested.on('response', (incoming) => {
      if (isPaused) return;
      const parser = createParser({ onEvent: ({ event, data }) => void events.push({ event, data }) });
      incoming.setEncoding('utf8').on('data', (text: string) => parser.feed(text));
      incoming.on('error', () => undefined).on('end', () => (client.hasEnded = incoming.complete));
    });
    return { response, client };
  }

  const streamOf = (response: ServerResponse, more: Partial<SseRequest> = {}): SseStream =>
    new SseStream(
      { viewer, address: '127.0.0.1', response, ...more },
      { registry, now: () => now, heartbeat: () => new Frame({ type: 'heartbeat', data: '{}' }) },
    );

  const namesOf = (events: readonly { event: string | undefined }[]): (string | undefined)[] =>
    events.map(({ event }) => event);

  it('is one of the registry’s until its client goes away', async () => {
    const { response, client } = await ask();
    const stream = streamOf(response);
    let closed = 0;
    stream.onClose(() => (closed += 1));
    stream.hello({});
    await waitFor(() => client.events.length === 1, { what: 'the greeting' });
    expect([registry.size, stream.isOpen]).to.deep.equal([1, true]);
    client.cut();
    await waitFor(() => !stream.isOpen, { what: 'the end' });
    expect([registry.size, closed]).to.deep.equal([0, 1]);
    expect(registry.ended()).to.deep.equal({ client: 1 });
    stream.onClose(() => (closed += 1));
    expect(closed).to.equal(2);
  });

  it('is none of the registry’s when its client has gone before it begins', async () => {
    const { response, client } = await ask();
    client.cut();
    await once(response, 'close');
    const stream = streamOf(response);
    expect([registry.size, stream.isOpen]).to.deep.equal([0, false]);
  });

  it('is none of the registry’s when its client goes away while earlier answers hold its turn up', async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error): void => void warnings.push(warning);
    process.on('warning', warn);
    const streams: SseStream[] = [];
    const roomy = { perUser: 100, perAddress: 100, inAll: 100 };
    registry.drain();
    registry = new StreamRegistry({ clock: { now: () => now }, limits: roomy, isRevoked: () => false });
    server.on('request', (_request, response) => streams.push(streamOf(response)));
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    socket.on('error', () => undefined).write('GET / HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(20));
    await waitFor(() => registry.size === 20, { what: 'the streams' });
    socket.destroy();
    await waitFor(() => registry.size === 0, { what: 'the end of all' });
    expect(streams.filter(({ isOpen }) => isOpen)).to.deep.equal([]);
    process.off('warning', warn);
    expect(warnings.filter(({ name }) => name === 'MaxListenersExceededWarning')).to.deep.equal([]);
  });

  it('ends cleanly, after all that was written, and tells why', async () => {
    const { response, client } = await ask();
    const stream = streamOf(response);
    for (let n = 0; n < 200; n += 1) stream.write(new Frame({ type: 'price', data: 'x'.repeat(5_000) }));
    stream.end('complete');
    stream.end('fault');
    stream.write(new Frame({ type: 'price', data: 'late' }));
    await waitFor(() => client.hasEnded, { what: 'the end' });
    expect(client.events).to.have.length(201);
    expect(client.events.at(-1)).to.deep.equal({
      event: 'end',
      data: '{"reason":"complete","reconnect":false}',
    });
    expect(registry.ended()).to.deep.equal({ complete: 1 });
  });

  it('holds no connection of a client that does not take the end', async () => {
    const { response, client } = await ask();
    client.pause();
    const stream = streamOf(response);
    const frame = new Frame({ type: 'price', data: 'x'.repeat(1_000_000) });
    const isFull = (): boolean => (response.socket?.writableLength ?? 0) > 100_000;
    await waitFor(() => (isFull() ? true : (stream.write(frame), isFull())), { what: 'a full connection' });
    mock.timers.enable({ apis: ['setTimeout'] });
    stream.end('complete');
    mock.timers.tick(9_999);
    const before = response.destroyed;
    mock.timers.tick(1);
    mock.timers.reset();
    expect([before, response.destroyed]).to.deep.equal([false, true]);
    expect(client.hasEnded).to.equal(false);
  });

  it('asks to be looked at every second when its client is behind', async () => {
    const { response, client } = await ask();
    client.pause();
    const stream = streamOf(response);
    const attended: unknown[] = [];
    registry.attend = (each) => void attended.push(each);
    const frame = new Frame({ type: 'price', data: 'x'.repeat(32_768) });
    while (stream.pace() === 'ready') {
      stream.write(frame);
      await turn();
    }
    expect(stream.isOpen).to.equal(true);
    expect(attended).to.have.members([stream]);
    client.cut();
  });

  it('sends a new ticket after half of the life of one, again and again', async () => {
    const { response, client } = await ask();
    let tickets = 0;
    const stream = streamOf(response, {
      renewTicket: () => ({ ticket: `ticket-${(tickets += 1)}`, expiresInSeconds: 60 }),
    });
    const sent = (): number => client.events.filter(({ event }) => event === 'ticket').length;
    for (const [second, expected] of [
      [29, 0],
      [30, 1],
      [31, 1],
      [59, 1],
      [60, 2],
    ] as const) {
      stream.poll(start + second * 1_000);
      await waitFor(() => sent() === expected, { what: `${expected} tickets at second ${second}` });
    }
    const [first, second] = client.events.map(({ data }) => JSON.parse(data));
    expect(first).to.have.property('expires_in', 60);
    expect(first.ticket).to.not.equal(second.ticket);
  });

  it('gives a sign of life after a quarter minute in which it wrote nothing', async () => {
    const { response, client } = await ask();
    const stream = streamOf(response);
    const price = new Frame({ type: 'price', data: '[]' });
    for (let second = 5; second <= 60; second += 5) {
      if (second === 25) stream.write(price);
      stream.poll(start + second * 1_000);
    }
    await waitFor(() => client.events.length === 4, { what: 'the events' });
    expect(namesOf(client.events)).to.deep.equal(['heartbeat', 'price', 'heartbeat', 'heartbeat']);
  });

  it('ends after twelve hours with the advice to come back', async () => {
    const { response, client } = await ask();
    const stream = streamOf(response);
    stream.poll(start + 12 * hours - 1);
    stream.poll(start + 12 * hours);
    await waitFor(() => client.hasEnded, { what: 'the end' });
    expect(namesOf(client.events)).to.deep.equal(['end']);
    expect(JSON.parse(client.events[0]!.data)).to.include({ reason: 'expired', reconnect: true });
  });
});
