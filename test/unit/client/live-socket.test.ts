/** How the socket of the client comes back, against a server that is a few lines: what a real one says is told elsewhere. */
import { expect } from 'chai';
import { openLiveSocket, type LiveSocket, type SocketClass } from '../../../client/live-socket.ts';
import { waitFor } from '../../support/wait-for.ts';

interface Sent {
  readonly action: string;
  readonly id: string;
  readonly coins?: readonly string[];
}

describe('the live socket of the client', () => {
  /** Each connection that was asked for, the newest last. */
  let connections: Connection[];
  let ends: string[];
  let socket: LiveSocket;

  class Connection {
    readonly sent: Sent[] = [];
    readonly #listeners = new Map<string, (event: object) => void>();

    constructor() {
      connections.push(this);
    }

    addEventListener(name: string, listener: (event: object) => void): void {
      this.#listeners.set(name, listener);
    }

    send(text: string): void {
      this.sent.push(JSON.parse(text) as Sent);
    }

    close(): void {
      // What it says of it is what the test tells it to.
    }

    tell(message: object): void {
      this.#listeners.get('message')?.({ data: JSON.stringify(message) });
    }

    greet(): void {
      this.tell({ type: 'hello', data: {} });
    }

    /** Answers the newest message that was sent. */
    answer(rest: object = {}): void {
      this.tell({ ...rest, id: this.sent.at(-1)!.id });
    }

    /** As a server does that ends: the client is to come back after a millisecond. */
    lose(): void {
      this.#listeners.get('close')?.({ code: 1001, reason: 'drain 1' });
    }
  }

  beforeEach(() => {
    connections = [];
    ends = [];
    socket = openLiveSocket('http://127.0.0.1:1', {
      credential: () => ({ token: 'token' }),
      WebSocket: Connection as unknown as SocketClass,
      maxFailures: 3,
      onEnd: (reason) => ends.push(reason),
    });
  });

  afterEach(() => socket.close());

  const newest = async (count: number): Promise<Connection> => {
    await waitFor(() => connections.length >= count || ends.length > 0, { what: `connection ${count}` });
    expect(ends).to.deep.equal([]);
    return connections.at(-1)!;
  };

  const pingOver = async (connection: Connection, ping: Promise<void>): Promise<void> => {
    await waitFor(() => connection.sent.length > 0, { what: 'the ping' });
    connection.answer();
    await ping;
  };

  it('comes back however often it is lost, as long as it is greeted in between', async () => {
    for (let n = 1; n <= 10; n++) {
      const ping = n === 1 || n === 10 ? socket.ping() : undefined;
      const connection = await newest(n);
      connection.greet();
      if (ping !== undefined) await pingOver(connection, ping);
      if (n < 10) connection.lose();
    }
  });

  it('gives up after so many losses in a row', async () => {
    void socket.ping().catch(() => undefined);
    for (let n = 1; n <= 3; n++) (await newest(n)).lose();
    await waitFor(() => ends.length > 0, { what: 'the end' });
    expect(ends).to.deep.equal(['gave_up']);
    expect(connections).to.have.length(3);
  });

  it('subscribes again to what is wanted still, also when the answer to an unsubscription was lost', async () => {
    const subscribed = socket.subscribe({ coins: ['bitcoin', 'ethereum', 'monero'] });
    const first = await newest(1);
    first.greet();
    await waitFor(() => first.sent.length > 0, { what: 'the subscription' });
    first.answer({ coins: 3, jobs: 0 });
    await subscribed;

    const answered = socket.unsubscribe({ coins: ['ethereum'] });
    await waitFor(() => first.sent.length > 1, { what: 'the first unsubscription' });
    first.answer({ coins: 2, jobs: 0 });
    expect(await answered).to.deep.equal({ coins: 2, jobs: 0 });
    const unanswered = socket.unsubscribe({ coins: ['monero'] }).catch((error: unknown) => error);
    await waitFor(() => first.sent.length > 2, { what: 'the second unsubscription' });
    first.lose();
    expect(await unanswered).to.include({ status: 0 });

    const second = await newest(2);
    second.greet();
    await waitFor(() => second.sent.length > 0, { what: 'the subscription of what is left' });
    expect(second.sent.map(({ action, coins }) => [action, coins])).to.deep.equal([
      ['subscribe', ['bitcoin']],
    ]);
  });
});
