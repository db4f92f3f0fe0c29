import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Anything that makes a request listener, as a Koa application does. */
interface Listener {
  callback(): RequestListener;
}

export interface Listening {
  readonly server: Server;
  /** The port it really listens on. */
  readonly port: number;
  /**
   * Stops accepting, lets requests that are being answered end, and cuts what is left after `graceMs` (5 s when absent).
   * Never rejects.
   */
  close(graceMs?: number): Promise<void>;
}

/** Time (ms) in which a whole request, its body included, must have arrived. */
const requestTimeoutMs = 30_000;
const headersTimeoutMs = 10_000;
/** Above the minute that load balancers commonly keep a connection, so that it is never we who close it under a request. */
const keepAliveTimeoutMs = 65_000;
const defaultGraceMs = 5_000;

/**
 * Serves `app` at `host:port`; port 0 takes any free one.
 * @throws {Error} naming the address when it is taken or may not be used.
 */
export async function listen(
  app: Listener,
  { host, port }: { host: string; port: number },
): Promise<Listening> {
  const server = createServer(
    {
      requestTimeout: requestTimeoutMs,
      headersTimeout: headersTimeoutMs,
      keepAliveTimeout: keepAliveTimeoutMs,
    },
    app.callback(),
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(explain(error, `${host}:${port}`)));
    server.listen({ host, port }, resolve);
  });
  return {
    server,
    port: (server.address() as AddressInfo).port,
    close: async (graceMs = defaultGraceMs) => closeServer(server, graceMs),
  };
}

async function closeServer(server: Server, graceMs: number): Promise<void> {
  const cut = setTimeout(() => server.closeAllConnections(), graceMs);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
  clearTimeout(cut);
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
