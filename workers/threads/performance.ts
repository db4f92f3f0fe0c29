import { computeReport } from '../../src/features/portfolios/performance/report.ts';
import {
  buffersOf,
  cellsOf,
  type PerformanceTables,
} from '../../src/features/portfolios/performance/tables.ts';
import type { Threads } from './threads.ts';

/** Thread task: computes the figures of tables that were handed over. The text leaves as bytes, which are handed on. */
export default function performanceBytes(tables: PerformanceTables) {
  const { json, missing } = computeReport(tables);
  return { json: new TextEncoder().encode(json), missing };
}

/** Cells (assets × days) from which a thread pays: fewer take less than 2 ms, and no longer than with a thread (docs/reference/performance.md). */
const cellsWorthAThread = 4_000;
/** From so many cells on figures take more than 50 ms. */
const cellsThatTakeLong = 100_000;

/**
 * Computes figures: of small tables at once, of those of `threshold` cells in a thread so that the event loop stays free. These are
 * handed over: their arrays are empty afterwards.
 */
export function createPerformanceStats(threads: Threads, threshold = cellsWorthAThread) {
  return {
    async run(
      tables: PerformanceTables,
    ): Promise<Pick<ReturnType<typeof computeReport>, 'json' | 'missing'>> {
      const cells = cellsOf(tables);
      if (cells < threshold) return computeReport(tables);
      const options = { transfer: buffersOf(tables), isLong: cells >= cellsThatTakeLong };
      const { json, missing } = await threads.run<ReturnType<typeof performanceBytes>>(
        import.meta.url,
        tables,
        options,
      );
      return { json: new TextDecoder().decode(json), missing };
    },
  };
}
