/** What the API's other clients notice: `/health` and a cached read, asked for at a steady rate. */
import { Agent, request } from 'undici';
import { sleep } from '../../src/platform/concurrency/sleep.ts';
import { percentile } from '../support/figures.ts';

/** Latencies in milliseconds. */
export interface Noticed {
  readonly health: number[];
  readonly read: number[];
}

const everyMs = 10;

export interface Probe {
  /** Asks until `work` is done, and adds to what was noticed. */
  during<T>(noticed: Noticed, work: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Asks an API process on connections of its own. */
export function createProbe(url: string, token: string): Probe {
  const agent = new Agent({ connections: 8, pipelining: 1 });
  const ask = async (path: string, into: number[]): Promise<void> => {
    const startedAt = performance.now();
    const headers = { authorization: `Bearer ${token}` };
    const { statusCode, body } = await request(url + path, { dispatcher: agent, headers });
    await body.dump();
    if (statusCode !== 200) throw new Error(`${path}: ${statusCode}`);
    into.push(performance.now() - startedAt);
  };
  return {
    async during(noticed, work) {
      let isDone = false;
      const asking = async (path: string, into: number[]): Promise<void> => {
        while (!isDone) {
          await ask(path, into);
          await sleep(everyMs);
        }
      };
      const probes = Promise.all([
        asking('/health', noticed.health),
        asking('/api/v1/crypto/bitcoin', noticed.read),
      ]);
      try {
        return await work();
      } finally {
        isDone = true;
        await probes;
      }
    },
    close: () => agent.close(),
  };
}

/** The 99th percentile of each. */
export function p99({ health, read }: Noticed): { readonly health: number; readonly read: number } {
  return { health: percentile(health, 0.99), read: percentile(read, 0.99) };
}
