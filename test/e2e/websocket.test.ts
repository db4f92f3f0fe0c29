/** WebSockets through the whole pipeline, over two API processes: who may open them, jobs and prices, and how they end. */
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { createTokens } from '../../src/features/accounts/tokens.ts';
import { startStack, stackSecret, type Stack } from '../support/stack.ts';
import { openSocket, refusedSocket, type SocketRequest, type TestSocket } from '../support/socket-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { logIn, newPerson, succeed, type Person } from './support/identities.ts';

describe('WebSockets', () => {
  let stack: Stack;
  let person: Person;
  let here: string;
  let there: string;

  before(async () => {
    stack = await startStack({
      apis: 2,
      environment: { STREAM_RENEW_AFTER: '1s', UPSTREAM_CALLS_PER_MINUTE: '1000' },
      market: { callsPerMinute: 1_000 },
    });
    [here, there] = stack.apis.map(({ url }) => url) as [string, string];
  });

  after(async () => {
    await stack.stop();
  });

  beforeEach(async () => {
    person = await newPerson(here);
  });

  const ticketFor = async (token: string): Promise<string> =>
    (await succeed(here, token, ['POST', '/auth/stream-ticket'])).ticket as string;

  const keyFor = async (scopes: string[]): Promise<{ id: string; key: string }> => {
    const made = await succeed(here, person.token, ['POST', '/api-keys', { name: 'watcher', scopes }]);
    return { id: made.id as string, key: made.key as string };
  };

  async function greeted(url: string, request: SocketRequest): Promise<TestSocket> {
    const socket = await openSocket(url, request);
    await socket.find('the greeting', ({ type }) => type === 'hello');
    return socket;
  }

  const submit = async (): Promise<string> =>
    (await succeed(here, person.token, ['POST', '/crypto/bulk', { coins: ['bitcoin', 'dogecoin'] }]))
      .id as string;

  describe('open', () => {
    it('with a token, a key or a ticket, in whichever way a client can send it', async () => {
      const { key } = await keyFor(['prices:read']);
      const ticket = await ticketFor(person.token);
      const ways: SocketRequest[] = [
        { token: person.token },
        { token: key },
        { headers: { 'x-api-key': key } },
        { query: `?ticket=${ticket}` },
        { protocols: ['pricepool', `bearer.${person.token}`] },
        { protocols: [`bearer.${key}`] },
      ];
      for (const way of ways) {
        const socket = await greeted(there, way);
        expect(await socket.ask({ action: 'ping' })).to.include({ action: 'pong' });
        socket.ws.terminate();
      }
    });

    it('not with what is forged, expired, for another use, of another scope, or not there', async () => {
      const old = createTokens({
        secret: stackSecret,
        expiresInSeconds: 60,
        ticketExpiresInSeconds: 60,
        clock: { now: () => Date.now() - 7_200_000 },
      });
      const forger = createTokens({
        secret: 'another secret, as long as it has to be',
        expiresInSeconds: 60,
        ticketExpiresInSeconds: 60,
        clock: { now: () => Date.now() },
      });
      const who = { userId: person.id, role: 'user', generation: 0, sessionId: randomUUID() } as const;
      const principal = { ...who, keyId: undefined, scopes: undefined };
      const { key } = await keyFor(['portfolio:read']);
      const ticket = await ticketFor(person.token);
      const refused: [SocketRequest, number, string][] = [
        [{}, 401, 'unauthenticated'],
        [{ token: forger.issue(who) }, 401, 'token_invalid'],
        [{ protocols: ['pricepool', `bearer.${old.issue(who)}`] }, 401, 'token_expired'],
        [{ query: `?ticket=${old.issueTicket(principal)}` }, 401, 'token_expired'],
        [{ query: `?ticket=${person.token}` }, 401, 'token_invalid'],
        [{ token: ticket }, 401, 'token_invalid'],
        [{ protocols: [`bearer.${ticket}`] }, 401, 'token_invalid'],
        [{ token: key }, 403, 'scope_missing'],
        [{ token: person.token, path: '/nowhere' }, 404, 'not_found'],
        [{ token: person.token, headers: { origin: 'https://evil.example' } }, 403, 'origin_not_allowed'],
      ];
      for (const [request, status, code] of refused) {
        const answer = await refusedSocket(here, request);
        expect([answer.status, answer.body.error.code], JSON.stringify(request)).to.deep.equal([
          status,
          code,
        ]);
        expect(answer.headers['connection']).to.equal('close');
      }
    });

    it('within the allowance of a user, as every request does', async () => {
      const strict = await stack.startApi({ RATE_LIMIT_USER: '2' });
      for (let each = 0; each < 2; each++)
        (await greeted(strict.url, { token: person.token })).ws.terminate();
      const refused = await refusedSocket(strict.url, { token: person.token });
      expect([refused.status, refused.body.error.code]).to.deep.equal([429, 'rate_limited']);
      expect(Number(refused.headers['retry-after'])).to.be.within(1, 60);
      expect(refused.headers['ratelimit']).to.match(/^"user";r=0;t=\d+$/);
    });
  });

  describe('tell', () => {
    it('a snapshot, then newer prices as they are observed', async () => {
      const socket = await greeted(here, { token: person.token });
      const coins = ['bitcoin', 'ethereum', 'no-such-coin-here'];
      expect(await socket.ask({ action: 'subscribe', coins })).to.include({ action: 'subscribed', coins: 3 });
      const observations = (): Set<string> =>
        new Set(
          socket.messages
            .filter(({ type }) => type === 'price')
            .flatMap(({ data }) => data)
            .filter(({ id, state }) => id === 'bitcoin' && state === 'fresh')
            .map(({ received_at: at }) => at as string),
        );
      await waitFor(() => observations().size >= 3, { what: 'three observations', timeoutMs: 60_000 });
      const unknown = await socket.find(
        'the unknown coin',
        ({ data }) =>
          Array.isArray(data) &&
          data.some(({ id, state }) => id === 'no-such-coin-here' && state === 'not_found'),
      );
      expect(unknown.type).to.equal('price');
      socket.ws.terminate();
    });

    it('the events of a job to its end, and again from where a client was', async () => {
      const job = await submit();
      const socket = await greeted(there, { token: person.token });
      await socket.ask({ action: 'subscribe', jobs: [job] });
      const end = await socket.find('the end', ({ type }) => type === 'job.completed');
      expect(end.data.job).to.equal(job);
      const events = socket.messages.filter(({ event_id: id }) => id !== undefined);
      expect(events.map(({ type }) => type)).to.include.members(['job.coin', 'job.progress']);
      const [first] = events;
      const again = await greeted(here, { token: person.token });
      await again.ask({ action: 'subscribe', jobs: [job], last_event_ids: { [job]: first.event_id } });
      await again.find('the end', ({ type }) => type === 'job.completed');
      const replayed = again.messages.filter(({ event_id: id }) => id !== undefined);
      expect(replayed).to.deep.equal(events.slice(1));
      expect(again.messages.find(({ data }) => data?.job === job).data.recovered).to.equal(true);
      [socket, again].forEach(({ ws }) => ws.terminate());
    });

    it('nothing of the jobs of others, or to a key that may not follow any', async () => {
      const job = await submit();
      const stranger = await newPerson(here);
      const { key } = await keyFor(['prices:read']);
      const byTicket = await greeted(here, { query: `?ticket=${await ticketFor(stranger.token)}` });
      const byKey = await greeted(here, { token: key });
      const refused = await Promise.all(
        [byTicket, byKey].map((each) => each.ask({ action: 'subscribe', jobs: [job] })),
      );
      expect(refused.map(({ code }) => code)).to.deep.equal(['job_not_found', 'scope_missing']);
      [byTicket, byKey].forEach(({ ws }) => ws.terminate());
    });
  });

  describe('end', () => {
    it('within two seconds of a revocation of session, key or account, in every process, and no others do', async () => {
      const again = await logIn(here, person);
      const { id, key } = await keyFor(['prices:read']);
      const byToken = await greeted(there, { protocols: ['pricepool', `bearer.${person.token}`] });
      const byTicket = await greeted(there, { query: `?ticket=${await ticketFor(person.token)}` });
      const byKey = await greeted(there, { token: key });
      const other = await greeted(there, { token: again.token });
      await succeed(here, person.token, ['POST', '/auth/logout']);
      const revoked = { code: 4001, reason: 'revoked' };
      expect(await byToken.whenClosed(2_000)).to.deep.equal(revoked);
      expect(await byTicket.whenClosed(2_000)).to.deep.equal(revoked);
      expect(byKey.closed() ?? other.closed()).to.equal(undefined);
      await succeed(here, again.token, ['DELETE', `/api-keys/${id}`]);
      expect(await byKey.whenClosed(2_000)).to.deep.equal(revoked);
      expect(other.closed()).to.equal(undefined);
      await succeed(here, again.token, ['DELETE', '/users/me', { current_password: person.password }]);
      expect(await other.whenClosed(2_000)).to.deep.equal(revoked);
    });

    it('with a hint when their process ends, also those that do not answer, and the process ends in time', async () => {
      const leaving = await stack.startApi();
      const sockets = await Promise.all(
        Array.from({ length: 20 }, () => greeted(leaving.url, { token: person.token })),
      );
      const [dead, ...living] = sockets;
      dead?.ws.pause();
      leaving.kill('SIGTERM');
      const ends = await Promise.all(living.map((each) => each.whenClosed()));
      expect(new Set(ends.map(({ code }) => code))).to.deep.equal(new Set([1001]));
      const hints = ends.map(({ reason }) => Number(/^drain (\d+)$/.exec(reason)?.[1]));
      expect(Math.min(...hints)).to.be.at.least(200);
      expect(new Set(hints).size).to.be.above(10);
      expect((await leaving.exited).code).to.equal(0);
      dead?.ws.terminate();
    });

    it('and are no longer counted', async () => {
      const open = async (): Promise<number> => {
        const text = await (await fetch(`${here}/metrics`)).text();
        return Number(/^streams_open (\d+)$/m.exec(text)?.[1]);
      };
      await waitFor(async () => (await open()) === 0, { what: 'the end of all streams' });
      const sockets = await Promise.all(
        Array.from({ length: 50 }, () => greeted(here, { token: person.token })),
      );
      expect(await open()).to.equal(50);
      sockets.forEach(({ ws }) => ws.close());
      await waitFor(async () => (await open()) === 0, { what: 'the end of the sockets' });
    });
  });

  it('leave one line each in the log, and no credential', async () => {
    const { key } = await keyFor(['prices:read']);
    const ticket = await ticketFor(person.token);
    const headers = { 'x-request-id': `seen-${randomUUID()}` };
    const ways: SocketRequest[] = [
      { headers, query: `?ticket=${ticket}` },
      { headers, protocols: [`bearer.${person.token}`] },
      { headers, protocols: ['pricepool', `bearer.${key}`] },
    ];
    for (const way of ways) (await greeted(here, way)).ws.terminate();
    await refusedSocket(here, { headers, query: '?ticket=a.forged.signature-of-nobody' });
    const lines = await waitFor(
      async () => {
        const all = (await stack.apis[0]!.log())
          .split('\n')
          .filter((line) => line.includes(headers['x-request-id']));
        return all.length >= 4 && all;
      },
      { what: 'the lines' },
    );
    const entries = lines.map((line) => JSON.parse(line) as { path: string; status: number });
    expect(entries.map(({ status }) => status)).to.deep.equal([101, 101, 101, 401]);
    expect(new Set(entries.map(({ path }) => path))).to.deep.equal(new Set(['/api/v1/crypto/stream/ws']));
    const log = await stack.apis[0]!.log();
    for (const secret of [ticket, person.token, key, 'a.forged.signature-of-nobody'])
      expect(log).to.not.include(secret.split('.').at(-1));
  });
});
