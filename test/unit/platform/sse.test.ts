import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import fc from 'fast-check';
import { encodeSse } from '../../../src/platform/realtime/frame.ts';
import { sseHeaders } from '../../../src/platform/realtime/transport.ts';
import { generatedRuns } from '../../support/generated-runs.ts';

function parse(text: string): EventSourceMessage[] {
  const messages: EventSourceMessage[] = [];
  createParser({ onEvent: (message) => messages.push(message) }).feed(text);
  return messages;
}

describe('encodeSse', () => {
  it('comes back from an independent parser as it went in, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), (data) => {
        const [message] = parse(encodeSse({ event: 'tick', id: '1-0.0', data }));
        expect(message).to.deep.equal({
          event: 'tick',
          id: '1-0.0',
          data: data.replaceAll(/\r\n|\r/g, '\n'),
        });
      }),
      { numRuns: generatedRuns(1_000) },
    );
  });

  it('refuses line breaks where they would forge a field', () => {
    for (const bad of ['a\nb', 'a\rb', 'a\0b']) {
      expect(() => encodeSse({ event: bad, data: '' })).to.throw(RangeError);
      expect(() => encodeSse({ event: 'tick', id: bad, data: '' })).to.throw(RangeError);
    }
  });
});

describe('sseHeaders', () => {
  it('leave it to the server to say that the connection ends', async () => {
    const server = createServer((_request, response) => {
      response.setHeader('connection', 'close');
      response.writeHead(200, sseHeaders).end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const requested = get({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
    const [response] = (await once(requested, 'response')) as [IncomingMessage];
    response.resume();
    expect(response.headers.connection).to.equal('close');
    expect(response.headers['content-type']).to.equal('text/event-stream; charset=utf-8');
    server.close();
    await once(server, 'close');
  });
});
