/** Sessions over real processes: two tabs, a lost answer, and a secret that is changed meanwhile. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import { apiClient, type ApiAnswer } from '../support/api-client.ts';
import { stackSecret, startStack, type Stack, type StackProcess } from '../support/stack.ts';
import { newPerson, succeed } from './support/identities.ts';

describe('sessions over several processes', () => {
  let stack: Stack;
  let one: StackProcess;
  let two: StackProcess;

  before(async function () {
    this.timeout(180_000);
    stack = await startStack({ apis: 0, workers: 0 });
    [one, two] = await Promise.all([stack.startApi(), stack.startApi()]);
  });
  after(() => stack.stop());

  const refresh = (at: StackProcess, token: string): Promise<ApiAnswer> =>
    apiClient(at.url).call('POST', '/auth/refresh', { body: { refresh_token: token } });

  it('go on in two tabs that refresh at the same moment', async () => {
    let { refreshToken } = await newPerson(one.url);
    for (let round = 0; round < 10; round++) {
      const tabs = await Promise.all([one, two, one, two].map((at) => refresh(at, refreshToken)));
      expect(tabs.map(({ status }) => status)).to.deep.equal([200, 200, 200, 200]);
      const successors = tabs.map(({ body }) => body?.data.refresh_token as string);
      expect(new Set(successors).size, 'successors').to.equal(1);
      for (const { body } of tabs) await succeed(two.url, body?.data.token as string, ['GET', '/users/me']);
      refreshToken = successors[0]!;
    }
  });

  it('go on after a lost answer, while the secret is changed', async function () {
    this.timeout(180_000);
    const { refreshToken } = await newPerson(one.url);
    await loseAnswer(one, refreshToken);
    const renewed = await stack.startApi({
      JWT_SECRET: 'the secret that comes after that of the stack',
      JWT_SECRET_PREVIOUS: stackSecret,
    });
    const again = await refresh(renewed, refreshToken);
    expect(again.status).to.equal(200);
    await succeed(renewed.url, again.body?.data.token as string, ['GET', '/users/me']);
    const next = await refresh(renewed, again.body?.data.refresh_token as string);
    expect(next.status).to.equal(200);
    expect((await refresh(two, refreshToken)).body?.error?.code, 'a late replay').to.equal('refresh_reused');
  });

  /** Refreshes, and closes the connection at the first byte of the answer. */
  async function loseAnswer({ url }: StackProcess, token: string): Promise<void> {
    const { hostname, port } = new URL(url);
    const body = JSON.stringify({ refresh_token: token });
    const socket = connect(Number(port), hostname);
    socket.write(
      `POST /api/v1/auth/refresh HTTP/1.1\r\nhost: ${hostname}\r\ncontent-type: application/json\r\n` +
        `content-length: ${body.length}\r\n\r\n${body}`,
    );
    await once(socket, 'data');
    socket.destroy();
  }
});
