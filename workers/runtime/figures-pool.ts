import { availableParallelism } from 'node:os';
import { Piscina } from 'piscina';
import { computeReport } from '../../src/features/portfolios/performance/report.ts';
import {
  buffersOf,
  cellsOf,
  type PerformanceTables,
} from '../../src/features/portfolios/performance/tables.ts';
import type { ComputedBytes } from '../threads/performance.ts';

/** What the figures of some tables come to. */
export interface ComputedFigures {
  /** JSON text of an object. */
  readonly json: string;
  /** Days by asset on which it was held without a price of its own. */
  readonly missing: Uint32Array;
}

/** Computes figures: small tables at once, large ones in a thread so that the event loop stays free. */
export interface FiguresPool {
  /** The tables are handed over: their arrays are empty afterwards when a thread has taken them. */
  run(tables: PerformanceTables): Promise<ComputedFigures>;
  close(): Promise<void>;
}

/** Cells (assets × days) from which a thread pays: fewer take less than 2 ms, and no longer than with a thread (docs/portfolios.md). */
const cellsWorthAThread = 4_000;

/** Tables that may wait for a thread; above it the job is tried again later. */
const maxWaitingTasks = 20;

/** Builds the {@link FiguresPool}; threads start with the first large tables. A threshold of 0 takes a thread for all. */
export function createFiguresPool(threshold = cellsWorthAThread): FiguresPool {
  let pool: Piscina<PerformanceTables, ComputedBytes> | undefined;
  return {
    async run(tables) {
      if (cellsOf(tables) < threshold) return computeReport(tables);
      pool ??= openPool();
      const { json, missing } = await pool.run(tables, { transferList: buffersOf(tables) });
      return { json: new TextDecoder().decode(json), missing };
    },
    close: async () => await pool?.close(),
  };
}

function openPool(): Piscina<PerformanceTables, ComputedBytes> {
  // The same extension as this module: .ts when run from source, .js when built.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return new Piscina({
    filename: new URL(`../threads/performance.${extension}`, import.meta.url).href,
    minThreads: 0,
    maxThreads: Math.max(1, availableParallelism() - 1),
    maxQueue: maxWaitingTasks,
    idleTimeout: 30_000,
    resourceLimits: { maxOldGenerationSizeMb: 256 },
  });
}
