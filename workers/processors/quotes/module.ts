/** Jobs that fetch quotes for clients, and the one that keeps read quotes fresh. */
import type { BudgetState } from '../../../src/domain/budget-state.ts';
import type { QuoteService } from '../../../src/features/quotes/quote-service.ts';
import type { Platform } from '../../../src/platform/platform.ts';
import type { JobContext, WorkerModule } from '../../runtime/processor.ts';
import { createAggregator } from '../../threads/aggregate.ts';
import type { Threads } from '../../threads/threads.ts';
import { type ClientRunDeps, type RunControl, runForClients } from '../jobs/client-run.ts';
import { meansToWarm, warmQuotes } from './warm.ts';
import type { HoldingRow } from '../../../src/features/quotes/aggregate.ts';
import type { QuoteReading } from '../../../src/domain/cached-quote.ts';

/** A run that has waited too long for its turn still gets this much time (ms) for its quotes. */
const minWaitMs = 5_000;

interface Fetch {
  readonly workKey: string;
  readonly requester: string | undefined;
  readonly currency: string;
  readonly assetIds: readonly string[];
  readonly holdings?: readonly HoldingRow[];
}

/** Processors of quotes. A run for clients waits for quotes, reports its progress, and completes with what it has. */
export function createQuoteProcessors(
  platform: Platform,
  {
    quotes,
    budgetStatus,
    clientRuns,
    threads,
  }: {
    readonly quotes: QuoteService;
    readonly budgetStatus: () => Promise<Omit<BudgetState, 'freshnessSeconds'>>;
    /** What every client job needs. */
    readonly clientRuns: () => ClientRunDeps;
    readonly threads: Threads;
  },
) {
  const { config, clock } = platform;
  return {
    processors: {
      requests: () => {
        const runs = clientRuns();
        const aggregator = createAggregator(threads);
        const fetch = (wanted: Fetch, context: JobContext): Promise<null> => {
          const run = { workKey: wanted.workKey, total: wanted.assetIds.length };
          return runForClients(runs, { run, context }, (control) =>
            resultOf({ ...platform, quotes, aggregator }, wanted, { ...control, addedAt: context.addedAt }),
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
      },
      maintenance: () => {
        const { interest, local, store, demand, enqueue, want, freshMs } = quotes;
        const warming = {
          ...{ interest, local, store, demand, enqueue, want, freshMs, clock },
          load: (currency: string, assetIds: readonly string[]) => quotes.load(currency, assetIds),
          means: async (withinMs: number) => meansToWarm(await budgetStatus(), withinMs),
        };
        return {
          'quotes.warm': async () => ({ calls: config.WARMING === 'off' ? 0 : await warmQuotes(warming) }),
        };
      },
    },
  } satisfies WorkerModule;
}

/** JSON text of the quotes, and of their value if there are quantities. */
async function resultOf(
  {
    quotes,
    aggregator,
    clock,
    config,
  }: Pick<Platform, 'clock' | 'config'> & {
    readonly quotes: Pick<QuoteService, 'collect'>;
    readonly aggregator: ReturnType<typeof createAggregator>;
  },
  { requester, currency, assetIds, holdings }: Fetch,
  { startedAt, progress, signal, addedAt }: RunControl & Pick<JobContext, 'addedAt'>,
): Promise<string> {
  // It completes with what it has at this time after its submission (ms).
  const deadlineMs = config.JOB_DEADLINE * 1000;
  const readings = await quotes.collect({
    currency,
    assetIds,
    urgency: 'interactive',
    requester,
    waitMs: Math.max(minWaitMs, addedAt + deadlineMs - startedAt.getTime()),
    signal,
    outlastsOutages: true,
    onSettled: (settled) => progress.settled(settled),
    onWait: () => progress.waits(),
  });
  const inOrder = assetIds.map(
    (assetId): QuoteReading => readings.get(assetId) ?? { assetId, state: 'pending', quote: undefined },
  );
  const fetchMs = clock.now() - startedAt.getTime();
  const result = await aggregator.run({ readings: inOrder, holdings, fetchMs });
  return typeof result === 'string' ? result : new TextDecoder().decode(result);
}
