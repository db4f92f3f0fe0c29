/** What is said over a WebSocket, and who may open one. */
import { expect } from 'chai';
import { connect } from 'node:net';
import { openSocket, refusedSocket, type TestSocket } from '../support/socket-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { startSocketApi, type SocketApi } from './support/socket-api.ts';

const jobId = (last: string): string => `01934c2a-0000-7000-8000-0000000000${last}`;

describe('a WebSocket', () => {
  let api: SocketApi;
  let socket: TestSocket;

  beforeEach(async () => {
    api = await startSocketApi();
    socket = await openSocket(api.base, { token: api.token });
  });

  afterEach(async () => {
    socket.ws.terminate();
    await api.close();
  });

  /** Prices that were sent, by the order of their coming. */
  const prices = (): [string, number | undefined][] =>
    socket.messages
      .filter(({ type }) => type === 'price')
      .flatMap(({ data }) => data.map((each: { id: string; price?: number }) => [each.id, each.price]));

  /** Waits until all that was sent before has been dealt with. */
  const settle = async (): Promise<void> => {
    const { action } = await socket.ask({ action: 'unsubscribe', coins: ['nothing'] });
    expect(action).to.equal('unsubscribed');
  };

  describe('speaks', () => {
    it('first, with where it stands', () => {
      expect(socket.messages[0]).to.deep.include({ type: 'hello' });
      expect(socket.messages[0].data).to.include({ epoch: 'test', seq: 0 });
    });

    it('pong to ping, with the id that it was asked with or without one', async () => {
      expect(await socket.ask({ action: 'ping' })).to.have.keys('action', 'id');
      socket.send({ action: 'ping' });
      const bare = await socket.find(
        'a pong without id',
        ({ action, id }) => action === 'pong' && id === undefined,
      );
      expect(bare).to.deep.equal({ action: 'pong' });
    });

    it('a ticket on request, which opens another connection', async () => {
      const { ticket } = await socket.ask({ action: 'ticket' });
      const other = await openSocket(api.base, { query: `?ticket=${ticket as string}` });
      other.ws.terminate();
    });

    it('a new ticket before the old one has expired, to whoever came with one', async () => {
      const { ticket } = await socket.ask({ action: 'ticket' });
      const other = await openSocket(api.base, { query: `?ticket=${ticket as string}` });
      await other.ask({ action: 'subscribe', coins: ['bitcoin'] });
      api.skip(31_000);
      const { data } = await other.find('the ticket', ({ type }) => type === 'ticket');
      expect(data).to.include({ expires_in: 60 });
      other.ws.terminate();
    });
  });

  describe('tells prices', () => {
    it('after the answer: a snapshot, then what changes, until the coin is unwanted', async () => {
      api.tick({ bitcoin: 1, ethereum: 2 });
      const answer = await socket.ask({ action: 'subscribe', coins: ['bitcoin', 'ethereum'] });
      expect(answer).to.deep.include({ action: 'subscribed', coins: 2, jobs: 0 });
      await waitFor(() => prices().length === 2, { what: 'the snapshot' });
      const kinds = socket.messages.map(({ type, action }) => type ?? action);
      expect(kinds).to.deep.equal(['hello', 'subscribed', 'price']);
      api.skip(2_000);
      api.tick({ bitcoin: 3 });
      await waitFor(() => prices().length === 3, { what: 'the news' });
      expect(prices().at(-1)).to.deep.equal(['bitcoin', 3]);
      expect(await socket.ask({ action: 'unsubscribe', coins: ['bitcoin'] })).to.include({ coins: 1 });
      api.skip(2_000);
      api.tick({ bitcoin: 4, ethereum: 5 });
      await waitFor(() => prices().length === 4, { what: 'the other news' });
      expect(prices().at(-1)).to.deep.equal(['ethereum', 5]);
    });

    it('of a coin once, however often it is asked for', async () => {
      api.tick({ bitcoin: 1, ethereum: 2 });
      for (let each = 0; each < 5; each++)
        await socket.ask({ action: 'subscribe', coins: ['bitcoin', 'bitcoin'] });
      expect(await socket.ask({ action: 'subscribe', coins: ['bitcoin', 'ethereum'] })).to.include({
        coins: 2,
      });
      await settle();
      expect(prices()).to.deep.equal([
        ['bitcoin', 1],
        ['ethereum', 2],
      ]);
      expect(api.hub.watched()).to.equal(2);
    });

    it('that were on their way when other coins were added', async () => {
      api.tick({ bitcoin: 1 });
      await socket.ask({ action: 'subscribe', coins: ['bitcoin'], interval: 3_600 });
      api.skip(3_600_000);
      api.tick({ bitcoin: 2 });
      await waitFor(() => prices().some(([, price]) => price === 2), { what: 'the first news' });
      // Within the interval: it has to wait, and must not be forgotten.
      api.tick({ bitcoin: 3 });
      await socket.ask({ action: 'subscribe', coins: ['ethereum'], interval: 3_600 });
      await waitFor(() => prices().some(([, price]) => price === 3), { what: 'the news that waited' });
      expect(prices().filter(([id]) => id === 'bitcoin')).to.have.length(3);
    });

    it('at the newest interval that was asked for', async () => {
      api.tick({ bitcoin: 1 });
      await socket.ask({ action: 'subscribe', coins: ['bitcoin'], interval: 3_600 });
      await socket.ask({ action: 'subscribe', coins: ['bitcoin'], interval: 1 });
      api.skip(2_000);
      api.tick({ bitcoin: 2 });
      await waitFor(() => prices().length === 2, { what: 'the news' });
      api.skip(2_000);
      api.tick({ bitcoin: 3 });
      await waitFor(() => prices().length === 3, { what: 'more news' });
      expect(api.hub.watched()).to.equal(1);
    });

    it('in several currencies, apart', async () => {
      await socket.ask({ action: 'subscribe', coins: ['bitcoin'] });
      await socket.ask({ action: 'subscribe', coins: ['bitcoin'], currency: 'EUR' });
      api.tick({ bitcoin: 7 }, 'eur');
      await waitFor(() => prices().some(([, price]) => price === 7), { what: 'the price in euros' });
      expect(await socket.ask({ action: 'unsubscribe', coins: ['bitcoin'] })).to.include({ coins: 1 });
    });

    it('of unknown coins as not found, once, while the others go on', async () => {
      await socket.ask({ action: 'subscribe', coins: ['bitcoin', 'no-such-coin'] });
      api.unknown('no-such-coin');
      for (const price of [1, 2, 3]) {
        api.skip(2_000);
        api.tick({ bitcoin: price });
        await waitFor(() => prices().some(([, each]) => each === price), { what: `price ${price}` });
      }
      const said = socket.messages
        .filter(({ type }) => type === 'price')
        .flatMap(({ data }) => data.filter(({ state }: { state: string }) => state === 'not_found'));
      expect(said.map(({ id }) => id)).to.deep.equal(['no-such-coin']);
    });

    it('at one cost for all that watch the same', async () => {
      const others = await Promise.all([0, 1, 2].map(() => openSocket(api.base, { token: api.token })));
      for (const each of [socket, ...others])
        await each.ask({ action: 'subscribe', coins: ['bitcoin', 'ethereum'] });
      api.tick({ bitcoin: 1 });
      const updates = await Promise.all(
        [socket, ...others].map((each) => each.find('the price', ({ data }) => data?.[0]?.price === 1)),
      );
      expect(new Set(updates.map(({ event_id: id }) => id as string)).size).to.equal(1);
      expect(api.hub.watched()).to.equal(2);
      others.forEach(({ ws }) => ws.terminate());
    });
  });

  describe('follows jobs', () => {
    it('several at once, each until it has ended', async () => {
      const jobs = [jobId('01'), jobId('02')];
      expect(await socket.ask({ action: 'subscribe', jobs })).to.include({ action: 'subscribed', jobs: 2 });
      await waitFor(() => socket.messages.filter(({ data }) => data?.state === 'queued').length === 2, {
        what: 'the greetings',
      });
      api.happen({
        id: '1-1',
        subject: 'work',
        events: [{ type: 'job.progress', data: { done: 1, total: 2 } }],
      });
      api.happen({
        id: '1-2',
        subject: 'work',
        events: [{ type: 'job.completed', data: {}, jobs: [jobs[0]] }],
      } as Parameters<SocketApi['happen']>[0]);
      const end = await socket.find('the end', ({ type }) => type === 'job.completed');
      expect(end.data).to.deep.equal({ job: jobs[0] });
      expect(end.event_id).to.match(/^1-2\.0/);
      const progress = socket.messages
        .filter(({ type }) => type === 'job.progress')
        .map(({ data }) => data.job);
      expect(progress).to.have.members(jobs);
      expect(api.listening()).to.equal(1);
      expect(await socket.ask({ action: 'unsubscribe', jobs: [jobs[1]] })).to.include({ jobs: 0 });
      expect(api.listening()).to.equal(0);
    });

    it('of its user only, and nothing is begun when one of them is not', async () => {
      const jobs = [jobId('01'), jobId('ff')];
      const refused = await socket.ask({ action: 'subscribe', jobs, coins: ['bitcoin'] });
      expect(refused).to.include({ action: 'problem', code: 'job_not_found' });
      expect([api.listening(), api.hub.watched()]).to.deep.equal([0, 0]);
    });

    it('says that events are gone which the client asks to go on from', async () => {
      const [id] = [jobId('01')];
      await socket.ask({ action: 'subscribe', jobs: [id], last_event_ids: { [id]: 'forged' } });
      const hello = await socket.find('the greeting', ({ data }) => data?.job === id);
      expect(hello.data.recovered).to.equal(false);
      await socket.find('the reset', ({ type, data }) => type === 'reset' && data.job === id);
    });
  });

  describe('refuses', () => {
    const wrong: Readonly<Record<string, object>> = {
      'an unknown action': { action: 'explode' },
      'no action': {},
      'an unknown field': { action: 'ping', volume: 11 },
      'coins that are no list': { action: 'subscribe', coins: 'bitcoin' },
      'no coins': { action: 'subscribe', coins: [] },
      'neither coins nor jobs': { action: 'subscribe' },
      'a coin that can be none': { action: 'subscribe', coins: ['../etc'] },
      'a job that can be none': { action: 'subscribe', jobs: ['1'] },
      'an interval of 0': { action: 'subscribe', coins: ['bitcoin'], interval: 0 },
      'a negative interval': { action: 'subscribe', coins: ['bitcoin'], interval: -1 },
      'an interval that would overflow': { action: 'subscribe', coins: ['bitcoin'], interval: 9_223_372_037 },
      'an unknown currency': { action: 'subscribe', coins: ['bitcoin'], currency: 'xyz' },
    };
    for (const [what, message] of Object.entries(wrong)) {
      it(`${what}, and stays open`, async () => {
        expect(await socket.ask(message)).to.include({ action: 'problem', code: 'validation_failed' });
        expect(await socket.ask({ action: 'ping' })).to.include({ action: 'pong' });
        expect(api.hub.watched()).to.equal(0);
      });
    }

    it('an interval that is no number of JSON’s, an id that is too long, and what is no object', async () => {
      socket.send('{"action":"subscribe","coins":["bitcoin"],"interval":1e309}');
      socket.send({ action: 'ping', id: 'x'.repeat(65) });
      socket.send('"ping"');
      socket.send('null');
      await waitFor(() => socket.messages.length === 5, { what: 'four problems' });
      expect(socket.messages.slice(1).map(({ code }) => code)).to.deep.equal(
        Array(4).fill('validation_failed'),
      );
    });

    it('what is wrong in plain words', async () => {
      const said: Readonly<Record<string, object>> = {
        'coins must be a list': { action: 'subscribe', coins: 'bitcoin' },
        'id must be a string': { action: 'ping', id: 9 },
        'currency must be a string': { action: 'subscribe', coins: ['bitcoin'], currency: 5 },
        'jobs[0] is not the id of a job': { action: 'subscribe', jobs: [7] },
        'last_event_ids must be an object': { action: 'subscribe', jobs: [jobId('01')], last_event_ids: [] },
        [`last_event_ids.${jobId('01')} must be at most 64 characters`]: {
          action: 'subscribe',
          jobs: [jobId('01')],
          last_event_ids: { [jobId('01')]: 'x'.repeat(65) },
        },
        'last_event_ids.me is not the id of a job': {
          action: 'subscribe',
          jobs: [jobId('01')],
          last_event_ids: { me: '1-0.0' },
        },
      };
      for (const [words, message] of Object.entries(said)) {
        const before = socket.messages.length;
        socket.send(message);
        const problem = await waitFor(() => socket.messages[before], { what: `the answer that ${words}` });
        const [{ field, message: text }] = problem.fields;
        expect(`${field} ${text}`).to.equal(words);
      }
    });

    it('coins and jobs above the limits of a connection, in one message or in several', async () => {
      const many = (prefix: string, length: number) => Array.from({ length }, (_, n) => `${prefix}${n}`);
      const ofCoins = await socket.ask({ action: 'subscribe', coins: many('a', 1_001) });
      expect(ofCoins).to.include({ action: 'problem', code: 'too_many_coins' });
      const ofJobs = await socket.ask({ action: 'subscribe', jobs: many('a', 101) });
      expect(ofJobs).to.include({ action: 'problem', code: 'too_many_jobs' });
      const coins = (from: number): string[] => Array.from({ length: 500 }, (_, index) => `a${from + index}`);
      await socket.ask({ action: 'subscribe', coins: coins(0) });
      expect(await socket.ask({ action: 'subscribe', coins: coins(500) })).to.include({ coins: 1_000 });
      const oneMore = await socket.ask({ action: 'subscribe', coins: ['bitcoin'] });
      expect(oneMore).to.include({ action: 'problem', code: 'too_many_coins' });
      const jobs = Array.from({ length: 100 }, (_, index) => jobId(String(index).padStart(2, '0')));
      await socket.ask({ action: 'subscribe', jobs });
      const job = await socket.ask({ action: 'subscribe', jobs: [jobId('aa')] });
      expect(job).to.include({ action: 'problem', code: 'too_many_jobs' });
      expect([api.hub.watched(), api.listening()]).to.deep.equal([1_000, 100]);
    });
  });

  describe('opens', () => {
    it('up to the limit, and tells who is above it when to come back', async () => {
      const small = await startSocketApi({ perUser: 1, perAddress: 10, inAll: 10 });
      const first = await openSocket(small.base, { token: small.token });
      const second = await openSocket(small.base, { token: small.token });
      const { code, reason } = await second.whenClosed();
      expect(code).to.equal(4029);
      expect(reason).to.match(/^limit \d{4,5} user$/);
      expect(second.messages).to.deep.equal([]);
      first.ws.terminate();
      await waitFor(() => small.registry.size === 0, { what: 'room' });
      const third = await openSocket(small.base, { token: small.token });
      await third.find('the greeting', ({ type }) => type === 'hello');
      await small.close();
    });

    it('with a token among the subprotocols, choosing ours where it is offered', async () => {
      const both = await openSocket(api.base, { protocols: ['pricepool', `bearer.${api.token}`] });
      const one = await openSocket(api.base, { protocols: [`bearer.${api.token}`] });
      expect([both.ws.protocol, one.ws.protocol]).to.deep.equal(['pricepool', `bearer.${api.token}`]);
      both.ws.terminate();
      one.ws.terminate();
    });

    it('for pages of the origins that are allowed and of this server, and for no other', async () => {
      const { host } = new URL(api.base);
      for (const origin of ['https://app.example', `http://${host}`]) {
        const each = await openSocket(api.base, { token: api.token, headers: { origin } });
        each.ws.terminate();
      }
      const refused = await refusedSocket(api.base, {
        token: api.token,
        headers: { origin: 'https://evil.example' },
      });
      expect([refused.status, refused.body.error.code]).to.deep.equal([403, 'origin_not_allowed']);
    });

    it('nowhere else', async () => {
      const refused = await refusedSocket(api.base, { token: api.token, path: '/api/v1/crypto/bitcoin' });
      expect([refused.status, refused.body.error.code]).to.deep.equal([404, 'not_found']);
      expect(refused.headers).to.include({ connection: 'close', 'x-frame-options': 'DENY' });
      expect(refused.headers['x-request-id']).to.equal(refused.body.request_id);
    });

    it('not for a handshake that is none', async () => {
      const answer = await raw(api.port, [
        'GET /api/v1/crypto/stream/ws HTTP/1.1',
        'Host: here',
        `Authorization: Bearer ${api.token}`,
        'Connection: Upgrade',
        'Upgrade: websocket',
      ]);
      expect(answer).to.match(/^HTTP\/1\.1 400 /);
      expect(answer).to.include('"code":"bad_handshake"');
      expect(api.registry.size).to.equal(1);
    });
  });

  describe('is not what', () => {
    it('a plain request gets: 426', async () => {
      const answer = await api.call('GET', '/api/v1/crypto/stream/ws');
      expect([answer.status, answer.headers.get('upgrade')]).to.deep.equal([426, 'websocket']);
    });

    it('a request gets that offers another protocol: it is served as if it had not', async () => {
      const body = JSON.stringify({ coins: ['bitcoin'] });
      const answer = await raw(
        api.port,
        [
          'POST /api/v1/crypto/bulk HTTP/1.1',
          'Host: here',
          `Authorization: Bearer ${api.token}`,
          'Connection: Upgrade, HTTP2-Settings',
          'Upgrade: h2c',
          'HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA',
          'Content-Type: application/json',
          `Content-Length: ${body.length}`,
        ],
        body,
      );
      expect(answer).to.match(/^HTTP\/1\.1 202 /);
      expect(api.deps.clientJobs).to.have.property('submitted').with.length(1);
    });
  });
});

/** Sends bytes as they are and returns what comes until the connection ends. */
function raw(port: number, head: readonly string[], body = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const connection = connect(port, '127.0.0.1', () =>
      connection.write(`${head.join('\r\n')}\r\n\r\n${body}`),
    );
    let text = '';
    connection.setTimeout(5_000, () => connection.destroy(new Error(`only came: ${text}`)));
    connection.on('data', (bytes) => (text += String(bytes)));
    connection.on('close', () => resolve(text));
    connection.on('error', reject);
  });
}
