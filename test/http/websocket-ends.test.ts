/** How WebSockets end, what they leave behind, and what becomes of clients that do not read. */
import { expect } from 'chai';
import { once } from 'node:events';
import { textFrame } from '../../src/platform/realtime/frame.ts';
import { openSocket, type TestSocket } from '../support/socket-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { startSocketApi, type SocketApi } from './support/socket-api.ts';

const hugeFrame = textFrame('"'.padEnd(1_000_000));
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

  describe('is closed', () => {
    const nothingIsLeft = async (): Promise<void> => {
      await waitFor(() => api.registry.size === 0, { what: 'the end of the stream' });
      expect([api.hub.watched(), api.listening()]).to.deep.equal([0, 0]);
    };

    beforeEach(async () => {
      await socket.ask({ action: 'subscribe', coins: ['bitcoin'], jobs: [jobId('01')] });
    });

    it('with 4400 after ten messages in a row that are no JSON', async () => {
      for (let each = 0; each < 9; each++) socket.send('{');
      await socket.ask({ action: 'ping' });
      for (let each = 0; each < 10; each++) socket.send('{');
      expect((await socket.whenClosed()).code).to.equal(4400);
      const problems = socket.messages.filter(({ code }) => code === 'malformed_message');
      expect(problems).to.have.length(19);
      await nothingIsLeft();
    });

    it('with 1003 after a binary message', async () => {
      socket.ws.send(Buffer.from('{"action":"ping"}'));
      expect((await socket.whenClosed()).code).to.equal(1003);
      await nothingIsLeft();
    });

    it('with 1007 after text that is not UTF-8', async () => {
      socket.ws.send(Buffer.from([0x22, 0xff, 0xfe, 0x22]), { binary: false });
      expect((await socket.whenClosed()).code).to.equal(1007);
      await nothingIsLeft();
    });

    it('with 1009 after a megabyte, or ten thousand coins', async () => {
      socket.send('x'.repeat(1_000_000));
      expect((await socket.whenClosed()).code).to.equal(1009);
      await nothingIsLeft();
      const other = await openSocket(api.base, { token: api.token });
      other.send({
        action: 'subscribe',
        coins: Array.from({ length: 10_000 }, (_, index) => `coin-${index}`),
      });
      expect((await other.whenClosed()).code).to.equal(1009);
    });

    it('with 1008 after a message in a thousand pieces, and not after one in fifty', async () => {
      const inPieces = (pieces: number): void => {
        for (let each = 1; each < pieces; each++) socket.ws.send(' ', { fin: false });
        socket.ws.send('{"action":"ping","id":"whole"}', { fin: true });
      };
      inPieces(50);
      await socket.find('the answer', ({ id }) => id === 'whole');
      inPieces(1_000);
      expect((await socket.whenClosed()).code).to.equal(1008);
      await nothingIsLeft();
    });

    it('with 4008 after more messages, or pings of the protocol, than are allowed in a second', async () => {
      for (let each = 0; each < 1_000; each++) socket.send({ action: 'ping' });
      expect(await socket.whenClosed()).to.deep.equal({ code: 4008, reason: 'too many messages' });
      const pongs = socket.messages.filter(({ action }) => action === 'pong');
      expect(pongs.length).to.be.within(40, 200);
      await nothingIsLeft();
      const other = await openSocket(api.base, { token: api.token });
      for (let each = 0; each < 1_000; each++) other.ws.ping();
      expect((await other.whenClosed()).code).to.equal(4008);
    });

    it('with 4000 after a minute without a subscription, and not before', async () => {
      api.skip(61_000);
      api.poll();
      await socket.ask({ action: 'unsubscribe', coins: ['bitcoin'], jobs: [jobId('01')] });
      api.poll();
      // The pongs come before the answer.
      await socket.ask({ action: 'ping' });
      api.skip(59_000);
      api.poll();
      expect(await socket.ask({ action: 'ping' })).to.include({ action: 'pong' });
      api.skip(1_000);
      api.poll();
      expect(await socket.whenClosed()).to.deep.equal({ code: 4000, reason: 'idle' });
      await nothingIsLeft();
    });

    it('with 4000 a minute after it was last in use, however idle it was before', async () => {
      const idle = await openSocket(api.base, { token: api.token });
      api.poll();
      api.skip(59_000);
      await idle.ask({ action: 'subscribe', coins: ['ethereum'] });
      api.poll();
      api.skip(61_000);
      api.poll();
      await idle.ask({ action: 'unsubscribe', coins: ['ethereum'] });
      api.poll();
      await idle.ask({ action: 'ping' });
      api.skip(59_000);
      api.poll();
      expect(await idle.ask({ action: 'ping' })).to.include({ action: 'pong' });
      api.skip(1_000);
      api.poll();
      expect(await idle.whenClosed()).to.deep.equal({ code: 4000, reason: 'idle' });
    });

    it('with 4001 when its credential is revoked', async () => {
      api.revoke();
      expect(await socket.whenClosed()).to.deep.equal({ code: 4001, reason: 'revoked' });
      await nothingIsLeft();
    });

    it('with 4003 when it is old, telling when to come back', async () => {
      api.skip(12 * 3_600_000);
      api.poll();
      const { code, reason } = await socket.whenClosed();
      expect(code).to.equal(4003);
      expect(reason).to.match(/^expired \d+$/);
      await nothingIsLeft();
    });

    it('with 1001 when the process ends, telling when to come back', async () => {
      api.registry.drain();
      const { code, reason } = await socket.whenClosed();
      expect(code).to.equal(1001);
      expect(reason).to.match(/^drain \d{3,4}$/);
      await nothingIsLeft();
    });

    it('without a word a quarter minute after a ping that nobody answers', async () => {
      const pings = once(socket.ws, 'ping');
      // A ping goes out with a heartbeat when there is nothing else to send.
      api.poll(6);
      await pings;
      // Its pong has come, so that it is this ping that counts.
      await socket.ask({ action: 'ping' });
      await waitFor(() => socket.messages.some(({ type }) => type === 'heartbeat'), {
        what: 'the heartbeat',
      });
      socket.ws.pause();
      api.poll(6);
      api.skip(14_000);
      api.poll();
      expect(api.registry.size).to.equal(1);
      api.skip(1_000);
      api.poll();
      expect(api.registry.size).to.equal(0);
      socket.ws.resume();
      expect((await socket.whenClosed()).code).to.equal(1006);
      await nothingIsLeft();
    });

    it('with nothing left when the client goes away, with or without a close', async () => {
      const others = await Promise.all([0, 1].map(() => openSocket(api.base, { token: api.token })));
      for (const each of others)
        await each.ask({ action: 'subscribe', coins: ['ethereum'], jobs: [jobId('02')] });
      socket.ws.close(1000);
      others[0]!.ws.terminate();
      others[1]!.ws.close();
      await nothingIsLeft();
    });

    it('with nothing begun when the client goes away while the database is asked', async () => {
      const other = await openSocket(api.base, { token: api.token });
      const letGo = api.holdJobs();
      other.send({ action: 'subscribe', coins: ['ethereum'], jobs: [jobId('02')] });
      other.send({ action: 'subscribe', coins: ['dogecoin'] });
      await other.ask({ action: 'ping' });
      socket.ws.terminate();
      other.ws.terminate();
      await nothingIsLeft();
      letGo();
      // Whoever asks next is answered after those that waited.
      const last = await openSocket(api.base, { token: api.token });
      await last.ask({ action: 'subscribe', jobs: [jobId('03')] });
      expect([api.hub.watched(), api.listening()]).to.deep.equal([0, 1]);
      last.ws.terminate();
    });

    it('a thousand times on a silent market, with nothing left', async () => {
      socket.ws.terminate();
      const jobs = [jobId('01')];
      for (let round = 0; round < 20; round++) {
        const many = await Promise.all(
          Array.from({ length: 50 }, () => openSocket(api.base, { token: api.token })),
        );
        await Promise.all(
          many.map((each) => each.ask({ action: 'subscribe', coins: ['bitcoin', 'ethereum'], jobs })),
        );
        many.forEach(({ ws }, index) => (index % 2 === 0 ? ws.close() : ws.terminate()));
      }
      await nothingIsLeft();
      expect(api.registry.ended()['client']).to.equal(1_001);
      const open = await new Promise((resolve) =>
        api.server.getConnections((_error, count) => resolve(count)),
      );
      await waitFor(() => open === 0, { what: 'the end of the connections' });
    }).timeout(120_000);
  });

  describe('that stops reading', () => {
    it('is sent only the newest when it reads again, though nothing happens any more', async () => {
      const coins = Array.from({ length: 500 }, (_, index) => `coin-${index}`);
      const pricesAt = (price: number) => Object.fromEntries(coins.map((coin) => [coin, price]));
      api.tick(pricesAt(0));
      await socket.ask({ action: 'subscribe', coins });
      await waitFor(() => prices().length === 500, { what: 'the snapshot' });
      socket.ws.pause();
      let price = 0;
      let isBehind = 0;
      // The system takes some megabytes before anything is left to the process. Then three updates more, which are not sent.
      while (isBehind < 3) {
        if (api.unsentBytes() > 65_536) isBehind += 1;
        price += 1;
        api.skip(1_000);
        const { seq } = api.hub;
        api.tick(pricesAt(price));
        await waitFor(() => api.hub.seq > seq, { what: `update ${price}` });
      }
      const unsent = api.unsentBytes();
      socket.ws.resume();
      const newest = (): number => prices().filter(([, each]) => each === price).length;
      await waitFor(() => newest() === 500, { what: 'the newest' });
      expect(unsent).to.be.below(1_048_576);
      const updates = socket.messages.filter(({ type }) => type === 'price').length - 1;
      expect(updates).to.equal(price - 2);
    }).timeout(120_000);

    it('is closed with 4002 when it does not begin again, and cut when it does not see that', async () => {
      await socket.ask({ action: 'subscribe', coins: ['bitcoin'] });
      socket.ws.pause();
      const [server] = [...api.connections];
      while (api.unsentBytes() <= 1_048_576) server?.write(hugeFrame);
      api.poll();
      expect(api.registry.ended()).to.deep.equal({ slow: 1 });
      await waitFor(() => server?.destroyed, { what: 'the cut' });
      socket.ws.terminate();
    });
  });
});
