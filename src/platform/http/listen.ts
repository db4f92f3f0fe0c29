import {
  createServer,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { Server as NetServer, type AddressInfo, type Socket } from 'node:net';
import { sleep } from '../concurrency/sleep.ts';
import { createTrust } from './client-address.ts';
import { boundPerAddress, maxConnectionsHere, maxPerAddressOf } from './connection-bounds.ts';
import { refuseBrokenConnections } from './refuse-connection.ts';
import { onlyWebSockets, type OnUpgrade } from '../realtime/upgrade-ignored.ts';

export interface Listening {
  readonly server: Server;
  /** The port that is actually used. */
  readonly port: number;
  /**
   * Asks clients to close their connections, stops accepting, lets requests that are being answered end, and cuts what is
   * left after `graceMs` (5 s when absent). Never rejects.
   */
  close(graceMs?: number): Promise<void>;
}

/** How long (ms) a client may take. Sending a byte at a time does not extend this. */
interface Deadlines {
  /** For a whole request, its body included. */
  readonly requestMs: number;
  /** For the headers, from the first byte on or from the opening of the connection. */
  readonly headersMs: number;
  /** Between two looks for those who are late; so much later than its deadline a client is cut. Node's own is 30 s. */
  readonly pollIntervalMs: number;
}

const defaultDeadlines: Deadlines = { requestMs: 30_000, headersMs: 10_000, pollIntervalMs: 1_000 };
/** The request line and the headers (bytes), together. Node's own default, but not for an option of the command line to change. */
const maxHeaderBytes = 16 * 1_024;
/** Above the minute that load balancers commonly keep a connection, so that it is never we who close it under a request. */
const keepAliveTimeoutMs = 65_000;
const defaultGraceMs = 5_000;
/**
 * Open connections may bring another request for this long (ms) before they are closed. Closing a kept-alive connection that
 * looks idle could cut a request that its client is just sending, so clients first get `Connection: close`.
 */
const lingerMs = 1_000;
const sweepMs = 25;

/**
 * Serves `app` at `host:port`; port 0 takes any free one. Connections above what the process can hold, or one address may hold,
 * are closed at once. Tests use shorter deadlines.
 * @throws {Error} naming the address when it is in use or not allowed.
 */
export async function listen(
  app: { callback(): RequestListener },
  {
    host,
    port,
    onUpgrade,
    isTrusted = createTrust(['loopback']),
    maxPerAddress,
  }: {
    readonly host: string;
    readonly port: number;
    /** Called for requests to become WebSockets; those for any other protocol are served as if they had not asked. */
    readonly onUpgrade?: OnUpgrade;
    /** Addresses that may hold any number of connections, in one spelling; those of this machine when absent. */
    readonly isTrusted?: (address: string) => boolean;
    /** Connections of any other address; a quarter of all when absent. */
    readonly maxPerAddress?: number;
  },
  deadlines: Deadlines = defaultDeadlines,
): Promise<Listening> {
  const ending = new AbortController();
  const answer = app.callback();
  const answering = new WeakMap<Socket, ServerResponse>();
  const server = createServer(optionsOf(deadlines), (request, response) => {
    answering.set(request.socket, response);
    if (ending.signal.aborted) response.setHeader('connection', 'close');
    answer(request, response);
  });
  server.maxConnections = maxConnectionsHere();
  boundPerAddress(server, { most: maxPerAddress ?? maxPerAddressOf(server.maxConnections), isTrusted });
  refuseBrokenConnections(server, answering);
  if (onUpgrade !== undefined) server.on('upgrade', onlyWebSockets(server, answering, onUpgrade));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(explain(error, `${host}:${port}`)));
    server.listen({ host, port }, resolve);
  });
  return {
    server,
    port: (server.address() as AddressInfo).port,
    close: async (graceMs = defaultGraceMs) => {
      ending.abort();
      await closeServer(server, graceMs);
    },
  };
}

function optionsOf({ requestMs, headersMs, pollIntervalMs }: Deadlines): ServerOptions {
  return {
    requestTimeout: requestMs,
    headersTimeout: headersMs,
    connectionsCheckingInterval: pollIntervalMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    maxHeaderSize: maxHeaderBytes,
  };
}

async function closeServer(server: Server, graceMs: number): Promise<void> {
  const cut = setTimeout(() => server.closeAllConnections(), graceMs);
  // Not the close of node:http, which cuts idle connections at once.
  const closed = new Promise<void>((resolve) => {
    NetServer.prototype.close.call(server, () => resolve());
  });
  const patience = new AbortController();
  const lingered = sleep(Math.min(lingerMs, graceMs), patience.signal).catch(() => undefined);
  await Promise.race([closed, lingered]);
  patience.abort();
  // Connections that were busy become idle one by one.
  const sweep = setInterval(() => server.closeIdleConnections(), sweepMs);
  await closed;
  clearInterval(sweep);
  clearTimeout(cut);
  // Ends what node:http does beside listening.
  server.close();
}

function explain(error: NodeJS.ErrnoException, address: string): Error {
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: 'another process listens there; set PORT to a free one',
    EACCES: 'this user may not listen there; set PORT to 1024 or above',
    EADDRNOTAVAIL: 'this machine has no such address; set HOST to one of its own',
    ENOTFOUND: 'there is no such host; set HOST to an address of this machine',
  };
  const reason = reasons[error.code ?? ''] ?? error.message;
  return new Error(`Cannot listen on ${address}: ${reason}`, { cause: error });
}
