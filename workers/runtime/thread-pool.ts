import { availableParallelism } from 'node:os';
import { move, Piscina } from 'piscina';
import { aggregate, type AggregateInput } from '../../src/features/quotes/aggregate.ts';

/** Computes results: small ones at once, large ones in a thread so that the event loop stays free. */
export interface Aggregator {
  run(input: AggregateInput): Promise<Uint8Array | string>;
  close(): Promise<void>;
}

/** Rows of holdings from which a thread pays (measured: docs/adr/0005). */
const rowsWorthAThread = 5_000;

/** Tasks that may wait for a thread; above it the caller's job is tried again later. */
const maxWaitingTasks = 100;

/** Builds the {@link Aggregator}; threads start when the first large result comes. */
export function createAggregator(threshold = rowsWorthAThread): Aggregator {
  let pool: Piscina<Uint8Array, Uint8Array> | undefined;
  return {
    async run(input) {
      if ((input.holdings?.length ?? 0) < threshold) return aggregate(input);
      pool ??= openPool();
      const bytes = new TextEncoder().encode(JSON.stringify(input));
      return await pool.run(move(bytes.buffer) as unknown as Uint8Array);
    },
    close: async () => await pool?.close(),
  };
}

function openPool(): Piscina<Uint8Array, Uint8Array> {
  // The same extension as this module: .ts when run from source, .js when built.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return new Piscina({
    filename: new URL(`../threads/aggregate.${extension}`, import.meta.url).href,
    minThreads: 0,
    maxThreads: Math.max(1, availableParallelism() - 1),
    maxQueue: maxWaitingTasks,
    idleTimeout: 30_000,
    resourceLimits: { maxOldGenerationSizeMb: 256 },
  });
}
