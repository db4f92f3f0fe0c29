import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { freePort } from '../../embedded/free-port.ts';

/**
 * Stands between processes and a store, and falls silent on demand as a lost machine does: connections stay open, what is sent
 * on them is taken, and no answer and no end ever comes.
 */
export interface TcpProxy {
  /** The URL of the store with the address of the proxy in the place of its own. */
  readonly url: string;
  /**
   * Silences connections that are open for ever.
   * @param ofName only those whose client has sent this text, such as the name of a connection; all when absent.
   * @returns how many there were.
   */
  freeze(ofName?: string): number;
  /** While this is on, connections are accepted and never answered. */
  freezeNew(on: boolean): void;
  /** Sends new connections to another store (any URL with its host and port). */
  redirect(url: string): void;
  /** Connections that are forwarded. */
  live(): number;
  close(): Promise<void>;
}

interface Pair {
  readonly client: Socket;
  readonly store: Socket;
  /** What the client has sent first, which holds its name. */
  greeting: string;
  frozen: boolean;
}

const greetingLength = 4_096;

/** Starts a proxy to the store at `url`. */
export async function startTcpProxy(url: string): Promise<TcpProxy> {
  let target = new URL(url);
  const sockets = new Set<Socket>();
  const pairs = new Set<Pair>();
  let freezesNew = false;

  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    return socket;
  };

  const server = createServer((client) => {
    keep(client);
    if (freezesNew) {
      client.resume();
      return;
    }
    const store = keep(connect(Number(target.port), target.hostname));
    const pair: Pair = { client, store, greeting: '', frozen: false };
    pairs.add(pair);
    client.on('data', (data) => {
      if (pair.frozen) return;
      if (pair.greeting.length < greetingLength) pair.greeting += data.toString('latin1');
      store.write(data);
    });
    store.on('data', (data) => {
      if (!pair.frozen) client.write(data);
    });
    for (const [from, to] of [
      [client, store],
      [store, client],
    ] as const)
      from.on('close', () => {
        pairs.delete(pair);
        if (!pair.frozen) to.destroy();
      });
  });
  const port = await freePort();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const own = new URL(url);
  own.host = `127.0.0.1:${port}`;

  return {
    url: own.href,
    freeze(ofName = '') {
      const chosen = [...pairs].filter(({ greeting, frozen }) => !frozen && greeting.includes(ofName));
      for (const pair of chosen) pair.frozen = true;
      return chosen.length;
    },
    freezeNew(on) {
      freezesNew = on;
    },
    redirect(other) {
      target = new URL(other);
    },
    live: () => [...pairs].filter(({ frozen }) => !frozen).length,
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
