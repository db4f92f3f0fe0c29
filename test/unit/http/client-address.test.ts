import type { IncomingMessage } from 'node:http';
import { expect } from 'chai';
import { createClientAddress } from '../../../src/platform/http/client-address.ts';

const request = (remoteAddress: string | undefined, forwarded?: string): IncomingMessage =>
  ({
    headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
    socket: { remoteAddress },
  }) as unknown as IncomingMessage;

describe('the address of a client', () => {
  const direct = createClientAddress({ trustedProxies: [] });
  const proxied = createClientAddress({ trustedProxies: ['loopback', '10.0.0.0/8', '2001:db8::/32'] });

  it('is that of the connection when no proxy is trusted, whatever the client claims', () => {
    expect(direct(request('203.0.113.9', '192.0.2.1'))).to.equal('203.0.113.9');
    expect(direct(request('::ffff:203.0.113.9'))).to.equal('203.0.113.9');
  });

  it('is that of the connection when it comes from no trusted proxy', () => {
    expect(proxied(request('203.0.113.9', '192.0.2.1'))).to.equal('203.0.113.9');
  });

  for (const [connection, forwarded, client] of [
    ['127.0.0.1', '192.0.2.1', '192.0.2.1'],
    ['::ffff:127.0.0.1', '192.0.2.1', '192.0.2.1'],
    ['::1', '192.0.2.1', '192.0.2.1'],
    ['2001:db8::5', '2001:DEAD::1', '2001:dead::1'],
    ['127.0.0.1', '192.0.2.1, 10.1.1.1', '192.0.2.1'],
    // What the client wrote itself stands on the left.
    ['127.0.0.1', '10.9.9.9, 198.51.100.1, 192.0.2.1', '192.0.2.1'],
    ['127.0.0.1', 'rubbish, 192.0.2.1', '192.0.2.1'],
    ['127.0.0.1', '192.0.2.1:4711', '192.0.2.1'],
    ['127.0.0.1', '[2001:dead::1]:443', '2001:dead::1'],
    ['127.0.0.1', '::ffff:192.0.2.1', '192.0.2.1'],
    // Nobody outside: a proxy asks for itself.
    ['127.0.0.1', '10.1.1.1', '10.1.1.1'],
  ] as const) {
    it(`is ${client} when ${connection} forwards for ${forwarded}`, () => {
      expect(proxied(request(connection, forwarded))).to.equal(client);
    });
  }

  for (const [what, forwarded] of [
    ['a word', 'unknown'],
    ['nothing', ''],
    ['commas', ',,, ,'],
    ['an address and more', '192.0.2.1; drop table'],
    ['a line break', '192.0.2.1\r\nX: y'],
    ['10,000 characters', '1'.repeat(10_000)],
    ['a large number of commas', ','.repeat(16_000)],
  ] as const) {
    it(`is that of the connection when a proxy forwards ${what}`, () => {
      expect(proxied(request('127.0.0.1', forwarded))).to.equal('127.0.0.1');
    });
  }

  it('is found at the right end of a header of 1,000 entries', () => {
    const many = Array.from({ length: 1_000 }, () => '10.1.1.1').join(', ');
    expect(proxied(request('127.0.0.1', `${many}, 192.0.2.1`))).to.equal('192.0.2.1');
    // All of them trusted: some proxy, never what the client wrote at the far left.
    expect(proxied(request('127.0.0.1', `192.0.2.66, ${many}`))).to.equal('10.1.1.1');
  });

  it('is never the rest of an address that the end of a long header has cut', () => {
    const proxy = '2001:db8:1111:2222:3333:4444:5555:6666';
    const proxies = Array.from({ length: 12 }, () => proxy).join(',');
    // The last 512 characters begin behind the 9: what is left of the first entry is an address too.
    const header = `198.51.100.77,${proxies.padStart(512 - '8.51.100.77,'.length)}`;
    expect(proxied(request('127.0.0.1', header))).to.equal(proxy);
    expect(proxied(request('127.0.0.1', header.slice(-512)))).to.equal('8.51.100.77');
  });

  it('is unknown, and no error, when the connection is gone', () => {
    expect(proxied(request(undefined, '192.0.2.1'))).to.equal('0.0.0.0');
  });

  it('refuses a proxy that is no address when it is made', () => {
    expect(() => createClientAddress({ trustedProxies: ['proxy.example'] })).to.throw(TypeError);
  });
});
