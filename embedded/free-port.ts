import { createServer } from 'node:net';
import { randomInt } from 'node:crypto';

/** Below the range from which operating systems take ports for outgoing connections, so that none is taken meanwhile. */
const lowestPort = 15_000;
const highestPort = 30_000;
const maxTries = 50;

/** True when `port` can be listened on at `host` right now. */
export async function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/**
 * A loopback port that is free right now, from 15000 to 30000.
 * @throws {Error} when fifty random ports in a row are taken.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < maxTries; tries += 1) {
    const port = randomInt(lowestPort, highestPort);
    if (await isPortFree(port)) return port;
  }
  throw new Error(`No free port found between ${lowestPort} and ${highestPort}`);
}
