import type { Server } from 'node:http';

const host = '127.0.0.1';
const [lowest, highest] = [15_000, 30_000];
const attempts = 50;

/**
 * Listens on loopback and returns the port. Port 0 picks a free one from 15000 to 29999: below the range from which
 * the system takes the ports of outgoing connections, so that none of those is ever in the way.
 * @throws the listen error when a given port is taken, or when no free one was found.
 */
export async function listenLocally(server: Server, port: number): Promise<number> {
  if (port !== 0) return await listenOn(server, port);
  for (let attempt = 1; ; attempt += 1) {
    const candidate = lowest + Math.floor(Math.random() * (highest - lowest));
    try {
      return await listenOn(server, candidate);
    } catch (error) {
      if (
        attempt === attempts ||
        !(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')
      ) {
        throw error;
      }
    }
  }
}

async function listenOn(server: Server, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return port;
}
