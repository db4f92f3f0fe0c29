import type { Processor } from '../runtime/processor.ts';

/** Brings the derived tables of a portfolio up to its transactions. */
export function createBooksUpdate(): Processor<'books.update'> {
  return () => Promise.reject(new Error('not built yet'));
}
