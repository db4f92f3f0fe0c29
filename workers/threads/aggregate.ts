import { aggregate, type AggregateInput } from '../../src/features/quotes/aggregate.ts';

/**
 * Thread task: aggregates a large result. The input arrives as the bytes of its JSON and the result leaves as bytes, because
 * bytes are handed over while objects would be cloned, which costs more than the sums.
 */
export default function aggregateBytes(input: Uint8Array): Uint8Array {
  const parsed = JSON.parse(new TextDecoder().decode(input)) as AggregateInput;
  return new TextEncoder().encode(aggregate(parsed));
}
