import type { Processor } from '../runtime/processor.ts';

/** Computes the performance figures of a portfolio. */
export function createPerformanceCompute(): Processor<'performance.compute'> {
  return () => Promise.reject(new Error('not built yet'));
}
