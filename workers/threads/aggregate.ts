import { aggregate, type AggregateInput } from '../../src/features/quotes/aggregate.ts';
import type { Threads } from './threads.ts';

/**
 * Thread task: aggregates a large result. The input arrives as the bytes of its JSON and the result leaves as bytes, because
 * bytes are handed over while objects would be cloned, which costs more than the sums.
 */
export default function aggregateBytes(input: Uint8Array): Uint8Array {
  const parsed = JSON.parse(new TextDecoder().decode(input)) as AggregateInput;
  return new TextEncoder().encode(aggregate(parsed));
}

/** Rows of holdings from which a thread pays (measured: docs/explanation/adr/0005-aggregate-large-results-in-threads.md). */
const rowsWorthAThread = 5_000;

/** Computes results: small ones at once, those of `threshold` rows in a thread so that the event loop stays free. */
export function createAggregator(threads: Threads, threshold = rowsWorthAThread) {
  return {
    async run(input: AggregateInput): Promise<string> {
      if ((input.holdings?.length ?? 0) < threshold) return aggregate(input);
      const bytes = new TextEncoder().encode(JSON.stringify(input));
      const options = { transfer: [bytes.buffer], isLong: false };
      return new TextDecoder().decode(await threads.run<Uint8Array>(import.meta.url, bytes, options));
    },
  };
}
