import type { Processor } from '../runtime/processor.ts';

/** Reads an uploaded report into the transactions of a portfolio. */
export function createTransactionsImport(): Processor<'transactions.import'> {
  return () => Promise.reject(new Error('not built yet'));
}
