import type { Processor } from '../runtime/processor.ts';

/** Builds the derived tables of a portfolio anew. */
export function createBooksRebuild(): Processor<'books.rebuild'> {
  return () => Promise.reject(new Error('not built yet'));
}
