import { computeReport } from '../../src/features/portfolios/performance/report.ts';
import type { PerformanceTables } from '../../src/features/portfolios/performance/tables.ts';

/** What a thread gives back: bytes, because they are handed on without being parsed or cloned piece by piece. */
export interface ComputedBytes {
  /** JSON text of the figures, in UTF-8. */
  readonly json: Uint8Array;
  readonly missing: Uint32Array;
}

/** Thread task: computes the figures of tables that were handed over. */
export default function performanceBytes(tables: PerformanceTables): ComputedBytes {
  const { json, missing } = computeReport(tables);
  return { json: new TextEncoder().encode(json), missing };
}
