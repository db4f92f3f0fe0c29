import type { CollectQuotes } from '../../../src/features/quotes/collect-quotes.ts';
import type { HoldingRow } from '../../../src/features/quotes/aggregate.ts';
import type { QuoteReading } from '../../../src/domain/cached-quote.ts';
import type { JobContext, ProcessorsOf } from '../../runtime/processor.ts';
import type { createAggregator } from '../../threads/aggregate.ts';
import { runForClients, type ClientRunDeps, type RunControl } from '../jobs/client-run.ts';

/** Jobs that fetch quotes for clients. A run waits for quotes, tells what it sees, and completes with what it has. */
export interface RequestDeps extends ClientRunDeps {
  readonly collect: CollectQuotes;
  readonly aggregator: ReturnType<typeof createAggregator>;
  /** Time (ms) after its submission at which a run completes with what it has. */
  readonly deadlineMs: number;
}

/** A run that has waited too long for its turn still gets this long (ms) for its quotes. */
const leastWaitMs = 5_000;

interface Fetch {
  readonly workKey: string;
  readonly requester: string | undefined;
  readonly currency: string;
  readonly assetIds: readonly string[];
  readonly holdings?: readonly HoldingRow[];
}

/** The processors of the `requests` queue. */
export function createRequestProcessors(deps: RequestDeps): ProcessorsOf<'requests'> {
  const fetch = (wanted: Fetch, context: JobContext): Promise<null> => {
    const run = { workKey: wanted.workKey, total: wanted.assetIds.length };
    return runForClients(deps, { run, context }, (control) =>
      resultOf(deps, wanted, { ...control, addedAt: context.addedAt }),
    );
  };
  return {
    'bulk.fetch': ({ workKey, requester, currency, assets }, context) =>
      fetch({ workKey, requester, currency, assetIds: assets }, context),
    'portfolio.fetch': ({ workKey, requester, currency, holdings }, context) => {
      const assetIds = [...new Set(holdings.map(({ asset }) => asset))];
      return fetch({ workKey, requester, currency, assetIds, holdings }, context);
    },
  };
}

/** JSON text of the quotes, and of their value where there are quantities. */
async function resultOf(
  { collect, aggregator, clock, deadlineMs }: RequestDeps,
  { requester, currency, assetIds, holdings }: Fetch,
  { startedAt, progress, signal, addedAt }: RunControl & Pick<JobContext, 'addedAt'>,
): Promise<string> {
  const readings = await collect({
    currency,
    assetIds,
    urgency: 'interactive',
    requester,
    waitMs: Math.max(leastWaitMs, addedAt + deadlineMs - startedAt.getTime()),
    signal,
    onSettled: (settled) => progress.settled(settled),
    onWait: () => progress.waits(),
  });
  const inOrder = assetIds.map(
    (assetId): QuoteReading => readings.get(assetId) ?? { assetId, state: 'pending', quote: undefined },
  );
  const fetchMs = clock.now() - startedAt.getTime();
  return await aggregator.run({ readings: inOrder, holdings, fetchMs });
}
