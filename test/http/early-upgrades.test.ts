/** Upgrades that a connection or a version of HTTP does not allow, and queries that nobody knows. */
import { connect } from 'node:net';
import { expect } from 'chai';
import { refusedSocket } from '../support/socket-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { startSocketApi, type SocketApi } from './support/socket-api.ts';

const jobPath = '/api/v1/jobs/01934c2a-0000-7000-8000-000000000001';

describe('an upgrade', () => {
  let api: SocketApi;

  beforeEach(async () => {
    api = await startSocketApi();
  });
  afterEach(() => api.close());

  const request = (path: string, more: readonly string[] = [], version = '1.1'): string =>
    [`GET ${path} HTTP/${version}`, 'Host: here', `Authorization: Bearer ${api.token}`, ...more, '', ''].join(
      '\r\n',
    );
  const upgrade = (version?: string, protocol = 'websocket'): string =>
    request(
      '/api/v1/crypto/stream/ws',
      [
        'Connection: Upgrade',
        `Upgrade: ${protocol}`,
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      ],
      version,
    );

  /** Sends bytes as they are; resolves with what came when the connection has ended. */
  function send(bytes: string) {
    const client = { text: '', hasEnded: false };
    const socket = connect(api.port, '127.0.0.1', () => socket.write(bytes));
    socket.on('data', (chunk) => (client.text += String(chunk)));
    socket.on('error', () => undefined).on('close', () => (client.hasEnded = true));
    const ended = () => waitFor(() => client.hasEnded, { what: 'the end of the connection' });
    return { client, socket, ended };
  }

  it('that does not wait for the answer to the request before is refused, whatever it asks for', async () => {
    for (const protocol of ['websocket', 'h2c']) {
      const letGo = api.holdJobs();
      const { client, ended } = send(request(jobPath) + upgrade('1.1', protocol));
      await ended();
      letGo();
      expect(client.text.match(/HTTP\/1\.1 \d+/g)).to.deep.equal(['HTTP/1.1 400']);
      expect(client.text).to.include('"code":"early_upgrade"').and.include('Connection: close');
    }
    expect(api.registry.size).to.equal(0);
  });

  it('does not mix with a stream: the connection is cut', async () => {
    const { client, socket, ended } = send(request('/api/v1/crypto/stream/prices?coins=bitcoin'));
    await waitFor(() => client.text.includes('event: price'), { what: 'the stream' });
    socket.write(upgrade());
    await ended();
    expect(client.text).to.not.include(' 101 ').and.not.include(' 400 ');
    await waitFor(() => api.registry.size === 0, { what: 'the end of the stream' });
  });

  it('is done on a connection whose requests have been answered', async () => {
    const { client, socket } = send(request('/health/live'));
    await waitFor(() => client.text.includes('\r\n\r\n{'), { what: 'the answer' });
    socket.write(upgrade());
    await waitFor(() => client.text.includes(' 101 '), { what: 'the upgrade' });
    socket.destroy();
  });

  it('over HTTP/1.0 is 400', async () => {
    const { client, ended } = send(upgrade('1.0'));
    await ended();
    expect(client.text)
      .to.match(/^HTTP\/1\.1 400 /)
      .and.include('"code":"bad_handshake"');
  });

  it('with a field in its query that nobody knows is 422', async () => {
    const { status, body } = await refusedSocket(api.base, { token: api.token, query: '?coins=bitcoin' });
    expect([status, body.error.code]).to.deep.equal([422, 'validation_failed']);
    expect(body.error.fields).to.deep.equal([{ field: 'query.coins', message: 'is not a known field' }]);
  });
});
