/** A WebSocket client that remembers everything, for tests. */
import { once } from 'node:events';
import { WebSocket, type ClientOptions } from 'ws';
import { waitFor } from './wait-for.ts';

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into messages of every shape
export type Message = any;

export interface Closed {
  readonly code: number;
  readonly reason: string;
}

export interface TestSocket {
  readonly ws: WebSocket;
  readonly messages: Message[];
  /** How it ended; undefined while it is open. */
  closed(): Closed | undefined;
  /** Resolves when it has ended. */
  whenClosed(timeoutMs?: number): Promise<Closed>;
  send(message: unknown): void;
  /** The first message that fits, now or later. */
  find(what: string, fits: (message: Message) => boolean): Promise<Message>;
  /** Sends a message with an id of its own and returns its answer. */
  ask(message: object): Promise<Message>;
}

/** A refusal before the upgrade. */
export interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Message;
}

export interface SocketRequest {
  readonly token?: string;
  readonly headers?: Record<string, string>;
  readonly protocols?: string[];
  readonly query?: string;
  readonly path?: string;
}

const socketPath = '/api/v1/crypto/stream/ws';
let requested = 0;

function dial(
  url: string,
  { token, headers = {}, protocols = [], query = '', path = socketPath }: SocketRequest,
): WebSocket {
  const bearer = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const options: ClientOptions = { headers: { ...bearer, ...headers }, perMessageDeflate: true };
  return new WebSocket(`${url.replace('http', 'ws')}${path}${query}`, protocols, options);
}

/** Opens a socket. @throws {Error} with the status when it is refused. */
export async function openSocket(url: string, request: SocketRequest): Promise<TestSocket> {
  const ws = dial(url, request);
  const messages: Message[] = [];
  let closed: Closed | undefined;
  ws.on('message', (bytes: Buffer) => messages.push(JSON.parse(bytes.toString())));
  ws.on('close', (code, reason) => (closed = { code, reason: String(reason) }));
  await once(ws, 'open');
  ws.on('error', () => undefined);
  const socket: TestSocket = {
    ws,
    messages,
    closed: () => closed,
    whenClosed: (timeoutMs = 5_000) => waitFor(() => closed, { what: 'the close', timeoutMs }),
    send: (message) => ws.send(typeof message === 'string' ? message : JSON.stringify(message)),
    find: (what, fits) => waitFor(() => messages.find(fits), { what }),
    ask: (message) => {
      const id = `m${++requested}`;
      socket.send({ id, ...message });
      return socket.find(`the answer to ${id}`, (each) => each.id === id);
    },
  };
  return socket;
}

/** Tries to open a socket that is expected to be refused. */
export async function refusedSocket(url: string, request: SocketRequest): Promise<Refusal> {
  const ws = dial(url, request);
  ws.on('error', () => undefined);
  return new Promise((resolve, reject) => {
    ws.on('open', () => {
      ws.terminate();
      reject(new Error('the socket was opened'));
    });
    ws.on('unexpected-response', (_request, response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += String(chunk)));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: JSON.parse(text) }),
      );
    });
  });
}
