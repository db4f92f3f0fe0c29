import { sleep } from '../../src/platform/concurrency/sleep.ts';
import type { ApiClient } from '../../test/support/api-client.ts';

/** What a client got for a bulk request. */
export interface BulkOutcome {
  /** From the submission to the result in the client's hands, in milliseconds. */
  readonly elapsedMs: number;
  /** Coins with a price. */
  readonly usable: number;
  /** Coins asked. */
  readonly requested: number;
  /** The result as text, to compare. */
  readonly portfolio: string;
}

/** How a client waits: in the request itself, or by polling. */
export type Waiting = 'wait' | 'poll';

interface BulkResult {
  readonly portfolio: readonly { readonly price?: unknown; readonly state: string }[];
}

const pollMs = 250;

/**
 * Submits a bulk and waits for its end.
 * @throws {Error} when it is refused, fails, or has not ended after `patienceMs`.
 */
export async function fetchBulk(
  client: ApiClient,
  coins: readonly string[],
  { waiting = 'wait', patienceMs = 120_000 }: { waiting?: Waiting; patienceMs?: number } = {},
): Promise<BulkOutcome> {
  const startedAt = performance.now();
  const headers: Record<string, string> = waiting === 'wait' ? { prefer: 'wait=60' } : {};
  const answer = await client.call('POST', '/crypto/bulk', { body: { coins }, headers, timeoutMs: 70_000 });
  if (answer.status !== 200 && answer.status !== 202) {
    throw new Error(`a bulk was answered ${answer.status}: ${answer.body?.error?.code ?? ''}`);
  }
  const data = answer.body?.data as BulkResult & { readonly id: string };
  const { portfolio } = answer.status === 200 ? data : await polledResult(client, data.id, patienceMs);
  return {
    elapsedMs: performance.now() - startedAt,
    usable: portfolio.filter(
      ({ price, state }) => typeof price === 'number' && (state === 'fresh' || state === 'stale'),
    ).length,
    requested: coins.length,
    portfolio: JSON.stringify(portfolio),
  };
}

async function polledResult(client: ApiClient, id: string, patienceMs: number): Promise<BulkResult> {
  const until = Date.now() + patienceMs;
  while (Date.now() < until) {
    const { body } = await client.call('GET', `/jobs/${id}`);
    const { state, result } = body?.data as { state: string; result: BulkResult };
    if (state === 'completed') return result;
    if (state === 'failed' || state === 'cancelled') throw new Error(`a bulk ended as ${state}`);
    await sleep(pollMs);
  }
  throw new Error(`a bulk had not ended after ${patienceMs} ms`);
}
