/** Events in the bytes of each transport, judged by parsers of others. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Writable } from 'node:stream';
import { promisify } from 'node:util';
import { createEventBuffer } from 'better-sse';
import { expect } from 'chai';
import { EventSource } from 'eventsource';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import * as ws from 'ws';
import { Frame, textFrame, type StreamEvent } from '../../../src/platform/realtime/frame.ts';
import {
  expectedOf,
  expectedOfAll,
  isForged,
  randomEvents,
  type SeenMessage,
} from '../../support/random-events.ts';

/** In the package, and not in its types. */
const { Receiver } = ws as unknown as { Receiver: new (options: { isServer: boolean }) => Writable };

const encode = (event: StreamEvent): string => new Frame(event).sse.toString();

/** What came of an event that does not arrive as it is. */
type Fault = { readonly event: StreamEvent; readonly seen: readonly SeenMessage[] };

/** Each event is refused with a RangeError because it forges fields, or arrives as one message that equals it. */
function faultsOf(encoder: (event: StreamEvent) => string, events: readonly StreamEvent[]): Fault[] {
  return events.flatMap((event) => {
    let text: string;
    try {
      text = encoder(event);
    } catch (error) {
      return error instanceof RangeError && isForged(event) ? [] : [{ event, seen: [] }];
    }
    const seen = parse(text);
    const isWhole = seen.length === 1 && JSON.stringify(seen[0]) === JSON.stringify(expectedOf(event));
    return isWhole && !isForged(event) ? [] : [{ event, seen }];
  });
}

function parse(text: string): SeenMessage[] {
  const seen: SeenMessage[] = [];
  const onEvent = ({ event = 'message', data, id }: EventSourceMessage) =>
    void seen.push({ type: event, id, data });
  createParser({ onEvent }).feed(text);
  return seen;
}

describe('Frame, for Server-Sent Events', () => {
  it('arrives as it was, or is refused: 10,000 random events through eventsource-parser', () => {
    const events = randomEvents(7, 10_000);
    expect(events.some(isForged)).to.equal(true);
    expect(events.some(({ data }) => data.length >= 1_000_000)).to.equal(true);
    expect(faultsOf(encode, events)).to.have.length(0);
  });

  it('is held to a rule that better-sse does not keep', () => {
    const pushed = ({ type, id, data }: StreamEvent): string =>
      createEventBuffer({ serializer: String })
        .push(data, type, id ?? '')
        .read();
    const faults = faultsOf(pushed, randomEvents(7, 1_000));
    const forged = faults.filter(({ event }) => isForged(event));
    const torn = faults.filter(({ event }) => !isForged(event) && /\n./.test(event.data));
    expect(forged).to.not.have.length(0);
    expect(torn).to.not.have.length(0);
  });

  it('refuses CR, LF and NUL in a name or an id', () => {
    for (const bad of ['\r', '\n', '\r\n', '\0']) {
      expect(() => new Frame({ type: `a${bad}data: forged`, data: '' }).sse).to.throw(RangeError);
      expect(() => new Frame({ type: 'a', id: `1${bad}`, data: '' }).sse).to.throw(RangeError);
    }
  });

  it('survives every way of being cut into pieces', () => {
    const [first, second] = [
      { type: 'a', id: '1', data: 'x\r\ny' },
      { type: 'b', id: '2', data: 'z', comment: 'hb', retryMs: 7 },
    ];
    const text = [first, second].map(encode).join('');
    for (let at = 1; at < text.length; at += 1) {
      const seen: string[] = [];
      const parser = createParser({ onEvent: ({ event, data }) => void seen.push(`${event} ${data}`) });
      parser.feed(text.slice(0, at));
      parser.feed(text.slice(at));
      expect(seen).to.deep.equal(['a x\ny', 'b z']);
    }
  });

  it('is one chunk of HTTP/1.1 with the same bytes', () => {
    for (const event of randomEvents(8, 200, ['price'])) {
      const { sse, chunk } = new Frame(event);
      const end = chunk.indexOf('\r\n');
      expect(Number.parseInt(chunk.subarray(0, end).toString(), 16)).to.equal(sse.length);
      expect(chunk.subarray(end + 2, -2).equals(sse)).to.equal(true);
      expect(chunk.subarray(-2).toString()).to.equal('\r\n');
    }
  });
});

describe('Frame, in EventSources of others', () => {
  const types = ['message', 'price', 'job.progress'];
  const events = randomEvents(9, 1_000, types);
  let server: Server;
  let url: string;

  before(async () => {
    server = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const event of [...events, { type: 'done', data: '' }]) response.write(new Frame(event).sse);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });

  after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  it('arrives as it was in npm eventsource', async () => {
    const seen: SeenMessage[] = [];
    const source = new EventSource(url);
    for (const type of types)
      source.addEventListener(
        type,
        ({ data, lastEventId }) => void seen.push({ type, id: lastEventId, data }),
      );
    await new Promise((resolve) => source.addEventListener('done', resolve));
    source.close();
    // It gives each event its own id alone, where the standard repeats the last one.
    expect(seen).to.deep.equal(events.map((event) => ({ ...expectedOf(event), id: event.id ?? '' })));
  });

  it('arrives as it was in the EventSource of Node', async () => {
    const script = `
      const source = new EventSource(${JSON.stringify(url)});
      const seen = [];
      for (const type of ${JSON.stringify(types)})
        source.addEventListener(type, ({ data, lastEventId }) => seen.push({ type, id: lastEventId, data }));
      source.addEventListener('done', () => { source.close(); process.stdout.write(JSON.stringify(seen)); });
    `;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--experimental-eventsource', '--no-warnings', '-e', script],
      { maxBuffer: 50_000_000, timeout: 15_000 },
    );
    expect(JSON.parse(stdout)).to.deep.equal(expectedOfAll(events));
  });
});

describe('textFrame', () => {
  it('is one text message to the receiver of ws, at every size of its header', async () => {
    for (const length of [0, 1, 125, 126, 127, 65_535, 65_536, 100_000]) {
      const text = `${'ä'.repeat(Math.floor(length / 2))}${length % 2 === 0 ? '' : 'x'}`;
      const receiver = new Receiver({ isServer: false });
      const received = once(receiver, 'message');
      receiver.write(textFrame(text));
      const [message, isBinary] = (await received) as [Buffer, boolean];
      expect(isBinary).to.equal(false);
      expect(message.toString()).to.equal(text);
    }
  });

  it('carries the name, the id and the data of an event as JSON', async () => {
    const receiver = new Receiver({ isServer: false });
    const received = once(receiver, 'message');
    receiver.write(new Frame({ type: 'price', id: 'a"b', data: '[{"id":"bitcoin"}]' }).message);
    const [message] = (await received) as [Buffer];
    expect(JSON.parse(message.toString())).to.deep.equal({
      type: 'price',
      event_id: 'a"b',
      data: [{ id: 'bitcoin' }],
    });
  });
});
