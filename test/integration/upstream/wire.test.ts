/** What happens on the way to a price source: proxies, encodings that nobody asked for, and why nothing arrives. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { pino } from 'pino';
import { Redis } from 'ioredis';
import { freePort } from '../../../embedded/free-port.ts';
import { systemClock } from '../../../src/platform/concurrency/clock.ts';
import { createRedisKeys } from '../../../src/platform/redis/keys.ts';
import { causeOf, createFailureNotes, readLastFailure } from '../../../src/features/upstream/failures.ts';
import { createHttpGet, type HttpGet, type Proxies } from '../../../src/features/upstream/http-get.ts';
import { ProviderError } from '../../../src/features/upstream/provider-errors.ts';
import { flushPrefix, uniquePrefix } from '../../support/redis.ts';
import { services } from '../../support/services.ts';
import { waitFor } from '../../support/wait-for.ts';

const never = new AbortController().signal;
const maxBodyBytes = 100_000;

describe('the wire to a price source', () => {
  const open: HttpGet[] = [];
  const servers: Server[] = [];
  let answer: { readonly headers: Record<string, string>; readonly body: Buffer };
  let url: string;
  /** Hosts that the proxy was asked for. */
  let proxied: string[];
  let proxyUrl: string;
  let proxyStatus: number;

  async function listen(server: Server): Promise<string> {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    servers.push(server);
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  const wire = (proxies?: Partial<Proxies>): HttpGet => {
    const all = proxies && { http: undefined, https: undefined, except: undefined, ...proxies };
    const http = createHttpGet({
      ...{ provider: 'test', timeoutMs: 5_000, maxBodyBytes, headers: {} },
      ...(all === undefined ? {} : { proxies: all }),
    });
    open.push(http);
    return http;
  };
  const failureOf = async (http: HttpGet, to: string): Promise<ProviderError> => {
    const error: unknown = await http.get(to, never).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).to.be.instanceOf(ProviderError);
    return error as ProviderError;
  };

  before(async () => {
    const root = await listen(
      createServer((_request, response) => response.writeHead(200, answer.headers).end(answer.body)),
    );
    url = `${root}/prices`;
    const proxy = createServer((request, response) => {
      // A call over http may come whole instead of through a tunnel.
      proxied.push(new URL(request.url ?? '').host);
      response.writeHead(proxyStatus).end(answer.body);
    });
    proxy.on('connect', (request, socket) => {
      proxied.push(request.url ?? '');
      if (proxyStatus !== 200) return void socket.end(`HTTP/1.1 ${proxyStatus} No\r\n\r\n`);
      const through = connect(Number(new URL(url).port), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        socket.pipe(through).pipe(socket);
      });
      through.on('error', () => socket.destroy());
      socket.on('error', () => through.destroy());
      return undefined;
    });
    proxyUrl = await listen(proxy);
  });
  beforeEach(() => {
    answer = { headers: {}, body: Buffer.from('{"price":1}') };
    proxied = [];
    proxyStatus = 200;
  });
  after(async () => {
    await Promise.all(open.map((http) => http.close()));
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  });

  describe('decodes what comes encoded though nobody asked for it', () => {
    const text = '{"price":61234.5}';
    const encodings: Readonly<Record<string, Buffer>> = {
      gzip: gzipSync(text),
      br: brotliCompressSync(text),
      'gzip, br': brotliCompressSync(gzipSync(text)),
      identity: Buffer.from(text),
    };
    for (const [encoding, body] of Object.entries(encodings)) {
      it(encoding, async () => {
        answer = { headers: { 'content-encoding': encoding }, body };
        expect(await wire().get(url, never)).to.include({ status: 200, text });
      });
    }

    it('refuses what is larger than is allowed when it is decoded', async () => {
      const body = gzipSync(Buffer.alloc(maxBodyBytes + 1, 'x'));
      answer = { headers: { 'content-encoding': 'gzip' }, body };
      const error = await failureOf(wire(), url);
      expect(error.message).to.equal('test sent a body over the size limit');
      expect(causeOf(error)).to.equal('bad_response');
    });

    it('refuses what is not what it says, or what nobody can read', async () => {
      answer = { headers: { 'content-encoding': 'gzip' }, body: Buffer.from(text) };
      expect((await failureOf(wire(), url)).message).to.equal('test sent data that is not gzip');
      answer = { headers: { 'content-encoding': 'pigeon' }, body: Buffer.from(text) };
      expect((await failureOf(wire(), url)).message).to.equal('test sent an unknown encoding (pigeon)');
    });
  });

  describe('goes through the proxy', () => {
    it('that is set, for all but the hosts that are excepted', async () => {
      const http = wire({ http: proxyUrl, except: 'direct.invalid' });
      expect(await http.get('http://source.invalid/prices', never)).to.include({ status: 200 });
      expect(proxied.map((host) => host.replace(/:80$/, ''))).to.deep.equal(['source.invalid']);
      await failureOf(http, 'http://api.direct.invalid/prices');
      expect(proxied).to.have.length(1);
    });

    it('never to a loopback address', async () => {
      expect(await wire({ http: proxyUrl }).get(url, never)).to.include({ status: 200 });
      expect(proxied).to.deep.equal([]);
    });

    it('over https too, and says when the proxy refuses', async () => {
      proxyStatus = 407;
      const error = await failureOf(wire({ https: proxyUrl }), 'https://source.invalid/prices');
      expect(proxied).to.deep.equal(['source.invalid:443']);
      expect(error.evidence).to.include({ code: 'PROXY_407', host: 'source.invalid' });
      expect(causeOf(error)).to.equal('proxy');
    });
  });

  describe('says why nothing came', () => {
    it('no such name', async () => {
      const error = await failureOf(wire(), 'http://source.invalid/prices');
      expect(causeOf(error)).to.equal('dns');
      expect(error.evidence.host).to.equal('source.invalid');
      expect(error.evidence.said).to.include('source.invalid');
    });

    it('no TLS', async () => {
      const error = await failureOf(wire(), url.replace('http:', 'https:'));
      expect(causeOf(error), JSON.stringify(error.evidence)).to.equal('tls');
    });

    it('nobody there', async () => {
      const error = await failureOf(wire(), `http://127.0.0.1:${await freePort()}/prices`);
      expect(causeOf(error)).to.equal('connection');
      expect(error.evidence.code).to.equal('ECONNREFUSED');
    });
  });

  describe('failures of a source', () => {
    const prefix = uniquePrefix();
    const keys = createRedisKeys(prefix);
    let redis: Redis;
    before(async () => (redis = new Redis((await services()).redisUrl)));
    after(async () => {
      await flushPrefix(redis, prefix);
      await redis.quit();
    });

    it('are logged once while they are the same, counted by cause, and the last one is kept', async () => {
      const lines: Record<string, unknown>[] = [];
      const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
      const notes = createFailureNotes({ redis, keys, clock: systemClock, log, name: 'test' });
      expect(await readLastFailure(redis, keys.lastFailure('test'))).to.equal(null);
      const refused = await failureOf(wire(), `http://127.0.0.1:${await freePort()}/prices`);
      const unnamed = await failureOf(wire(), 'http://source.invalid/prices');
      for (const error of [refused, refused, refused, unnamed]) notes.note(error);
      notes.note(new Error('not of the source'));

      expect(lines.map(({ level, cause }) => [level, cause])).to.deep.equal([
        [40, 'connection'],
        [40, 'dns'],
      ]);
      expect(lines[1]).to.include({ provider: 'test', host: 'source.invalid', status: null });
      await waitFor(async () => (await redis.hget(keys.upstreamFailures, 'dns')) === '1', {
        what: 'the count',
      });
      expect(await redis.hgetall(keys.upstreamFailures)).to.deep.equal({ connection: '3', dns: '1' });
      expect(await readLastFailure(redis, keys.lastFailure('test'))).to.include({
        cause: 'dns',
        host: 'source.invalid',
      });
    });
  });
});
