/** What stands around the routes: request lines as they come off the wire, what the log is told, what the document promises. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import { pino } from 'pino';
import type { OpenApiDocument } from '../../src/platform/http/openapi.ts';
import { startApi, type TestApi } from './support/ports.ts';

const bulk = '/api/v1/crypto/bulk';

interface Line {
  readonly level: number;
  readonly msg: string;
  readonly code?: string;
  readonly path?: string;
}

const levels = pino.levels.values;

describe('the protocol', () => {
  let api: TestApi;
  let lines: Line[];

  beforeEach(async () => {
    lines = [];
    const write = (text: string): void => {
      for (const line of text.trim().split('\n')) lines.push(JSON.parse(line) as Line);
    };
    api = await startApi({ log: pino({ level: 'info' }, { write }) });
  });

  afterEach(async () => {
    await api.close(0);
  });

  /** The answer to a request line that no client library would send. */
  async function send(requestLine: string): Promise<string> {
    const socket = connect(api.port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.write(`${requestLine}\r\nHost: example\r\nConnection: close\r\n\r\n`);
    await once(socket, 'close');
    return text;
  }

  for (const url of ['https://', 'https://?x=1', 'http://[::/', 'http://[::1', 'http://a]/']) {
    it(`refuses the URL ${url} with 400 and lives on`, async () => {
      const text = await send(`GET ${url} HTTP/1.1`);
      expect(text).to.match(/^HTTP\/1\.1 400 /);
      expect(text)
        .to.include('"code":"malformed_request"')
        .and.match(/x-request-id: /i);
      expect((await api.call('GET', '/health/live')).status).to.equal(200);
      expect(lines.filter(({ level }) => level > levels['info']!)).to.deep.equal([]);
    });
  }

  it('takes a URL in absolute form', async () => {
    expect(await send('GET http://example/health/live HTTP/1.1')).to.match(/^HTTP\/1\.1 200 /);
  });

  it('takes a chunked body without bytes for no body', async () => {
    const head = `POST ${bulk} HTTP/1.1\r\nAuthorization: Bearer ${api.token}`;
    const socket = connect(api.port, '127.0.0.1');
    socket.write(
      `${head}\r\nHost: example\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    );
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    expect(chunk.toString())
      .to.match(/^HTTP\/1\.1 422 /)
      .and.include('"field":"coins"');
  });

  it('says how to send a quantity that a JSON number cannot hold, and takes it so', async () => {
    const post = async (quantity: string) =>
      api.call('POST', '/api/v1/crypto/portfolio', {
        body: `{"holdings":[{"coin":"bitcoin","quantity":${quantity}}]}`,
      });
    const refused = await post('12345678901234567.123456789');
    expect(refused.status).to.equal(422);
    expect(await refused.text()).to.include(
      '{"field":"holdings[0].quantity","message":"has more digits than a JSON number can hold; send it as a string"}',
    );
    expect((await post('"12345678901234567.123456789"')).status).to.equal(202);
    const submission = api.clientJobs.submitted.map((each) => each.submission);
    expect(submission).to.deep.equal([
      { currency: 'usd', holdings: [{ asset: 'bitcoin', quantity: '12345678901234567.123456789' }] },
    ]);
  });

  it('warns of a price that cannot be had for now, without a stack', async () => {
    api.quotes.readings.set('x', { assetId: 'x', state: 'rate_limited', quote: undefined });
    expect((await api.call('GET', '/api/v1/crypto/x')).status).to.equal(503);
    const [line, ...more] = lines.filter(({ msg }) => msg !== 'request');
    expect(more).to.deep.equal([]);
    expect(line).to.include({ level: levels['warn'], code: 'rate_limited', path: '/api/v1/crypto/x' });
    expect(line).to.not.have.property('err');
  });

  it('logs a fault of ours as an error', async () => {
    api.quotes.get = () => Promise.reject(new Error('broken'));
    expect((await api.call('GET', '/api/v1/crypto/x')).status).to.equal(500);
    const [line] = lines.filter(({ msg }) => msg !== 'request');
    expect(line).to.include({ level: levels['error'], path: '/api/v1/crypto/x' }).and.have.property('err');
  });

  it('promises the statuses that are sent, under names that tell the version', async () => {
    const { paths } = (await (await api.call('GET', '/openapi.json')).json()) as OpenApiDocument;
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.values(methods).map((operation) => ({ path, ...operation })),
    );
    for (const { path, operationId, responses } of operations) {
      const isProbed = /^\/(health|metrics)/.test(path);
      expect('429' in responses, operationId).to.equal(!isProbed);
      if (/\/(bulk|portfolio|jobs|auth)\b/.test(path)) expect(responses, operationId).to.have.property('503');
    }
    const names = operations.map(({ operationId }) => operationId);
    expect(names).to.include.members(['postApiV1CryptoBulk', 'getApiV1JobsIdEvents', 'getOpenapiJson']);
    expect(new Set(names).size).to.equal(names.length);
  });
});
